import { BusError } from '@arqonbus/protocol';
import { andThen, attempt, isPending } from '../awaitable.ts';
import type { Session } from '../connection/session.ts';
import type { Awaitable, NodeMessage, Presence, StreamAddress } from '../engine/engine.ts';
import type { Hub } from '../hub.ts';
import type { Channel } from '../rooms.ts';
import type { KnownStream, KnownStreams, Piece } from './known.ts';
import { cutTo, readMark, type StreamMark, textOf } from './mark.ts';
import type { StreamTexts, TextSoFar } from './texts.ts';

/** Unsent bytes of a late joiner's connection beyond which it must drain before more texts are sent. */
const MAX_UNSENT = 262_144;
/** UTF-16 units of pieces held until the text before them arrives; further ones are dropped and requested later. */
const MAX_HELD = 1_048_576;

export interface PiecesParts {
  readonly hub: Hub;
  readonly known: KnownStreams;
  readonly presence: Presence | null;
  readonly texts: StreamTexts;
  readonly onFault: (error: unknown) => void;
}

/**
 * Sends streams to the members of this node, each text without gaps or duplicates: overlaps are cut, missing text is
 * requested, and late joiners first get the text so far.
 */
export class Pieces {
  private readonly parts: PiecesParts;

  constructor(parts: PiecesParts) {
    this.parts = parts;
  }

  /** Sends the next piece of a stream of this node to members on all nodes. */
  emit(stream: KnownStream, from: string, piece: Piece): void {
    stream.shown = piece.offset + piece.length;
    this.parts.hub.show(stream, from, piece.envelope, stream.later);
    this.tellOthers(stream, piece.envelope);
  }

  /** Sends an end without an event in the same way. */
  emitEnd(stream: KnownStream, from: string, envelope: string): void {
    this.parts.hub.show(stream, from, envelope, stream.later);
    this.parts.known.end(stream);
    this.tellOthers(stream, envelope);
  }

  /** Handles a piece from another node. */
  receive({ tenant, room = '', channel = '', text: envelope }: NodeMessage): void {
    const mark = readMark(envelope);
    if (mark === null) return;
    const stream = this.parts.known.note(tenant, mark.id, { room, channel });
    if (stream.hasEnded) return;
    if (mark.state === 'streaming') {
      this.take(stream, { offset: mark.offset, length: textOf(envelope).length, envelope });
    } else this.takeEnd(stream, mark, envelope);
  }

  /**
   * A session is about to go live at a place. Returns a function to call once it is live: it sends the text so far of
   * the streams whose pieces the session newly receives.
   */
  entering(session: Session, place: Channel): () => void {
    const { known } = this.parts;
    const had = new Set(known.in(place.tenant, place.room).filter((stream) => this.reaches(stream, session)));
    return () => {
      const fresh = known
        .in(place.tenant, place.room)
        .filter((stream) => !had.has(stream) && this.reaches(stream, session));
      for (const { later } of fresh) later.add(session);
      this.introduce(session, fresh);
    };
  }

  /** Sends streams to a session from their beginnings, one after the other as its connection drains. */
  private introduce(session: Session, streams: readonly KnownStream[]): void {
    for (const [at, stream] of streams.entries()) {
      if (session.outbox.backlog > MAX_UNSENT && !session.closed) {
        session.outbox.whenDrained(() => this.introduce(session, streams.slice(at)));
        return;
      }
      const isStillHere = stream.later.delete(session) && this.reaches(stream, session);
      if (!isStillHere || session.closed) continue;
      stream.waiting.add(session);
      const shown = this.catchUp(stream);
      if (!isPending(shown)) continue;
      void shown.then(() => this.introduce(session, streams.slice(at + 1)));
      return;
    }
  }

  /** This node has taken over a stream: sends its members the missing text. */
  refresh(stream: KnownStream): void {
    void this.catchUp(stream);
  }

  private take(stream: KnownStream, piece: Piece): void {
    if (stream.held !== null) {
      this.hold(stream.held, piece);
      return;
    }
    const { offset, length, envelope } = piece;
    // No reader here: a later one gets all of it.
    if (this.audienceOf(stream).length === 0) {
      stream.shown = null;
      return;
    }
    const shown = stream.shown ?? 0;
    if (stream.waiting.size > 0 || offset > shown || (stream.shown === null && offset > 0)) {
      void this.catchUp(stream, [piece]);
      return;
    }
    if (offset + length <= shown) return;
    stream.shown = offset + length;
    this.show(stream, offset < shown ? cutTo(envelope, shown) : envelope);
  }

  /** It ended without an event for this node's members. */
  private takeEnd(stream: KnownStream, { offset }: StreamMark, envelope: string): void {
    const { shown } = stream;
    this.parts.known.end(stream);
    if (shown !== null) this.show(stream, shown < offset ? envelope : cutTo(envelope, shown));
  }

  /** Sends the text of a stream to waiting members, and the missing text to the others. */
  private catchUp(stream: KnownStream, held: Piece[] = []): Awaitable<void> {
    if (stream.held !== null) {
      for (const piece of held) this.hold(stream.held, piece);
      return;
    }
    stream.held = held;
    const failed = (error: unknown): null => {
      this.fault(error);
      return null;
    };
    const found = attempt<TextSoFar | null>(() => this.parts.texts.soFar(stream), failed);
    return andThen(found, (text) => this.caughtUp(stream, text));
  }

  private caughtUp(stream: KnownStream, found: TextSoFar | null): void {
    const held = stream.held ?? [];
    stream.held = null;
    // It ended meanwhile, or its node does not respond: the next piece retries, and its end brings all missing text.
    if (stream.hasEnded || found === null) return;
    const { envelope, length } = found;
    const { shown } = stream;
    const waiting = [...stream.waiting];
    stream.waiting.clear();
    stream.shown = Math.max(shown ?? 0, length);
    if (envelope !== null) {
      if (shown === null) this.show(stream, envelope);
      else {
        this.parts.hub.showTo(stream, fromOf(envelope), envelope, waiting);
        if (shown < length) this.show(stream, cutTo(envelope, shown), waiting);
      }
    }
    for (const piece of held) this.take(stream, piece);
  }

  private hold(held: Piece[], piece: Piece): void {
    const units = held.reduce((sum, { length }) => sum + length, piece.length);
    if (units <= MAX_HELD) held.push(piece);
  }

  private show(stream: KnownStream, envelope: string, except: readonly Session[] = []): void {
    const { later } = stream;
    const left = except.length === 0 ? later : new Set([...later, ...except]);
    this.parts.hub.show(stream, fromOf(envelope), envelope, left);
  }

  private audienceOf(stream: StreamAddress): readonly Session[] {
    return this.parts.hub.audienceAt(stream);
  }

  private reaches(stream: StreamAddress, session: Session): boolean {
    return this.audienceOf(stream).includes(session);
  }

  private tellOthers({ tenant, room, channel }: StreamAddress, text: string): void {
    const { presence } = this.parts;
    if (presence === null) return;
    // A node that misses it requests it, or gets it with the end.
    const sent = attempt<void>(
      () => presence.send(null, { kind: 'piece', tenant, clients: [], text, room, channel }),
      (error) => this.fault(error),
    );
    if (isPending(sent)) void sent;
  }

  private fault(error: unknown): void {
    // A storage outage is already reported elsewhere, and another node's missing response is not a fault of this one.
    if (!(error instanceof BusError && error.code === 'STORAGE_UNAVAILABLE')) this.parts.onFault(error);
  }
}

function fromOf(envelope: string): string {
  return (JSON.parse(envelope) as { from: string }).from;
}
