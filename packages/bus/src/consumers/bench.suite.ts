import { openDraft } from '@arqonbus/protocol';
import type { Engine, StreamEvent } from '../engine/engine.ts';
import { createMemoryEngine } from '../engine/memory/memory.ts';
import { FakeClock } from '../operators/fake-clock.suite.ts';
import { onEnd } from '../operators/rig.suite.ts';
import type { Answered } from './answer.ts';
import { Driver } from './driver.ts';
import { unmarkDelivery } from './envelope.ts';
import { type GroupRecord, settingsOf } from './group.ts';
import { STATE_SPACE } from './group-store.ts';
import { TextBudget } from './text-budget.ts';
import { GroupTotals } from './totals.ts';
import { UncertainStore } from './uncertain-store.suite.ts';

const STREAM = { tenant: 'default', room: 'work', channel: 'jobs' };

export interface Seat {
  readonly driver: Driver;
  readonly clock: FakeClock;
  /** Tokens that its members got, in order. */
  readonly tokens: string[];
  readonly numbers: unknown[];
  /** How many events its members were told are lost. */
  readonly losses: unknown[];
  readonly conflicts: unknown[];
  /** Whether it has the lease of the group. */
  isHeld: boolean;
  member(id: string, prefetch?: number): void;
}

/** One backend, and drivers of one group on it, as nodes that follow each other have them. */
export class Bench {
  readonly engine: Engine = createMemoryEngine();
  /** Where drivers keep how far the group is. */
  readonly store: UncertainStore = new UncertainStore(this.engine.store, STATE_SPACE);
  readonly record: GroupRecord;
  private readonly drivers: Driver[] = [];
  private count = 0;
  /** Events that history keeps. */
  kept = 1_000;
  /** Whether what is published is stored and passes the drivers by. */
  isDeaf = false;

  constructor(settings: Parameters<typeof settingsOf>[0] = {}) {
    this.record = {
      group_id: 'gid',
      ...{ room: STREAM.room, channel: STREAM.channel, group: 'g' },
      settings: settingsOf({ backoff_seconds: [1, 5], ...settings }),
      paused: false,
      owner: 'ada',
      created_at: 0,
      begin: {},
    };
  }

  async open(): Promise<this> {
    const deliver = (event: StreamEvent): number => {
      if (!this.isDeaf) for (const driver of this.drivers) driver.take(event);
      return 0;
    };
    const nothing = (): void => {};
    await this.engine.open({
      deliver,
      receive: nothing,
      health: nothing,
      historyGap: nothing,
      gap: nothing,
      trimmed: nothing,
    });
    onEnd(() => this.engine.close());
    return this;
  }

  async drive(): Promise<Seat> {
    const clock = new FakeClock();
    const conflicts: unknown[] = [];
    const [tokens, numbers, losses]: [string[], unknown[], unknown[]] = [[], [], []];
    const driver = new Driver('default', this.record, true, {
      broker: this.engine.broker,
      store: this.store,
      clock,
      texts: new TextBudget(),
      totals: new GroupTotals(),
      publishDead: async () => {},
      lostNotice: (_group, _tenant, _channel, lost) => JSON.stringify({ lost }),
      sendReceipt: async () => {},
      isHeld: () => seat.isHeld,
      onConflict: () => conflicts.push(null),
      onFault: (error) => {
        throw error;
      },
    });
    const send = (text: string): void => {
      const unmarked = unmarkDelivery(text);
      if (unmarked === null) {
        losses.push(JSON.parse(text).lost);
        return;
      }
      tokens.push(unmarked.delivery.token);
      numbers.push(JSON.parse(unmarked.text).payload.n);
    };
    const member = (id: string, prefetch = 10): void => driver.join({ id, node: 'n', subject: null, prefetch, send });
    const seat: Seat = { driver, clock, tokens, numbers, losses, conflicts, isHeld: true, member };
    this.drivers.push(driver);
    onEnd(() => driver.stop());
    await driver.start();
    return seat;
  }

  publish(...numbers: unknown[]): void {
    for (const n of numbers) {
      this.count += 1;
      const source = { id: `arq_${this.count}`, type: 'event', ...STREAM, from: 'x', payload: { n } } as const;
      const draft = openDraft(source, Date.now());
      void this.engine.broker.publish({
        stream: STREAM,
        draft,
        identity: 'x',
        retention: { size: this.kept, ttlMs: 86_400_000 },
      });
    }
  }
}

export function ack(seat: Seat, ...tokens: string[]): Promise<Answered> {
  return seat.driver.answer({ kind: 'ack', tokens, by: null });
}
