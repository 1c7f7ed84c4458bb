import type { Clock } from '../clock.ts';
import type { Broker, KeyValueStore } from '../engine/engine.ts';
import type { DeadLetter } from './dead-letters.ts';
import type { GroupPlace, GroupRecord } from './group.ts';
import type { OwedReceipt } from './receipts-owed.ts';
import type { TextBudget } from './text-budget.ts';
import type { GroupTotals } from './totals.ts';

/** Dependencies and callbacks of a group's driver. */
export interface DriverParts {
  readonly broker: Broker;
  readonly store: KeyValueStore;
  readonly clock: Clock;
  readonly texts: TextBudget;
  readonly totals: GroupTotals;
  /** Publishes a dead letter; `retries` distinguishes the deaths of one event. */
  publishDead(tenant: string, group: GroupRecord, letter: DeadLetter): Promise<void>;
  /** Sends a receipt for an event to its sender. Rejects with STORAGE_UNAVAILABLE. */
  sendReceipt(place: GroupPlace, receipt: OwedReceipt, isAgain: boolean): Promise<void>;
  /** The text of a notice that events were lost. */
  lostNotice(group: GroupRecord, tenant: string, channel: string, count: number): string;
  /** Whether no other node can drive the group yet; otherwise nothing is delivered. */
  isHeld(): boolean;
  /** Another node has taken over. */
  onConflict(): void;
  onFault(error: unknown): void;
}
