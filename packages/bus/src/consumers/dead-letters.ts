import { newId } from '@arqonbus/protocol';
import type { KeySpace, KeyValueStore } from '../engine/engine.ts';

const SPACE = 'group_dead';
/** Dead letters of one group, and their bytes; the oldest are deleted beyond these limits. */
const MAX_LETTERS = 1_000;
const MAX_BYTES = 16 * 1_048_576;
const PAGE = 100;

/** An event that used all its attempts, or was rejected. */
export interface DeadLetter {
  /** The stream's channel, and the position in it. */
  readonly channel: string;
  readonly sequence: number;
  /** The id of the envelope. */
  readonly id: string;
  readonly reason: string;
  readonly attempts: number;
  /** Milliseconds since 1970. */
  readonly at: number;
  /** Number of earlier retries. */
  readonly retries: number;
  /** It is being redelivered, and not listed meanwhile. */
  readonly retrying: boolean;
  /** The envelope as its stream had it. */
  readonly text: string;
}

/** A letter with the key it is stored under, which determines its order. */
export type ListedLetter = DeadLetter & { readonly key: string };

/** Metadata of a letter, without its text. */
export type LetterSummary = Omit<DeadLetter, 'text'> & { readonly key: string; readonly bytes: number };

/**
 * The dead letters of one group, in the key-value store, oldest first. A letter that is retried stays until it is
 * settled, so that nothing is lost when a node dies meanwhile.
 */
export class DeadLetters {
  private readonly store: KeyValueStore;
  private readonly at: KeySpace;
  /** By key, in their order. */
  private readonly letters: Map<string, LetterSummary> = new Map();
  private bytes = 0;
  /** Letters deleted because there were too many. */
  dropped = 0;

  constructor(store: KeyValueStore, tenant: string, groupId: string) {
    this.store = store;
    this.at = { tenant, space: SPACE, namespace: groupId };
  }

  /** Number of listed letters. */
  get count(): number {
    let count = 0;
    for (const { retrying } of this.letters.values()) if (!retrying) count += 1;
    return count;
  }

  get all(): readonly LetterSummary[] {
    return [...this.letters.values()];
  }

  async load(): Promise<void> {
    this.letters.clear();
    this.bytes = 0;
    for (let after: string | undefined; ; ) {
      const found = await this.store.list(this.at, { limit: PAGE, ...(after === undefined ? {} : { after }) });
      for (const { key, value } of found) this.index(key, value, JSON.parse(value) as DeadLetter);
      if (found.length < PAGE) return;
      after = found[found.length - 1]?.key;
    }
  }

  find(channel: string, sequence: number): LetterSummary | undefined {
    for (const letter of this.letters.values()) {
      if (letter.channel === channel && letter.sequence === sequence) return letter;
    }
    return undefined;
  }

  /** Stores a letter; one that was being retried moves to its new position. */
  async add(letter: DeadLetter): Promise<void> {
    const before = this.find(letter.channel, letter.sequence);
    // Sorted by time; the suffix distinguishes letters of the same millisecond.
    const key = `${String(letter.at).padStart(15, '0')}-${newId()}`;
    const value = JSON.stringify(letter);
    await this.store.set(this.at, key, value);
    this.index(key, value, letter);
    if (before !== undefined) await this.remove(before.key);
    while (this.letters.size > MAX_LETTERS || this.bytes > MAX_BYTES) {
      const oldest = this.all.find(({ retrying }) => !retrying) ?? this.all[0];
      if (oldest === undefined || oldest.key === key) break;
      await this.remove(oldest.key);
      this.dropped += 1;
    }
  }

  async read(key: string): Promise<DeadLetter | null> {
    const entry = await this.store.get(this.at, key);
    return entry === null ? null : (JSON.parse(entry.value) as DeadLetter);
  }

  /** Marks a letter as being retried; returns it, or null when it is gone. */
  async revive(key: string): Promise<DeadLetter | null> {
    const letter = await this.read(key);
    if (letter === null) return null;
    const value = JSON.stringify({ ...letter, retrying: true } satisfies DeadLetter);
    await this.store.set(this.at, key, value);
    this.index(key, value, { ...letter, retrying: true });
    return letter;
  }

  async remove(key: string): Promise<void> {
    await this.store.delete(this.at, key);
    this.bytes -= this.letters.get(key)?.bytes ?? 0;
    this.letters.delete(key);
  }

  /** Deletes all letters, when the group is gone. */
  async clear(): Promise<void> {
    for (;;) {
      const found = await this.store.list(this.at, { limit: PAGE });
      for (const { key } of found) await this.store.delete(this.at, key);
      if (found.length < PAGE) break;
    }
    this.letters.clear();
    this.bytes = 0;
  }

  private index(key: string, value: string, { text: _text, ...letter }: DeadLetter): void {
    const bytes = Buffer.byteLength(value);
    this.bytes += bytes - (this.letters.get(key)?.bytes ?? 0);
    this.letters.set(key, { ...letter, key, bytes });
  }
}
