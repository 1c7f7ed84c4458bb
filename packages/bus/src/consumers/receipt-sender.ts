import { BusError } from '@arqonbus/protocol';
import type { Clock } from '../clock.ts';
import type { Awaitable } from '../engine/engine.ts';
import type { GroupPlace } from './group.ts';
import type { Journal } from './journal.ts';
import type { Entry, Ledger } from './ledger.ts';
import { askedOf, type OwedReceipt, type OwedReceipts, type Stage } from './receipts-owed.ts';

/** Receipts being sent at the same time. */
const AT_ONCE = 16;
/** The delay before a failed receipt is retried, in milliseconds. */
const RETRY_MS = 1_000;

/** How receipts reach the senders of events. */
export interface ReceiptWay {
  /** Resolves once the receipt is delivered, or its addressee is gone. Rejects with STORAGE_UNAVAILABLE. */
  send(place: GroupPlace, receipt: OwedReceipt, isAgain: boolean): Promise<void>;
}

export interface ReceiptSenderParts {
  readonly clock: Clock;
  /** Null for a group that is not kept. */
  readonly journal: Pick<Journal, 'saved' | 'note'> | null;
  /** The envelope of an event; null when history no longer has it. */
  fetch(entry: Entry): Awaitable<string | null>;
  /** Resolves once the receipt has reached its addressee, or has none any more; rejects with STORAGE_UNAVAILABLE. */
  send(receipt: OwedReceipt, isAgain: boolean): Promise<void>;
  /** Some were sent: there is room for others. */
  onSent(): void;
  onFault(error: unknown): void;
}

/** Sends the receipts that a group owes, each after its settlement is written, and retries until it is sent. */
export class ReceiptSender {
  private readonly group: string;
  private readonly ledger: Ledger;
  private readonly owed: OwedReceipts;
  private readonly parts: ReceiptSenderParts;
  private sending: Promise<void> | null = null;
  private isOver = false;

  constructor(group: string, ledger: Ledger, parts: ReceiptSenderParts) {
    this.group = group;
    this.ledger = ledger;
    this.owed = ledger.owed;
    this.parts = parts;
  }

  /** Notes who wants a receipt for an event; returns its envelope. */
  learn(entry: Entry, text: string | null): string | null {
    entry.asked = text === null ? null : askedOf(text, this.group);
    return text;
  }

  /** Rereads events that an earlier driver delivered: their senders may want receipts. */
  async learnOf(tokens: readonly string[]): Promise<void> {
    for (const token of tokens) {
      const entry = this.ledger.find(token);
      if (entry?.asked === undefined && entry !== undefined) this.learn(entry, await this.parts.fetch(entry));
    }
  }

  /** An event is settled: queues a receipt if its sender wants one, to be sent once the settlement is written. */
  owe({ asked, attempts }: Entry, stage: Stage, by: string | null): void {
    if (asked === null || asked === undefined) return;
    this.owed.add({ ...asked, stage, by, attempts });
    this.added();
  }

  private added(): void {
    const receipts = this.owed.pending();
    const { journal } = this.parts;
    const saved = journal === null ? Promise.resolve() : journal.saved();
    saved.then(
      () => {
        this.owed.written(receipts);
        this.start();
      },
      // The next driver finds them in the record, if they were written.
      () => {},
    );
  }

  /** Sends the receipts that are due. */
  start(): void {
    if (this.sending !== null || this.isOver || this.owed.next(1).length === 0) return;
    this.sending = this.sendAll().then(
      () => {
        this.sending = null;
        this.start();
      },
      (error: unknown) => {
        this.sending = null;
        if (!(error instanceof BusError && error.code === 'STORAGE_UNAVAILABLE')) this.parts.onFault(error);
        this.parts.clock.after(RETRY_MS, () => this.start());
      },
    );
  }

  /** Stops sending. Resolves when nothing is in progress. */
  async stop(): Promise<void> {
    this.isOver = true;
    await this.sending;
  }

  private async sendAll(): Promise<void> {
    for (let some = this.owed.next(AT_ONCE); some.length > 0 && !this.isOver; some = this.owed.next(AT_ONCE)) {
      const sent = await Promise.allSettled(some.map((receipt) => this.send(receipt)));
      this.parts.onSent();
      for (const one of sent) if (one.status === 'rejected') throw one.reason;
    }
  }

  private async send(receipt: OwedReceipt): Promise<void> {
    await this.parts.send(receipt, this.owed.isInherited(receipt));
    this.owed.sent(receipt);
    this.parts.journal?.note();
  }
}
