import type { ServerResponse } from 'node:http';
import type { Batch, Framing, Session, Wire } from '@arqonbus/bus';
import type { Resumed } from './positions.ts';
import { Standing } from './standing.ts';

/** Interval of keep-alive comments for proxies and readers, in milliseconds. */
const COMMENT_MS = 15_000;
const COMMENT = ':\n\n';
/** Time limit for the peer to read the end of its stream, in milliseconds. */
const CLOSE_TIMEOUT_MS = 5_000;
const END_OF_EVENT = '\n\n';

/** Notifications about a stream. */
export interface StreamEvents {
  /** The peer no longer reads. */
  stalled(): void;
  ended(): void;
}

/** A session's output as server-sent events: one event per envelope, and a final `close` event. */
export class EventStream implements Wire, Framing {
  readonly oneByOne = false;
  readonly framing: Framing = this;
  private readonly response: ServerResponse;
  private readonly events: StreamEvents;
  private readonly timer: NodeJS.Timeout;
  private session: Session | null = null;
  private standing: Standing;
  private closing = false;
  /** Bytes written to the socket at the previous check. */
  private takenBefore = -1;

  /** @param joins the initial joins, by request id */
  constructor(response: ServerResponse, joins: ReadonlyMap<string, Resumed>, events: StreamEvents) {
    this.response = response;
    this.events = events;
    this.standing = Standing.start(joins);
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

  join(batch: Batch): Buffer {
    const { session, standing } = this;
    const { bytes, after } = (session === null ? standing : standing.of(session.memberships)).take(batch);
    this.standing = after;
    return bytes;
  }

  cut(bytes: Buffer, from: number, most: number): number {
    if (bytes.length - from <= most) return bytes.length;
    const last = bytes.subarray(from, from + most).lastIndexOf(END_OF_EVENT);
    return (last >= 0 ? from + last : bytes.indexOf(END_OF_EVENT, from)) + END_OF_EVENT.length;
  }

  write(bytes: Buffer, taken?: () => void): void {
    if (this.isOpen) this.response.write(bytes, taken);
    else if (taken !== undefined) setImmediate(taken);
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
