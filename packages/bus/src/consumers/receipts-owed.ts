import { type Envelope, INBOX } from '@arqonbus/protocol';

/** Receipts that may wait to be sent, beyond which a group hands nothing out. */
export const MAX_OWED = 256;

/** What became of an event, as its sender is told. */
export type Stage = 'handled' | 'rejected' | 'expired';

/** Who wants to be told of an event. */
export interface Asked {
  /** The id of the event. */
  readonly id: string;
  /** Who sent it: its connection, and its subject if it has one. */
  readonly from: string;
  readonly subject: string | null;
}

/** A receipt that is to be sent: it stands in the group's record until it was. */
export interface OwedReceipt extends Asked {
  readonly stage: Stage;
  /** The subject that dealt with it. */
  readonly by: string | null;
  readonly attempts: number;
}

/** Who wants to be told what this group makes of an event; null when nobody does. Only what has the mark is parsed. */
export function askedOf(text: string, group: string): Asked | null {
  if (!text.includes('"receipt":')) return null;
  const { id, type, from, metadata } = JSON.parse(text) as Envelope;
  const wanted = type === 'private' ? group === INBOX && metadata?.receipt === true : metadata?.receipt === group;
  if (!wanted) return null;
  return { id, from, subject: metadata?.sender?.subject ?? null };
}

/** Receipts of one group on their way: settled, written with the settlement, sent, and only then forgotten. */
export class OwedReceipts {
  private readonly owed: Set<OwedReceipt> = new Set();
  /** Those that a driver before this one may have sent. */
  private readonly inherited: Set<OwedReceipt> = new Set();
  /** Those whose settlement is written. */
  private readonly due: Set<OwedReceipt> = new Set();

  get size(): number {
    return this.owed.size;
  }

  get all(): Iterable<OwedReceipt> {
    return this.owed;
  }

  add(receipt: OwedReceipt): void {
    this.owed.add(receipt);
  }

  /** All that are owed now; {@link written} takes them once they are. */
  pending(): OwedReceipt[] {
    return [...this.owed].filter((receipt) => !this.due.has(receipt));
  }

  written(receipts: readonly OwedReceipt[]): void {
    for (const receipt of receipts) if (this.owed.has(receipt)) this.due.add(receipt);
  }

  /** Takes up what a driver before this one owed. */
  restore(receipts: readonly OwedReceipt[]): void {
    for (const receipt of receipts) {
      this.owed.add(receipt);
      this.due.add(receipt);
      this.inherited.add(receipt);
    }
  }

  /** Whether it may have been sent already. */
  isInherited(receipt: OwedReceipt): boolean {
    return this.inherited.has(receipt);
  }

  /** Some that may be sent. */
  next(most: number): OwedReceipt[] {
    const some: OwedReceipt[] = [];
    for (const receipt of this.due) {
      if (some.length === most) break;
      some.push(receipt);
    }
    return some;
  }

  sent(receipt: OwedReceipt): void {
    this.owed.delete(receipt);
    this.due.delete(receipt);
    this.inherited.delete(receipt);
  }
}
