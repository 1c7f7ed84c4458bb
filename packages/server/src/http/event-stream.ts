import type { ServerResponse } from 'node:http';
import type { Session, Wire } from '@arqonbus/bus';
import { eventFrame } from './event-frame.ts';
import { Positions, type Resumed } from './positions.ts';

/** Interval of keep-alive comments for proxies and readers, in milliseconds. */
const COMMENT_MS = 15_000;
const COMMENT = ':\n\n';
/** Time limit for the peer to read the end of its stream, in milliseconds. */
const CLOSE_TIMEOUT_MS = 5_000;
/** With more memberships, the position is sent once per turn of the event loop instead of with every event. */
const FEW_MEMBERSHIPS = 16;

/** Notifications about a stream. */
export interface StreamEvents {
  /** The peer no longer reads. */
  stalled(): void;
  ended(): void;
}

/** A session's output as server-sent events: one event per envelope, and a final `close` event. */
export class EventStream implements Wire {
  /** An SSE event is made from the frame of one text. */
  readonly oneByOne = true;
  private readonly response: ServerResponse;
  private readonly events: StreamEvents;
  private readonly positions: Positions = new Positions();
  private readonly timer: NodeJS.Timeout;
  private session: Session | null = null;
  /** Pending joins by request id; they are part of the position too. */
  private readonly pending: Map<string, Resumed>;
  private closing = false;
  /** The last position sent, and whether an update is scheduled. */
  private told = '';
  private isDue = false;
  /** Bytes written to the socket at the previous check. */
  private takenBefore = -1;

  /** @param joins the initial joins, by request id */
  constructor(response: ServerResponse, joins: ReadonlyMap<string, Resumed>, events: StreamEvents) {
    this.response = response;
    this.events = events;
    this.pending = new Map(joins);
    this.positions.seed([...joins.values()]);
    response.on('close', () => {
      clearInterval(this.timer);
      events.ended();
    });
    // `close` reports the end.
    response.on('error', () => {});
    this.timer = setInterval(() => this.comment(), COMMENT_MS);
    this.timer.unref();
  }

  /** Sets the session whose memberships the position covers. */
  open(session: Session): void {
    this.session = session;
  }

  get backlog(): number {
    return this.response.writableLength;
  }

  get isOpen(): boolean {
    const { socket, destroyed } = this.response;
    // A closed socket is noticed before the response ends.
    return !this.closing && !destroyed && socket?.writable !== false;
  }

  write(frames: Buffer, taken?: () => void): void {
    const { response } = this;
    if (!this.isOpen) {
      if (taken !== undefined) setImmediate(taken);
    } else if (frames.length > 0) {
      response.write(this.eventOf(frames), taken === undefined ? undefined : () => taken());
    } else if (taken !== undefined) {
      if (this.backlog === 0) setImmediate(taken);
      else response.once('drain', taken);
    }
  }

  private eventOf(frames: Buffer): Buffer {
    const { data, at, answers, joined, retryMs } = eventFrame(frames);
    if (answers !== undefined) this.pending.delete(answers);
    if (at !== undefined) this.positions.advance(at.room, at.channel, at.position);
    else if (joined?.positions !== undefined) {
      this.positions.joined(joined.room, joined.positions, joined.recovered !== undefined);
    }
    const id = at === undefined && joined === undefined ? '' : this.idNow();
    const head = `${retryMs === undefined ? '' : `retry: ${retryMs}\n`}${id}`;
    return head === '' ? data : Buffer.concat([Buffer.from(head), data]);
  }

  /** The `id` line to send with an event; empty if the position is sent at the end of the turn. */
  private idNow(): string {
    const { session } = this;
    if (session === null) return '';
    if (session.memberships.size <= FEW_MEMBERSHIPS) return this.idLine(session);
    if (!this.isDue) {
      this.isDue = true;
      setImmediate(() => this.tellPosition());
    }
    return '';
  }

  private tellPosition(): void {
    this.isDue = false;
    const { session, response } = this;
    if (session === null || !this.isOpen) return;
    const line = this.idLine(session);
    // Without data it is not an event, but it updates the reader's last event id.
    if (line !== '') response.write(`${line}\n`);
  }

  private idLine({ memberships }: Session): string {
    const text = this.positions.text([...memberships.keys(), ...this.pending.values()]);
    if (text === this.told || text === '') return '';
    this.told = text;
    return `id: ${text}\n`;
  }

  /** Posted input is limited where it is posted; there is no connection to pause. */
  pauseReading(): void {}

  close(code: number, reason: string): void {
    if (this.closing) return;
    this.closing = true;
    clearInterval(this.timer);
    const { response } = this;
    response.end(`event: close\ndata: ${JSON.stringify({ code, reason })}\n\n`);
    const overdue = setTimeout(() => response.destroy(), CLOSE_TIMEOUT_MS).unref();
    response.once('close', () => clearTimeout(overdue));
  }

  private comment(): void {
    const { response, backlog } = this;
    const taken = (response.socket?.bytesWritten ?? 0) - backlog;
    if (backlog > 0 && taken === this.takenBefore) this.events.stalled();
    else response.write(COMMENT);
    this.takenBefore = taken;
  }
}
