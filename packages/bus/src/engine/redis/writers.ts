import type { Redis } from 'ioredis';
import type { Script } from './scripts.ts';

/** How many replicas are to hold a publication before its ack calls it replicated, and how long that is waited for. */
export interface Replication {
  readonly replicas: number;
  /** In milliseconds. */
  readonly waitMs: number;
}

/** What became of a batch. */
export interface Appended {
  readonly answers: Promise<unknown>;
  /** Whether enough replicas hold it, as far as was waited. Never rejects. */
  readonly replicated: Promise<boolean>;
}

/**
 * Connections for publications alone, one to each master: `WAIT` holds up whatever is sent behind it on the same one,
 * and tells of nothing that was sent on another.
 *
 * Once replicas were waited for in vain they are only asked, until they are there again.
 */
export class Writers {
  readonly clients: readonly Redis[];
  private readonly lines: ReadonlyMap<string, Redis>;
  private readonly ownerOf: (key: string) => string;
  private readonly replication: Replication;
  private readonly behind = new Set<Redis>();

  /** `lines` are by the name that `ownerOf` answers for a key. */
  constructor(lines: ReadonlyMap<string, Redis>, ownerOf: (key: string) => string, replication: Replication) {
    this.lines = lines;
    this.ownerOf = ownerOf;
    this.replication = replication;
    this.clients = [...lines.values()];
  }

  append(script: Script, keys: readonly string[], args: readonly (string | number)[]): Appended {
    const line = this.lines.get(this.ownerOf(keys[0] ?? ''));
    if (line === undefined) {
      const unknown = new Error('CLUSTERDOWN a slot has no master that is known');
      return { answers: Promise.reject(unknown), replicated: Promise.resolve(false) };
    }
    const answers = line.call('evalsha', [script.sha, keys.length, ...keys, ...args]);
    return { answers, replicated: this.wait(line) };
  }

  private async wait(line: Redis): Promise<boolean> {
    const { replicas, waitMs } = this.replication;
    try {
      const reached = (await line.call('wait', [replicas, this.behind.has(line) ? 1 : waitMs])) as number;
      if (reached >= replicas) this.behind.delete(line);
      else this.behind.add(line);
      return reached >= replicas;
    } catch {
      // A lost connection, of which others tell.
      return false;
    }
  }
}
