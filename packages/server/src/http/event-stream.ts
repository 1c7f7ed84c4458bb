import type { ServerResponse } from 'node:http';
import type { Session, Wire } from '@arqonbus/bus';
import { eventFrame } from './event-frame.ts';
import { Positions, type Resumed } from './positions.ts';

/** How often a comment tells proxies and readers that the line is there, in milliseconds. */
const COMMENT_MS = 15_000;
const COMMENT = ':\n\n';
/** How long a peer may take to read what is before the end of its stream, in milliseconds. */
const CLOSE_TIMEOUT_MS = 5_000;
/** With more memberships than this the position is told once a turn of the event loop, and not with every event. */
const FEW_MEMBERSHIPS = 16;

/** Who is told of a stream's end. */
export interface StreamEvents {
  /** The peer takes nothing of what it is sent. */
  stalled(): void;
  ended(): void;
}

/** The sending side of a session as server-sent events: each envelope one event, and a last one called `close`. */
export class EventStream implements Wire {
  /** An event is made of the frames of one text. */
  readonly oneByOne = true;
  private readonly response: ServerResponse;
  private readonly events: StreamEvents;
  private readonly positions: Positions = new Positions();
  private readonly timer: NodeJS.Timeout;
  private session: Session | null = null;
  /** Joins that were asked for and are not answered yet, by request: they are part of the position too. */
  private readonly pending: Map<string, Resumed>;
  private closing = false;
  /** The position told last, and whether another is due. */
  private told = '';
  private isDue = false;
  /** Bytes that the peer had taken when its silence was last looked at. */
  private takenBefore = -1;

  /** @param joins what is joined first, by the id of its request */
  constructor(response: ServerResponse, joins: ReadonlyMap<string, Resumed>, events: StreamEvents) {
    this.response = response;
    this.events = events;
    this.pending = new Map(joins);
    this.positions.seed([...joins.values()]);
    response.on('close', () => {
      clearInterval(this.timer);
      events.ended();
    });
    // Its end is told by `close`.
    response.on('error', () => {});
    this.timer = setInterval(() => this.comment(), COMMENT_MS);
    this.timer.unref();
  }

  /** Tells whose memberships a position is about. */
  open(session: Session): void {
    this.session = session;
  }

  get backlog(): number {
    return this.response.writableLength;
  }

  get isOpen(): boolean {
    const { socket, destroyed } = this.response;
    // A peer that has gone is known by its line before the answer ends.
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

  /** The line that tells the position with an event; empty when it is told at the end of the turn. */
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
    // Without data it is no event, but it is where a reader goes on.
    if (line !== '') response.write(`${line}\n`);
  }

  private idLine({ memberships }: Session): string {
    const text = this.positions.text([...memberships.keys(), ...this.pending.values()]);
    if (text === this.told || text === '') return '';
    this.told = text;
    return `id: ${text}\n`;
  }

  /** What a client posts is bounded where it is posted; there is no line of its own to stop. */
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
