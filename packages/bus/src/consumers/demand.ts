import type { KeyOrder } from './key-order.ts';
import type { Ledger } from './ledger.ts';
import type { Members } from './members.ts';
import type { Pulls } from './pulls.ts';
import { MAX_OWED } from './receipts-owed.ts';

/** Events read ahead, so that members need not wait for a read. */
const MAX_AHEAD = 256;

/** How many events a group reads, besides those that are ready for delivery. */
export class Demand {
  private readonly ledger: Ledger;
  private readonly members: Members;
  private readonly pulls: Pulls;
  private readonly keys: KeyOrder;

  constructor(ledger: Ledger, members: Members, pulls: Pulls, keys: KeyOrder) {
    this.ledger = ledger;
    this.members = members;
    this.pulls = pulls;
    this.keys = keys;
  }

  /** How many more events the current members and pulls want. */
  wanted(ready: number): number {
    const { room } = this;
    if (room === 0) return 0;
    const credit = this.pulls.wanted + this.members.totalCredit;
    if (credit === 0) return 0;
    // With keys, an event may have to wait for its member while others are delivered.
    return !this.keys.isUsed ? Math.max(0, Math.min(room, credit - ready)) : room;
  }

  /** Whether a newly published event is taken directly, without a read. */
  takesLive(ready: number): boolean {
    return this.wanted(ready) > 0 || this.ahead(ready) > 0;
  }

  /** How many events to read now. Reads ahead only once half of the read-ahead is used up, so that reads are few. */
  toRead(ready: number): number {
    const wanted = this.wanted(ready);
    const ahead = this.ahead(ready);
    return ahead > ready ? Math.min(this.room, wanted + ahead) : wanted;
  }

  /** How many more to read ahead: up to twice the events that are out, as long as memory use is low. */
  private ahead(ready: number): number {
    if (this.keys.isUsed || this.members.size === 0 || !this.ledger.isLight) return 0;
    const most = Math.min(MAX_AHEAD, 2 * this.ledger.out);
    return Math.max(0, Math.min(this.room, most - ready));
  }

  /** How many more events the group may hold. */
  private get room(): number {
    const { ledger } = this;
    if (ledger.owed.size >= MAX_OWED) return 0;
    if (ledger.isHeavy) return ledger.size === 0 ? 1 : 0;
    return Math.max(0, ledger.limits.maxUnacked - ledger.size);
  }
}
