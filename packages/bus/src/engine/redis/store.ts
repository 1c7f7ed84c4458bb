import { randomToken } from '@arqonbus/protocol';
import type {
  DeleteOutcome,
  KeyChange,
  KeySpace,
  KeyValueEntry,
  KeyValueStore,
  SetOptions,
  SetOutcome,
} from '../engine.ts';
import type { Changes } from './changes.ts';
import type { Keys } from './keys.ts';
import type { Link } from './link.ts';
import { inTurns } from './ranges.ts';
import type { Script } from './scripts.ts';
import type { Argument, Session } from './session.ts';
import { decodeRecord, exact, exactText, type StoreKeys, storeKeys } from './store-keys.ts';
import { DELETE, SET, SWEEP } from './store-scripts.ts';

const SWEEP_INTERVAL_MS = 250;
/** How long a space that one node sweeps is left to it, and how often one with far expiries is looked at. */
const LEASE_MS = 30_000;
const SPACES_AT_ONCE = 50;
const RECORDS_AT_ONCE = 100;
const ANY = -1;

/**
 * Small durable state in Redis. Expired keys go when a node's sweep finds them, at most {@link SWEEP_INTERVAL_MS} late,
 * and are not seen before; whoever removes one publishes the notice in the same script, so every node is told once.
 */
export class RedisStore implements KeyValueStore {
  private readonly keys: Keys;
  private readonly link: Link;
  private readonly changes: Changes;
  private readonly now: () => number;
  private readonly timer: NodeJS.Timeout;
  private sweeping = false;

  constructor(keys: Keys, link: Link, changes: Changes, now: () => number) {
    this.keys = keys;
    this.link = link;
    this.changes = changes;
    this.now = now;
    this.timer = setInterval(() => this.sweepDue(), SWEEP_INTERVAL_MS);
    this.timer.unref();
  }

  get(at: KeySpace, key: string): Promise<KeyValueEntry | null> {
    const names = storeKeys(this.keys, at.tenant, at.space);
    return this.link.ask(async (session) => {
      const text = await session.command('hget', names.entries(at.namespace), exact(key));
      return this.live(key, text);
    });
  }

  async set(at: KeySpace, key: string, value: string, options: SetOptions = {}): Promise<SetOutcome> {
    const { ifVersion = ANY, ttlMs, quota } = options;
    const expires = ttlMs === undefined ? 0 : this.now() + Math.max(1, Math.ceil(ttlMs));
    const member = `${exact(at.namespace)}\n${exact(key)}`;
    const args = [exact(key), member, randomToken(12), value, expires, ifVersion, quota?.tenantKeys ?? ANY];
    const answer = await this.link.ask(async (session) => {
      const indexed = session.command('sadd', this.keys.spaceTenants(at.space), exact(at.tenant));
      const [outcome] = await Promise.all([this.run(session, SET, at, args), indexed]);
      if (expires > 0) await this.schedule(session, spaceOf(at), expires);
      return outcome as (number | string)[];
    });
    const [first, second] = answer;
    if (first === 'full') return { ok: false, reason: 'full', limit: 'tenant_keys' };
    if (first === 'conflict') return { ok: false, reason: 'conflict', version: Number(second) };
    return { ok: true, version: Number(first), created: second === 1 };
  }

  async delete(at: KeySpace, key: string, ifVersion: number = ANY): Promise<DeleteOutcome> {
    const args = [exact(key), `${exact(at.namespace)}\n${exact(key)}`, ifVersion];
    // Not made twice: the second time would answer that there was nothing to delete.
    const answer = await this.link.ask((session) => this.run(session, DELETE, at, args), false);
    const [first, version] = answer as (number | string)[];
    return first === 'conflict' ? { ok: false, version: Number(version) } : { ok: true, deleted: first === 1 };
  }

