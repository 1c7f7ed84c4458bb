import { BusError } from '@arqonbus/protocol';
import type { Clock } from '../clock.ts';
import type { Awaitable, KeyValueStore } from '../engine/engine.ts';
import { type DeadLetter, DeadLetters, type ListedLetter } from './dead-letters.ts';
import { type Entry, type Ledger, LedgerStream } from './ledger.ts';

/** The delay before storing a dead letter is retried, in milliseconds. */
const RETRY_MS = 1_000;
/** Bytes of dead letters in one response; one letter always fits. */
const MAX_ANSWER = 1_048_576;

export interface DeadLetterQueueParts {
  readonly store: KeyValueStore;
  readonly clock: Clock;
  /** The envelope of an event; null when history no longer has it. */
  fetch(entry: Entry): Awaitable<string | null>;
  publish(letter: DeadLetter): Promise<void>;
  /** The dead letter is stored and published: the event is settled. */
  onKept(entry: Entry): Promise<void>;
  onMissing(entry: Entry): void;
  /** A dead letter is to be redelivered. */
  onRevived(entry: Entry, text: string): void;
  onFault(error: unknown): void;
}

/** Makes dead letters of the events that a ledger gives up, and retries dead letters. */
export class DeadLetterQueue {
  private readonly ledger: Ledger;
  private readonly parts: DeadLetterQueueParts;
  private readonly letters: DeadLetters;
  /** Keys of dead letters that wait to be retried. */
  private revivals: string[] = [];
  private isCollecting = false;
  private isReviving = false;
  private isOver = false;

  constructor(tenant: string, groupId: string, ledger: Ledger, parts: DeadLetterQueueParts) {
    this.ledger = ledger;
    this.parts = parts;
    this.letters = new DeadLetters(parts.store, tenant, groupId);
  }

  get count(): number {
    return this.letters.count;
  }

  async load(): Promise<void> {
    await this.letters.load();
    this.revivals = this.letters.all.filter(({ retrying }) => retrying).map(({ key }) => key);
  }

  close(): void {
    this.isOver = true;
  }

  /** A page of dead letters, oldest first, at most 1 MiB; `next` is the key of the last one when there are more. */
  async list(limit: number, after: string | undefined): Promise<{ letters: ListedLetter[]; next: string | null }> {
    const letters: ListedLetter[] = [];
    let length = 0;
    let last: string | null = null;
    for (const { key, bytes, retrying } of this.letters.all) {
      if (retrying || (after !== undefined && key <= after)) continue;
      if (letters.length === limit || (letters.length > 0 && length + bytes > MAX_ANSWER)) {
        return { letters, next: last };
      }
      const letter = await this.letters.read(key);
      if (letter === null) continue;
      letters.push({ ...letter, key });
      length += bytes;
      last = key;
    }
    return { letters, next: null };
  }

  /** Marks dead letters for redelivery: those of the given message ids or keys, or all. Returns their number. */
  async retry(ids: readonly string[] | undefined, keys?: readonly string[]): Promise<number> {
    const wanted = ids === undefined ? null : new Set(ids);
    const chosen = keys === undefined ? null : new Set(keys);
    let retried = 0;
    for (const { key, id, retrying } of this.letters.all) {
      if (retrying || (wanted !== null && !wanted.has(id)) || (chosen !== null && !chosen.has(key))) continue;
      if ((await this.letters.revive(key)) === null) continue;
      this.revivals.push(key);
      retried += 1;
    }
    return retried;
  }

  async textOf(key: string): Promise<string | null> {
    return (await this.letters.read(key))?.text ?? null;
  }

  /** A retried dead letter is settled. */
  remove(key: string): Promise<void> {
    return this.letters.remove(key);
  }

  /** Retries marked dead letters, as far as there is room. */
  revive(): void {
    if (this.revivals.length === 0 || this.isReviving || this.isOver) return;
    this.isReviving = true;
    const over = (): void => {
      this.isReviving = false;
    };
    this.reviveSome().then(over, (error: unknown) => {
      over();
      this.fault(error);
    });
  }

  private async reviveSome(): Promise<void> {
    while (this.revivals.length > 0 && this.ledger.hasRoom && !this.isOver) {
      const key = this.revivals[0] as string;
      const letter = await this.letters.read(key);
      this.revivals.shift();
      if (letter === null || this.isOver) continue;
      const entry = this.ledger.revive(new LedgerStream(letter.channel, 0, ''), letter.sequence, key);
      if (entry !== null) this.parts.onRevived(entry, letter.text);
    }
  }

  /** Makes dead letters of the events that the ledger has given up, one after the other, until none is left. */
  collect(): void {
    if (this.isCollecting || this.isOver || this.ledger.dying.size === 0) return;
    this.isCollecting = true;
    const again = (): void => {
      this.isCollecting = false;
      this.collect();
    };
    this.collectAll().then(again, (error: unknown) => {
      this.fault(error);
      this.parts.clock.after(RETRY_MS, again);
    });
  }

  private async collectAll(): Promise<void> {
    for (const entry of this.ledger.dying) {
      const text = await this.parts.fetch(entry);
      if (this.isOver || entry.state !== 'dead') continue;
      if (text === null) {
        this.parts.onMissing(entry);
        continue;
      }
      const { sequence, attempts, reason } = entry;
      const { channel } = entry.stream;
      const known = this.letters.find(channel, sequence);
      const letter: DeadLetter = {
        channel,
        sequence,
        id: (JSON.parse(text) as { id: string }).id,
        reason: reason ?? 'rejected',
        attempts,
        at: this.parts.clock.now(),
        retries: (known?.retries ?? 0) + (known?.retrying === true ? 1 : 0),
        retrying: false,
        text,
      };
      // An earlier driver may have stored it and ended before it settled the event.
      if (known === undefined || known.retrying) await this.letters.add(letter);
      await this.parts.publish(letter);
      await this.parts.onKept(entry);
    }
  }

  private fault(error: unknown): void {
    // A storage outage is already reported elsewhere.
    if (!(error instanceof BusError && error.code === 'STORAGE_UNAVAILABLE')) this.parts.onFault(error);
  }
}
