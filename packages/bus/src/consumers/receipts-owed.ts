import { type Envelope, INBOX } from '@arqonbus/protocol';

/** Receipts waiting to be sent, beyond which a group delivers nothing. */
export const MAX_OWED = 256;

/** The outcome of an event, as reported to its sender. */
export type Stage = 'handled' | 'rejected' | 'expired';

/** The sender that wants a receipt for an event. */
export interface Asked {
  /** The id of the event. */
  readonly id: string;
  /** The sender's connection, and its subject if it has one. */
  readonly from: string;
  readonly subject: string | null;
}

/** A receipt to be sent: it stays in the group's record until then. */
export interface OwedReceipt extends Asked {
  readonly stage: Stage;
  /** The subject that settled it. */
  readonly by: string | null;
  readonly attempts: number;
}

/** Who wants a receipt from this group for an event; null when nobody does. Parses only texts with the mark. */
export function askedOf(text: string, group: string): Asked | null {
  if (!text.includes('"receipt":')) return null;
  const { id, type, from, metadata } = JSON.parse(text) as Envelope;
  const wanted = type === 'private' ? group === INBOX && metadata?.receipt === true : metadata?.receipt === group;
  if (!wanted) return null;
  return { id, from, subject: metadata?.sender?.subject ?? null };
}

/** Receipts of one group until they are sent: settled, written with the settlement, sent, and only then removed. */
export class OwedReceipts {
  private readonly owed: Set<OwedReceipt> = new Set();
  /** Receipts that an earlier driver may have sent. */
  private readonly inherited: Set<OwedReceipt> = new Set();
  /** Receipts whose settlement is written. */
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

  /** All owed receipts whose settlement is not written yet; pass them to {@link written} once it is. */
  pending(): OwedReceipt[] {
    return [...this.owed].filter((receipt) => !this.due.has(receipt));
  }

  written(receipts: readonly OwedReceipt[]): void {
    for (const receipt of receipts) if (this.owed.has(receipt)) this.due.add(receipt);
  }

  /** Restores what an earlier driver owed. */
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

  /** Some receipts that may be sent. */
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
