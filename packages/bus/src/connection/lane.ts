import { isRefusal, type Refusal } from '@arqonbus/protocol';
import type { Received } from './plain-event.ts';

/** An envelope, or the refusal of an invalid frame, which is also answered in order. */
export type Incoming = Received | Refusal;

/** The queued and in-flight envelopes of one connection. Most connections have no lane. */
export class Lane {
  /** Texts to decode, and decoded envelopes that had to wait; the first is at `head`. */
  private readonly queue: (string | Incoming | undefined)[] = [];
  private head = 0;
  /** UTF-16 units of queued texts, and of those in flight. */
  queued = 0;
  underWay = 0;
  inFlight = 0;
  /** Envelopes in flight must finish before another one starts. */
  isExclusive = false;
  /** Answers must be sent before another envelope starts. */
  isDraining = false;
  /** Already in the list of connections waiting for a turn. */
  isReady = false;
  isPaused = false;

  get length(): number {
    return this.queue.length - this.head;
  }

  get first(): string | Incoming | undefined {
    return this.queue[this.head];
  }

  push(arrived: string | Incoming): void {
    this.queue.push(arrived);
    if (typeof arrived === 'string') this.queued += arrived.length;
  }

  shift(): string | Incoming {
    const first = this.queue[this.head] as string | Incoming;
    this.queue[this.head] = undefined;
    this.head += 1;
    if (this.head === this.queue.length || this.head === 1_024) {
      this.queue.splice(0, this.head);
      this.head = 0;
    }
    if (typeof first === 'string') this.queued -= first.length;
    return first;
  }

  /** Puts a decoded envelope that cannot start yet back at the front. */
  putBack(incoming: Incoming): void {
    if (this.head === 0) {
      this.queue.unshift(incoming);
      return;
    }
    this.head -= 1;
    this.queue[this.head] = incoming;
  }

  /** Whether its first envelope must wait until all others in flight have finished. */
  get awaitsOthers(): boolean {
    const { first } = this;
    return this.inFlight > 0 && typeof first === 'object' && !overlaps(first);
  }
}

/** Whether an envelope may be in flight together with others. */
export function overlaps(incoming: Incoming): boolean {
  if (isRefusal(incoming)) return false;
  // Events that no stream orders wait for earlier envelopes.
  if (incoming.type === 'event') return incoming.options?.ephemeral !== true && incoming.options?.request === undefined;
  return incoming.type === 'telemetry';
}
