import { BusError } from '@arqonbus/protocol';
import type { Clock } from '../clock.ts';
import type { Awaitable, Broker, HistoryQuery, StoredEvent } from '../engine/engine.ts';
import { type Expiring, ExpiryHeap } from '../engine/expiry-heap.ts';
import { endOf } from './envelope.ts';
import type { GroupPlace } from './group.ts';
import type { Ledger, LedgerStream } from './ledger.ts';
import { askedOf, MAX_OWED } from './receipts-owed.ts';

/** Events read at a time. */
const READ = 16;
/** The delay before a failed read of the stream is retried, in milliseconds. */
const RETRY_MS = 1_000;

interface Ending extends Expiring {
  readonly sequence: number;
}

export interface ExpiriesParts {
  readonly place: GroupPlace;
  readonly broker: Pick<Broker, 'history'>;
  readonly ledger: Ledger;
  readonly clock: Clock;
  /** An event has expired and its sender wants a receipt; it may be settled already. */
  onOver(sequence: number, text: string): void;
  onFault(error: unknown): void;
}

/**
 * Reports the expiry of one stream's events whose senders want receipts, whether the group has read them or not. Keeps
 * two numbers in memory for each such event; the events stay in history.
 */
export class Expiries {
  private readonly parts: ExpiriesParts;
  private ends: ExpiryHeap<Ending> = new ExpiryHeap();
  private epoch = '';
  /** All events up to here are known. */
  private seen = 0;
  private isWorking = false;
  private isAsked = false;
  private isOver = false;
  private callOff: () => void = () => {};

  constructor(parts: ExpiriesParts) {
    this.parts = parts;
  }

  /** When the next event expires, in milliseconds since 1970; null when none does. */
  get next(): number | null {
    return this.ends.next();
  }

  /** Whether everything that existed at the last look is known and reported. */
  get isQuiet(): boolean {
    return !this.isWorking;
  }

  /** Whether there are events that it does not know yet. */
  async isBehind(): Promise<boolean> {
    return (await this.history({ fromSequence: this.seen + 1, limit: 1 })).length > 0;
  }

  /** Looks for new events, and reports expired ones. */
  look(): void {
    this.isAsked = true;
    if (this.isWorking || this.isOver) return;
    this.isWorking = true;
    this.work().then(
      () => {
        this.isWorking = false;
        if (this.isAsked) this.look();
        else this.arm();
      },
      (error: unknown) => {
        // A storage outage is already reported elsewhere.
        if (!(error instanceof BusError && error.code === 'STORAGE_UNAVAILABLE')) this.parts.onFault(error);
        this.callOff = this.parts.clock.after(RETRY_MS, () => {
          this.isWorking = false;
          this.look();
        });
      },
    );
  }

  close(): void {
    this.isOver = true;
    this.callOff();
  }

  private async work(): Promise<void> {
    this.isAsked = false;
    const stream = this.parts.ledger.streams.get(this.parts.place.channel);
    if (stream === undefined) return;
    if (stream.epoch !== this.epoch) {
      this.epoch = stream.epoch;
      this.ends = new ExpiryHeap();
      this.seen = 0;
    }
    this.seen = Math.max(this.seen, stream.floor);
    await this.read();
    await this.tell(stream);
  }

  private async read(): Promise<void> {
    while (!this.isOver) {
      const found = await this.history({ fromSequence: this.seen + 1, limit: READ });
      if (found.length === 0) return;
      for (const { sequence, text } of found) {
        this.seen = sequence;
        if (askedOf(text, this.parts.place.group) === null) continue;
        const expiresAt = endOf(text);
        if (expiresAt !== Number.POSITIVE_INFINITY) this.ends.add({ sequence, expiresAt });
      }
    }
  }

  private async tell(stream: LedgerStream): Promise<void> {
    const { clock } = this.parts;
    while (!this.isOver && this.hasRoom) {
      const now = clock.now();
      const ending = this.ends.take(now);
      if (ending === undefined) return;
      const { sequence } = ending;
      if (sequence <= stream.floor || stream.settled.has(sequence)) continue;
      const [event] = await this.history({ fromSequence: sequence, toSequence: sequence, limit: 1 });
      if (event !== undefined && !this.isOver && endOf(event.text) <= now) this.parts.onOver(sequence, event.text);
    }
  }

  /** Whether more may be reported now: owed receipts are kept in the group's record. */
  private get hasRoom(): boolean {
    return this.parts.ledger.owed.size < MAX_OWED;
  }

  private history(query: HistoryQuery): Awaitable<StoredEvent[]> {
    const { tenant, room, channel } = this.parts.place;
    return this.parts.broker.history({ tenant, room, channel }, query);
  }

  private arm(): void {
    this.callOff();
    const { next } = this;
    if (next === null || this.isOver || !this.hasRoom) return;
    this.callOff = this.parts.clock.after(Math.max(0, next - this.parts.clock.now()), () => this.look());
  }
}
