import type { ErrorCode } from '@arqonbus/protocol';

const SECONDS = 60;

/** Connection and envelope counters of one tenant: plain numbers, cheap on the hot path. */
export class Traffic {
  private readonly now: () => number;
  /** Connections open now, and in total. */
  active = 0;
  connections = 0;
  /** Valid envelopes from clients since the start. */
  received = 0;
  private readonly perSecond: number[] = new Array<number>(SECONDS).fill(0);
  private lastSecond: number;
  private counted = 0;

  constructor(now: () => number) {
    this.now = now;
    this.lastSecond = Math.floor(now() / 1000);
  }

  /** Records the count since the last call; call about once a second. */
  tick(): void {
    const second = Math.floor(this.now() / 1000);
    const passed = Math.min(second - this.lastSecond, SECONDS);
    for (let step = 1; step <= passed; step += 1) this.perSecond[(this.lastSecond + step) % SECONDS] = 0;
    this.lastSecond = second;
    this.perSecond[second % SECONDS] = (this.perSecond[second % SECONDS] ?? 0) + this.received - this.counted;
    this.counted = this.received;
  }

  /** Envelopes of the last minute. */
  ratePerMinute(): number {
    this.tick();
    return this.perSecond.reduce((sum, count) => sum + count, 0);
  }
}

/** Context of a refused message, without its content. */
export interface RefusedMessage {
  readonly tenant: string;
  readonly client_id: string;
  readonly message_id?: string | undefined;
  readonly room?: string | undefined;
  readonly channel?: string | undefined;
}

/** Called for a refused message; must not throw or block. */
export type RefusalListener = (code: ErrorCode, message: RefusedMessage) => void;

/** Error counters, for the metrics and the log. */
export class FaultCounters {
  /** Called for refused messages, within the event budget of each client. */
  readonly refusals: Set<RefusalListener> = new Set();
  private readonly budget: { allows(tenant: string, clientId: string): boolean };

  slowConsumers = 0;
  rateLimited = 0;
  readonly errors: Map<ErrorCode, number> = new Map();

  constructor(budget: { allows(tenant: string, clientId: string): boolean }) {
    this.budget = budget;
  }

  failed(code: ErrorCode, message?: RefusedMessage): void {
    this.errors.set(code, (this.errors.get(code) ?? 0) + 1);
    if (message === undefined || this.refusals.size === 0) return;
    if (!this.budget.allows(message.tenant, message.client_id)) return;
    for (const listener of this.refusals) listener(code, message);
  }
}
