import type { Redis } from 'ioredis';
import type { Durability } from '../engine.ts';
import { hashTag, Keys } from './keys.ts';

/** What is waited for before an ack, beyond the answer of the server itself. */
export interface Replication {
  /** So many replicas are to hold a publication; with 0 only the server's own disk is waited for, if `fsync` says so. */
  readonly replicas: number;
  /** How long that is waited for, in milliseconds, at least 1. */
  readonly waitMs: number;
  /** The server and these replicas are to have synced it to their disks; false when left out. */
  readonly fsync?: boolean;
}

/** What an ack may promise beyond what the server promises alone: null is nothing. */
export type Confirmed = Extract<Durability, 'disk' | 'replicated'> | null;

/** How long the key stays that a question writes, in milliseconds. */
const KEY_MS = 60_000;

/** A command that waits, and what may be promised when it has reached what it waits for. */
export interface Question {
  readonly promise: NonNullable<Confirmed>;
  readonly command: 'wait' | 'waitaof';
  readonly args: readonly number[];
  /** Syncs of the server itself, and replicas. */
  readonly wanted: readonly [synced: number, held: number];
}

/** What is to be asked, the most that may be promised first. */
export function questionsOf({ replicas, waitMs, fsync = false }: Replication): Question[] {
  const questions: Question[] = [];
  if (replicas > 0) {
    const waiting = fsync
      ? ({ command: 'waitaof', args: [1, replicas, waitMs] } as const)
      : ({ command: 'wait', args: [replicas, waitMs] } as const);
    questions.push({ promise: 'replicated', ...waiting, wanted: [fsync ? 1 : 0, replicas] });
  }
  if (fsync) questions.push({ promise: 'disk', command: 'waitaof', args: [1, 0, waitMs], wanted: [1, 0] });
  return questions;
}

/**
 * Finds out how far replicas and disks have followed, over connections of its own to each master: `WAIT` and `WAITAOF`
 * hold up whatever is sent behind them on the same one.
 */
export class Confirmations {
  readonly clients: readonly Redis[];
  private readonly lines: readonly (readonly [Question['promise'], ReadonlyMap<string, Line>])[];
  private readonly ownerOf: (key: string) => string;

  /** Each question has a connection to each master, by the name that `ownerOf` answers for a key. */
  constructor(asked: readonly (readonly [Question, ReadonlyMap<string, Redis>])[], ownerOf: (key: string) => string) {
    this.clients = asked.flatMap(([, clients]) => [...clients.values()]);
    this.lines = asked.map(([question, clients]) => [
      question.promise,
      new Map([...clients].map(([name, client]) => [name, new Line(client, question)])),
    ]);
    this.ownerOf = ownerOf;
  }

  /** What is confirmed of `append`, which wrote to `key`; nothing when it fails. Never rejects. */
  async of(append: Promise<unknown>, key: string): Promise<Confirmed> {
    try {
      await append;
    } catch {
      // Whoever sent it tells of that.
      return null;
    }
    const owner = this.ownerOf(key);
    const answers = await Promise.all(this.lines.map(([, lines]) => lines.get(owner)?.ask(key) ?? false));
    return this.lines[answers.indexOf(true)]?.[0] ?? null;
  }
}

/** What was appended before a question is asked, and shares its answer. */
interface Round {
  /** In a slot of the master. */
  readonly key: string;
  readonly answer: Promise<boolean>;
  resolve(isReached: boolean): void;
}

/**
 * One question to one master. What comes while it is being asked shares the next round, so that no publication waits
 * for another one, and its ack for two rounds at most.
 *
 * Once it was asked in vain, it keeps nobody waiting until it is not.
 */
class Line {
  private readonly client: Redis;
  private readonly question: Question;
  private next: Round | null = null;
  private isAsking = false;
  private isBehind = false;

  constructor(client: Redis, question: Question) {
    this.client = client;
    this.question = question;
  }

  ask(key: string): Promise<boolean> {
    this.next ??= round(key);
    const { answer } = this.next;
    if (!this.isAsking) this.run();
    return this.isBehind ? Promise.resolve(false) : answer;
  }

  private async run(): Promise<void> {
    this.isAsking = true;
    for (let next = this.take(); next !== null; next = this.take()) {
      const isReached = await this.isReached(next.key);
      this.isBehind = !isReached;
      next.resolve(isReached);
      if (this.isBehind) this.next?.resolve(false);
    }
    this.isAsking = false;
  }

  private take(): Round | null {
    const { next } = this;
    this.next = null;
    return next;
  }

  /** The commands tell of what their own connection has written, and so of everything that was written before it. */
  private async isReached(key: string): Promise<boolean> {
    const { command, args, wanted } = this.question;
    try {
      const [, answer] = (await Promise.all([
        this.client.call('set', [Keys.confirmation(hashTag(key)), '', 'PX', KEY_MS]),
        this.client.call(command, [...args]),
      ])) as [unknown, number | readonly [number, number]];
      const [synced, held] = typeof answer === 'number' ? [0, answer] : answer;
      return synced >= wanted[0] && held >= wanted[1];
    } catch {
      // A lost connection, or a server that lost its slot or its role: others tell of these.
      return false;
    }
  }
}

function round(key: string): Round {
  let resolve: Round['resolve'] = () => {};
  const answer = new Promise<boolean>((settle) => {
    resolve = settle;
  });
  return { key, answer, resolve };
}
