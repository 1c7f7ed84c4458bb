import type { DeadLetter, JsonObject } from '@arqonbus/protocol';
import type { Awaitable } from '../../engine/engine.ts';
import { MAX_BACKLOG_BYTES } from './backlog.ts';
import { Delivery } from './delivery.ts';

export const MAX_DEAD_LETTERS = 1_000;

/** A delivery that was given up, with the reason. */
export interface Letter {
  readonly id: string;
  readonly room: string;
  readonly channel: string;
  readonly text: string;
  readonly attempts: number;
  readonly error: string;
  readonly failedAt: string;
}

/** Where letters are kept beyond this process. Both may reject. */
export interface LetterStore {
  save(letter: Letter): Awaitable<void>;
  /** False when the letter was not there any more. */
  remove(id: string): Awaitable<boolean>;
}

/** One rule's dead letters, oldest first: at most 1,000 of them and 8 MiB, beyond which the oldest go. */
export class DeadLetters {
  private readonly letters: Map<string, Letter> = new Map();
  private readonly store: LetterStore | null;
  private readonly onFault: (error: unknown) => void;
  private bytes = 0;

  /** @param store null: they live in memory alone, as the rule does */
  constructor(store: LetterStore | null, onFault: (error: unknown) => void) {
    this.store = store;
    this.onFault = onFault;
  }

  get size(): number {
    return this.letters.size;
  }

  all(): Letter[] {
    return [...this.letters.values()];
  }

  /** Keeps a letter. Resolves when the store has it too; a store that fails is a fault and costs the letter nothing here. */
  add(letter: Letter): Awaitable<void> {
    this.mirror(letter);
    for (const [id, oldest] of this.letters) {
      if (this.letters.size === 1 || (this.letters.size <= MAX_DEAD_LETTERS && this.bytes <= MAX_BACKLOG_BYTES)) break;
      this.forget(oldest.id);
      void this.guarded(() => this.store?.remove(id));
    }
    return this.guarded(() => this.store?.save(letter));
  }

  /** Takes a letter out; undefined when there is none of that id, or another node took it first. */
  async take(id: string): Promise<Letter | undefined> {
    const letter = this.letters.get(id);
    if (letter === undefined) return undefined;
    this.forget(id);
    if (this.store === null) return letter;
    try {
      return (await this.store.remove(id)) ? letter : undefined;
    } catch (error) {
      this.mirror(letter);
      throw error;
    }
  }

  /** Notes what the store holds already. */
  mirror(letter: Letter): void {
    this.forget(letter.id);
    this.letters.set(letter.id, letter);
    this.bytes += sizeOf(letter);
  }

  /** Notes that the store holds it no more. */
  forget(id: string): void {
    const letter = this.letters.get(id);
    if (letter === undefined) return;
    this.letters.delete(id);
    this.bytes -= sizeOf(letter);
  }

  private async guarded(step: () => Awaitable<unknown>): Promise<void> {
    try {
      await step();
    } catch (error) {
      this.onFault(error);
    }
  }
}

export function letterOf(delivery: Delivery, error: string, now: number): Letter {
  const { id, room, channel, text, attempts } = delivery;
  return { id, room, channel, text, attempts, error, failedAt: new Date(now).toISOString() };
}

/** The delivery begun anew; only this node has it. */
export function redeliver(ruleId: string, { room, channel, text, attempts }: Letter, now: number): Delivery {
  return new Delivery(ruleId, room, channel, text, now, true, attempts);
}

/** As `op.webhook.dead_letters` shows it. */
export function deadLetterRecord({ id, attempts, error, failedAt, text }: Letter): DeadLetter {
  return {
    delivery_id: id,
    attempts,
    last_error: error,
    failed_at: failedAt,
    envelope: JSON.parse(text) as JsonObject,
  };
}

function sizeOf({ text }: Letter): number {
  return text.length * 2;
}
