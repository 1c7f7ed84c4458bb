import { BusError, type Draft, newId, openDraft, sealUnstored } from '@arqonbus/protocol';
import type { Clock } from '../clock.ts';
import type { Principal } from '../principal.ts';
import type { KnownStream, Piece, StreamRecord } from './known.ts';
import { markText, type StreamMark } from './mark.ts';

/** Appends within this time are sent as one piece, in milliseconds. */
const ROLL_UP_MS = 40;

/** UTF-8 bytes of a text, raw and as JSON string content. */
export interface TextSize {
  readonly bytes: number;
  readonly encoded: number;
}

export function sizeOf(text: string): TextSize {
  return { bytes: Buffer.byteLength(text), encoded: Buffer.byteLength(JSON.stringify(text)) - 2 };
}

/** Limits in UTF-8 bytes: of one text, and of all texts of a node. */
export interface TextLimits {
  readonly maxBytes: number;
  readonly maxBytesTogether: number;
}

export interface WrittenEvents {
  /** The next piece is due. */
  onPiece(stream: WrittenStream, piece: Piece): void;
  /** The writer has been silent for the stream's ttl. */
  onSilence(stream: WrittenStream): void;
}

/** An open stream whose text is on this node. */
export class WrittenStream {
  readonly known: KnownStream;
  readonly record: StreamRecord;
  /** Its final event is published as this principal. */
  principal: Principal;
  text = '';
  /** The size of {@link text}. */
  size: TextSize = { bytes: 0, encoded: 0 };
  /** Length of the text written to the store. */
  kept = 0;
  isBeingKept = false;
  /** The content policy would change it: no more pieces are sent, and the text follows as a whole. */
  isWithheld = false;
  /** It is being published. */
  isEnding = false;
  private readonly clock: Clock;
  private readonly events: WrittenEvents;
  /** Length of the text sent to members. */
  private shown = 0;
  private lastPiece = Number.NEGATIVE_INFINITY;
  private lastSign: number;
  private callOffPiece: (() => void) | null = null;
  private callOffSilence: () => void = () => {};

  constructor(known: KnownStream, record: StreamRecord, principal: Principal, clock: Clock, events: WrittenEvents) {
    this.known = known;
    this.record = record;
    this.principal = principal;
    this.clock = clock;
    this.events = events;
    this.lastSign = clock.steady();
    this.awaitSign(record.ttl_seconds * 1000);
  }

  /** Continues with a text that another node, or an earlier start of this one, has sent to members. */
  takeUp(text: string): void {
    this.text = text;
    this.size = sizeOf(text);
    this.kept = text.length;
    this.shown = text.length;
    this.known.shown ??= text.length;
  }

  /** Notes a sign of life of the writer. */
  sign(): void {
    this.lastSign = this.clock.steady();
  }

  append(text: string, { bytes, encoded }: TextSize): void {
    this.sign();
    this.text += text;
    this.size = { bytes: this.size.bytes + bytes, encoded: this.size.encoded + encoded };
    if (text === '' || this.isWithheld || this.callOffPiece !== null) return;
    const wait = this.lastPiece + ROLL_UP_MS - this.clock.steady();
    if (wait <= 0) this.show();
    else {
      this.callOffPiece = this.clock.after(wait, () => {
        this.callOffPiece = null;
        if (!this.isWithheld) this.show();
      });
    }
  }

  /** A range of the text as an envelope. */
  envelope(offset: number, end: number, state: StreamMark['state'] = 'streaming'): string {
    const { id, room, channel } = this.known;
    const { from } = this.record;
    const marks = `"sender":${JSON.stringify(this.record.sender)},${markText({ id, offset, state })}`;
    const payload = { text: this.text.slice(offset, end) };
    const draft: Draft = openDraft(
      { id: newId(), type: 'event', room, channel, from, payload, marks },
      this.clock.now(),
    );
    return sealUnstored(draft.open);
  }

  /** Length of the text sent to members. */
  get shownLength(): number {
    return this.shown;
  }

  /** Stops its timers. */
  stop(): void {
    this.callOffPiece?.();
    this.callOffPiece = null;
    this.callOffSilence();
  }

  /** Sends the text that was not sent yet. */
  show(): void {
    const [offset, end] = [this.shown, this.text.length];
    if (end === offset) return;
    this.lastPiece = this.clock.steady();
    this.shown = end;
    this.events.onPiece(this, { offset, length: end - offset, envelope: this.envelope(offset, end) });
  }

  /** Waits for the writer again. */
  resume(): void {
    this.isEnding = false;
    this.awaitSign(this.record.ttl_seconds * 1000);
  }

  private awaitSign(ms: number): void {
    this.callOffSilence();
    this.callOffSilence = this.clock.after(ms, () => {
      const left = this.lastSign + this.record.ttl_seconds * 1000 - this.clock.steady();
      if (left > 0) this.awaitSign(left);
      else this.events.onSilence(this);
    });
  }
}

/** Throws LIMIT_EXCEEDED when an append would make a text, or all texts together (`held`), too long. */
export function requireRoom({ size }: WrittenStream, { bytes }: TextSize, held: number, limits: TextLimits): void {
  const { maxBytes, maxBytesTogether } = limits;
  if (size.bytes + bytes > maxBytes) {
    throw new BusError(
      'LIMIT_EXCEEDED',
      `A stream holds at most ${maxBytes} bytes of text; close it and open another.`,
      {
        limit: maxBytes,
        bytes: size.bytes,
      },
    );
  }
  if (held + bytes <= maxBytesTogether) return;
  const message = 'The open streams of this server hold as much text as they may; close some, or try again later.';
  throw new BusError('LIMIT_EXCEEDED', message, { limit: maxBytesTogether });
}
