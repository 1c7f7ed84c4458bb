import { BusError } from '@arqonbus/protocol';
import type { Clock } from '../clock.ts';

/** Maximum pulls of one group that wait at the same time. */
const MAX_PULLS = 1_000;
/** Maximum UTF-16 units of envelopes in one response; one event always fits. */
const MAX_ANSWER = 1_048_576;
/** How long a pull without a wait time waits for a running read, in milliseconds. */
const READ_MS = 5_000;
const PREFIX = 'pull:';

/** One request for events. */
export class Pull {
  readonly id: string;
  readonly limit: number;
  readonly waits: boolean;
  readonly texts: string[] = [];
  private readonly resolve: (texts: string[]) => void;
  private length = 0;
  callOff: () => void = () => {};

  constructor(id: string, limit: number, waits: boolean, resolve: (texts: string[]) => void) {
    this.id = id;
    this.limit = limit;
    this.waits = waits;
    this.resolve = resolve;
  }

  get left(): number {
    return this.length >= MAX_ANSWER ? 0 : this.limit - this.texts.length;
  }

  send(text: string): void {
    this.texts.push(text);
    this.length += text.length;
  }

  answer(): void {
    this.callOff();
    this.resolve(this.texts);
  }
}

/** Pulls of a group by callers that are not members; each is answered once, with the events available. */
export class Pulls {
  private readonly clock: Clock;
  private readonly waiting: Set<Pull> = new Set();

  constructor(clock: Clock) {
    this.clock = clock;
  }

  get size(): number {
    return this.waiting.size;
  }

  /** How many events they take in total. */
  get wanted(): number {
    let wanted = 0;
    for (const { left } of this.waiting) wanted += left;
    return wanted;
  }

  /** Resolves as soon as there are events, or without any after `waitMs`. Throws LIMIT_EXCEEDED. */
  ask(who: string, limit: number, waitMs: number): Promise<string[]> {
    if (this.waiting.size >= MAX_PULLS) {
      throw new BusError('LIMIT_EXCEEDED', `${MAX_PULLS} pulls of this group wait already; try again later.`, {
        limit: MAX_PULLS,
      });
    }
    return new Promise((resolve) => {
      const pull = new Pull(PREFIX + who, limit, waitMs > 0, resolve);
      this.waiting.add(pull);
      pull.callOff = this.clock.after(waitMs > 0 ? waitMs : READ_MS, () => this.end(pull));
    });
  }

  /** The pull that gets the next event. */
  next(): Pull | undefined {
    for (const pull of this.waiting) if (pull.left > 0) return pull;
    return undefined;
  }

  /** Answers the pulls that have events. */
  flush(): void {
    for (const pull of this.waiting) if (pull.texts.length > 0) this.end(pull);
  }

  /** There are no events now: answers the pulls without a wait time. */
  settleEmpty(): void {
    for (const pull of this.waiting) if (!pull.waits) this.end(pull);
  }

  /** Returns the holder id of its leases. */
  cancel(who: string): string {
    const id = PREFIX + who;
    for (const pull of this.waiting) if (pull.id === id) this.end(pull);
    return id;
  }

  close(): void {
    for (const pull of this.waiting) this.end(pull);
  }

  isPull(member: string): boolean {
    return member.startsWith(PREFIX);
  }

  private end(pull: Pull): void {
    if (this.waiting.delete(pull)) pull.answer();
  }
}
