import type { Clock } from '../clock.ts';
import type { Broker, KeyValueStore } from '../engine/engine.ts';
import type { DeadLetter } from './dead-letters.ts';
import type { GroupPlace, GroupRecord } from './group.ts';
import type { OwedReceipt } from './receipts-owed.ts';
import type { TextBudget } from './text-budget.ts';
import type { GroupTotals } from './totals.ts';

/** What the driver of a group works with, and whom it tells. */
export interface DriverParts {
  readonly broker: Broker;
  readonly store: KeyValueStore;
  readonly clock: Clock;
  readonly texts: TextBudget;
  readonly totals: GroupTotals;
  /** Publishes a dead letter; `retries` tells one death of an event from the next. */
  publishDead(tenant: string, group: GroupRecord, letter: DeadLetter): Promise<void>;
  /** Tells a sender what became of its event. Rejects with STORAGE_UNAVAILABLE. */
  sendReceipt(place: GroupPlace, receipt: OwedReceipt, isAgain: boolean): Promise<void>;
  /** The text of a notice that events were lost. */
  lostNotice(group: GroupRecord, tenant: string, channel: string, count: number): string;
  /** Whether no other node can drive the group by now: else nothing is handed out. */
  isHeld(): boolean;
  /** Another node has taken over. */
  onConflict(): void;
  onFault(error: unknown): void;
}