  list(at: KeySpace, query: { prefix?: string; after?: string; limit: number }): Promise<KeyValueEntry[]> {
    const { prefix = '', after, limit } = query;
    const entries = storeKeys(this.keys, at.tenant, at.space).entries(at.namespace);
    return this.link.ask(async (session) => {
      const fields = (await session.command('hkeys', entries)) as string[];
      const names = fields
        .map(exactText)
        .filter((name) => name.startsWith(prefix) && (after === undefined || name > after))
        .sort((left, right) => (left < right ? -1 : 1));
      const found: KeyValueEntry[] = [];
      for (let from = 0; from < names.length && found.length < limit; from += RECORDS_AT_ONCE) {
        const some = names.slice(from, from + RECORDS_AT_ONCE);
        const texts = (await session.command('hmget', entries, ...some.map(exact))) as unknown[];
        for (const [index, name] of some.entries()) {
          const entry = this.live(name, texts[index]);
          if (entry !== null && found.length < limit) found.push(entry);
        }
      }
      return found;
    });
  }

  tenants(space: string): Promise<string[]> {
    return this.link.ask(async (session) => {
      const known = (await session.command('smembers', this.keys.spaceTenants(space))) as string[];
      const counted = await inTurns(known.map(exactText), async (tenant) => {
        const [count] = await this.sweep(session, tenant, space);
        return count > 0 ? [tenant] : [];
      });
      return counted.flat();
    });
  }

  watch(space: string, onChange: (change: KeyChange) => void): () => void {
    return this.changes.watch(space, onChange);
  }

  close(): void {
    clearInterval(this.timer);
  }

  private live(key: string, text: unknown): KeyValueEntry | null {
    if (typeof text !== 'string') return null;
    const entry = decodeRecord(key, text);
    return entry.expiresAt !== null && entry.expiresAt <= this.now() ? null : entry;
  }

  private run(session: Session, script: Script, at: KeySpace, args: readonly Argument[]): Promise<unknown> {
    const names: StoreKeys = storeKeys(this.keys, at.tenant, at.space);
    return session.run(
      script,
      [names.count, names.expiries, names.log, names.entries(at.namespace)],
      [this.now(), names.prefix, this.keys.changes, `${exact(at.tenant)}\n${exact(at.space)}`, ...args],
    );
  }

  /** Expires what is due in a space of a tenant; answers how many keys are left and when the next is due (0: none). */
  private async sweep(session: Session, tenant: string, space: string): Promise<[count: number, next: number]> {
    const answer = await this.run(session, SWEEP, { tenant, space, namespace: '' }, []);
    const [count = 0, next = 0] = answer as number[];
    return [count, next];
  }

  /** Has a space swept no later than `due`. */
  private async schedule(session: Session, member: string, due: number): Promise<void> {
    await session.command('zadd', this.keys.expiries, 'LT', due, member);
  }

  private sweepDue(): void {
    const { session } = this.link;
    if (session === null || this.sweeping) return;
    this.sweeping = true;
    const done = (): void => {
      this.sweeping = false;
    };
    // What fails now is still due at the next turn.
    this.sweepSpaces(session).then(done, done);
  }

  private async sweepSpaces(session: Session): Promise<void> {
    const now = this.now();
    const due = await session.command('zrangebyscore', this.keys.expiries, '-inf', now, 'LIMIT', 0, SPACES_AT_ONCE);
    for (const member of due as string[]) {
      const [tenant = '', space = ''] = member.split('\n').map(exactText);
      await session.command('zadd', this.keys.expiries, 'XX', now + LEASE_MS, member);
      let [, next] = await this.sweep(session, tenant, space);
      if (next === 0) {
        // Looked at again once it is gone from the index: a key set in between must not be left out.
        await session.command('zrem', this.keys.expiries, member);
        [, next] = await this.sweep(session, tenant, space);
      }
      if (next > 0) await this.schedule(session, member, next);
    }
  }
}

function spaceOf({ tenant, space }: KeySpace): string {
  return `${exact(tenant)}\n${exact(space)}`;
}
