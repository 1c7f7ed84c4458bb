import type { Frame, Line } from './line.ts';
import type { Random } from './random.ts';
import { Roamer } from './roamer.ts';
import type { Moment } from './story.ts';

const PREFETCH = 8;
const RETRY_MS = 500;
/** Maximum time a worker takes for an event, unless it freezes. */
const MOST_WORK_MS = 20;
/** A worker freezes on one of this many events: it acks after the lease has expired. */
const FREEZES = 150;

/** A worker's record of a delivered event. */
export interface HandedOut {
  readonly worker: string;
  readonly id: string;
  readonly channel: string;
  readonly sequence: number;
  readonly attempt: number;
  readonly token: string;
  /** When its lease expires, in milliseconds of the servers' clock. */
  readonly deadline: number;
  /** The outcome of its ack: none sent; no response; effective; too late. */
  answer: 'none' | 'asked' | 'done' | 'lost';
  /** The worker's actions on it. */
  readonly moments: Moment[];
}

export interface GroupOfStorm {
  readonly room: string;
  readonly channel: string;
  readonly group: string;
  readonly ackWaitMs: number;
}

/** A member of a group that acks its deliveries on any of its connections, and records the outcomes. */
export class Worker {
  readonly name: string;
  readonly handed: HandedOut[] = [];
  private readonly place: GroupOfStorm;
  private readonly random: Random;
  private readonly roamer: Roamer;
  private readonly timers = new Set<NodeJS.Timeout>();
  private readonly asked = new Map<string, HandedOut>();
  private joinId = '';
  private count = 0;
  private isMember = false;
  private tellMember: () => void = () => {};

  constructor(name: string, urls: readonly string[], place: GroupOfStorm, random: Random) {
    this.name = name;
    this.place = place;
    this.random = random;
    this.roamer = new Roamer(urls, { client_type: 'service' }, random.fork(), {
      connected: (line) => this.join(line),
      frame: (frame, line) => this.take(frame, line),
    });
  }

  get connections(): number {
    return this.roamer.connections;
  }

  cut(): void {
    this.roamer.cut();
  }

  leave(): Promise<void> {
    for (const timer of this.timers) clearTimeout(timer);
    return this.roamer.stop();
  }

  /** Resolves when it first becomes a member. */
  joined(): Promise<void> {
    if (this.isMember) return Promise.resolve();
    return new Promise((resolve) => {
      this.tellMember = resolve;
    });
  }

  private join(line: Line): void {
    const { room, channel, group } = this.place;
    this.joinId = this.ask(line, 'join_channel', { room, channel, group, prefetch: PREFETCH });
  }

  private ask(line: Line, command: string, args: object): string {
    this.count += 1;
    const id = `arq_${this.name}_${this.count}`;
    line.send({ version: '1.0', id, type: 'command', command, args });
    return id;
  }

  private take(frame: Frame, line: Line): void {
    const { request_id: id = '', status } = frame;
    if (frame.type === 'event') this.receive(frame, line);
    else if (id === this.joinId) {
      if (status !== 'success') this.later(() => line.cut(), RETRY_MS);
      this.isMember ||= status === 'success';
      if (this.isMember) this.tellMember();
    } else this.answered(frame, line);
  }

  private receive({ id, channel = '', metadata }: Frame, line: Line): void {
    const { sequence = 0, delivery } = metadata as { sequence?: number; delivery?: Record<string, string & number> };
    if (delivery === undefined) return;
    const { token = '', attempt = 0, deadline = '' } = delivery;
    const event: HandedOut = {
      ...{ worker: this.name, id, channel, sequence, attempt, token, deadline: Date.parse(deadline) },
      answer: 'none',
      moments: [],
    };
    note(event, `handed to ${this.name} by ${line.host}, attempt ${attempt}, token …${token.slice(-6)}`);
    this.handed.push(event);
    const isFrozen = this.random.between(1, FREEZES) === 1;
    const work = this.random.between(0, MOST_WORK_MS);
    this.later(() => this.ack(event, line), isFrozen ? this.place.ackWaitMs + 500 : work);
  }

  private ack(event: HandedOut, line: Line): void {
    if (this.roamer.line !== line) {
      note(event, `${this.name} has lost the line`);
      return;
    }
    event.answer = 'asked';
    note(event, `${this.name} acks …${event.token.slice(-6)}`);
    this.asked.set(this.ask(line, 'delivery.ack', { tokens: [event.token] }), event);
  }

  private answered({ request_id = '', status, error_code, payload }: Frame, line: Line): void {
    const event = this.asked.get(request_id);
    if (event === undefined) return;
    this.asked.delete(request_id);
    note(event, `${this.name} is answered ${status === 'success' ? JSON.stringify(payload) : error_code}`);
    if (status === 'success') event.answer = (payload.done as string[]).includes(event.token) ? 'done' : 'lost';
    else if (error_code === 'LEASE_LOST') event.answer = 'lost';
    // The storage or the driver is unavailable: the outcome is unknown.
    else this.later(() => this.ack(event, line), RETRY_MS);
  }

  private later(work: () => void, delayMs: number): void {
    const timer = setTimeout(() => {
      this.timers.delete(timer);
      work();
    }, delayMs);
    this.timers.add(timer);
  }
}

function note({ moments }: HandedOut, what: string): void {
  moments.push({ at: Date.now(), what });
}
