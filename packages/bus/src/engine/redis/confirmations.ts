import type { Redis } from 'ioredis';
import type { Durability } from '../engine.ts';
import { hashTag, Keys } from './keys.ts';

/** What an ack waits for, beyond the server's own answer. */
export interface Replication {
  /**
   * Number of replicas that must have a publication; with 0 only the server's own disk is awaited, if `fsync` is set.
   */
  readonly replicas: number;
  /** How long to wait, in milliseconds, at least 1. */
  readonly waitMs: number;
  /** The server and these replicas must have synced it to disk; default false. */
  readonly fsync?: boolean;
}

/** What an ack can guarantee beyond the server's own durability; null for nothing. */
export type Confirmed = Extract<Durability, 'disk' | 'replicated'> | null;

/** Time to live of the key that a question writes, in milliseconds. */
const KEY_MS = 60_000;

/** A command that waits, and the guarantee that holds once its target is reached. */
export interface Question {
  readonly promise: NonNullable<Confirmed>;
  readonly command: 'wait' | 'waitaof';
  readonly args: readonly number[];
  /** Required syncs of the server itself, and required replicas. */
  readonly wanted: readonly [synced: number, held: number];
}

/** The questions to ask, strongest guarantee first. */
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
 * Finds out how far replicas and disks have caught up, over separate connections to each master: `WAIT` and `WAITAOF`
 * block everything sent after them on the same connection.
 */
export class Confirmations {
  readonly clients: readonly Redis[];
  private readonly lines: readonly (readonly [Question['promise'], ReadonlyMap<string, Line>])[];
  private readonly ownerOf: (key: string) => string;

  /** Each question has a connection to each master, by the name that `ownerOf` returns for a key. */
  constructor(asked: readonly (readonly [Question, ReadonlyMap<string, Redis>])[], ownerOf: (key: string) => string) {
    this.clients = asked.flatMap(([, clients]) => [...clients.values()]);
    this.lines = asked.map(([question, clients]) => [
      question.promise,
      new Map([...clients].map(([name, client]) => [name, new Line(client, question)])),
    ]);
    this.ownerOf = ownerOf;
  }

  /** What is confirmed of `append`, which wrote to `key`; null if it fails. Never rejects. */
  async of(append: Promise<unknown>, key: string): Promise<Confirmed> {
    try {
      await append;
    } catch {
      // The sender handles this error.
      return null;
    }
    const owner = this.ownerOf(key);
    const answers = await Promise.all(this.lines.map(([, lines]) => lines.get(owner)?.ask(key) ?? false));
    return this.lines[answers.indexOf(true)]?.[0] ?? null;
  }
}

/** The appends before a question is asked, which share its answer. */
interface Round {
  /** In a slot of the master. */
  readonly key: string;
  readonly answer: Promise<boolean>;
  resolve(isReached: boolean): void;
}

/**
 * One question to one master. Appends that arrive while it is being asked share the next round, so no publication waits
 * for another one, and its ack waits for two rounds at most.
 *
 * After an unsuccessful round nobody waits until a round succeeds again.
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

  /** The commands cover what their own connection has written, and thus everything written before it. */
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
      // A lost connection, or a server that lost its slot or its role: other code reports these.
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
