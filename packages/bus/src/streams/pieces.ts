import { BusError } from '@arqonbus/protocol';
import { andThen, attempt, isPending } from '../awaitable.ts';
import type { Session } from '../connection/session.ts';
import type { Awaitable, NodeMessage, Presence, StreamAddress } from '../engine/engine.ts';
import type { Hub } from '../hub.ts';
import type { Channel } from '../rooms.ts';
import type { KnownStream, KnownStreams, Piece } from './known.ts';
import { cutTo, readMark, type StreamMark, textOf } from './mark.ts';
import type { StreamTexts, TextSoFar } from './texts.ts';

/** Bytes of texts that may be unsent to one that comes late: beyond it the connection has to drain. */
const MAX_UNSENT = 262_144;
/** UTF-16 units of pieces that wait for the text before them; beyond it they are left out, and asked for. */
const MAX_HELD = 1_048_576;

export interface PiecesParts {
  readonly hub: Hub;
  readonly known: KnownStreams;
  readonly presence: Presence | null;
  readonly texts: StreamTexts;
  readonly onFault: (error: unknown) => void;
}

/**
 * Shows streams to the members of this node, so that each reads a text without gap and without anything twice: what
 * comes late is cut, what is missing is asked for, and whoever comes late is shown what there is first.
 */
export class Pieces {
  private readonly parts: PiecesParts;

  constructor(parts: PiecesParts) {
    this.parts = parts;
  }

  /** Shows the next piece of a stream that this node has, here and on the other nodes. */
  emit(stream: KnownStream, from: string, piece: Piece): void {
    stream.shown = piece.offset + piece.length;
    this.parts.hub.show(stream, from, piece.envelope, stream.later);
    this.tellOthers(stream, piece.envelope);
  }

  /** The same of an end that no event tells of. */
  emitEnd(stream: KnownStream, from: string, envelope: string): void {
    this.parts.hub.show(stream, from, envelope, stream.later);
    this.parts.known.end(stream);
    this.tellOthers(stream, envelope);
  }

  /** Takes a piece that another node sent. */
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
   * A session is about to go live at a place. Answers what is to be called once it is: it is shown what there is of the
   * streams whose pieces it gets by then and did not get before.
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

  /** Shows a session streams from their beginnings, one after the other as its line drains. */
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

  /** This node has a stream from now on: what its members were not shown of it is shown. */
  refresh(stream: KnownStream): void {
    void this.catchUp(stream);
  }

  private take(stream: KnownStream, piece: Piece): void {
    if (stream.held !== null) {
      this.hold(stream.held, piece);
      return;
    }
    const { offset, length, envelope } = piece;
    // Nobody here reads it: whoever comes is shown all of it.
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

  /** It ended without an event that this node's members could get. */
  private takeEnd(stream: KnownStream, { offset }: StreamMark, envelope: string): void {
    const { shown } = stream;
    this.parts.known.end(stream);
    if (shown !== null) this.show(stream, shown < offset ? envelope : cutTo(envelope, shown));
  }

  /** Shows what there is of a stream to those who wait for it, and what is missing to the others. */
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
    // Ended meanwhile. Or its node does not answer: the next piece asks again, and its end brings all that is missing.
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
    // Whoever misses it asks for it, or has it with the end.
    const sent = attempt<void>(
      () => presence.send(null, { kind: 'piece', tenant, clients: [], text, room, channel }),
      (error) => this.fault(error),
    );
    if (isPending(sent)) void sent;
  }

  private fault(error: unknown): void {
    // That the storage is away is told already, and that a node does not answer is no fault of this one.
    if (!(error instanceof BusError && error.code === 'STORAGE_UNAVAILABLE')) this.parts.onFault(error);
  }
}

function fromOf(envelope: string): string {
  return (JSON.parse(envelope) as { from: string }).from;
}
