import { type Inbound, isRefusal, type Refusal } from '@arqonbus/protocol';

/** An envelope, or the refusal of a frame that was none and is answered in its turn too. */
export type Incoming = Inbound | Refusal;

/** What waits of one connection, and what of it is under way. Most connections have none. */
export class Lane {
  /** Texts to be decoded, and what was decoded and had to wait; the first stands at `head`. */
  private readonly queue: (string | Incoming | undefined)[] = [];
  private head = 0;
  /** UTF-16 units of the texts that wait, and of what is under way. */
  queued = 0;
  underWay = 0;
  inFlight = 0;
  /** What is under way has to be over before anything else begins. */
  isExclusive = false;
  /** Its answers have to leave before anything else begins. */
  isDraining = false;
  /** It stands in the line of those that wait for their turn. */
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

  /** Puts what was decoded and cannot begin yet in front again. */
  putBack(incoming: Incoming): void {
    if (this.head === 0) {
      this.queue.unshift(incoming);
      return;
    }
    this.head -= 1;
    this.queue[this.head] = incoming;
  }

  /** Whether its first has to wait until all that is under way is over. */
  get awaitsOthers(): boolean {
    const { first } = this;
    return this.inFlight > 0 && typeof first === 'object' && !overlaps(first);
  }
}

/** Whether an envelope may be under way together with others. */
export function overlaps(incoming: Incoming): boolean {
  if (isRefusal(incoming)) return false;
  // What no stream orders waits for what was sent before it.
  if (incoming.type === 'event') return incoming.options?.ephemeral !== true && incoming.options?.request === undefined;
  return incoming.type === 'telemetry';
}
