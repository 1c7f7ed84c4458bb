import { randomToken } from '@arqonbus/protocol';
import type {
  DeleteOutcome,
  KeyChange,
  KeyQuery,
  KeySpace,
  KeyValueEntry,
  KeyValueStore,
  QuotaLimit,
  SetOptions,
  SetOutcome,
  TenantSpace,
} from '../engine.ts';
import { bytesOf } from '../quota.ts';
import type { Changes } from './changes.ts';
import { decodeRecord, exact, exactText, type Keys, ownerName, type StoreKeys, storeKeys } from './keys.ts';
import type { Link } from './link.ts';
import { DELETE, DUE, FETCH, milliseconds, type Script, SET, SWEEP } from './scripts.ts';
import { type Argument, inTurns, lossyRun, type Session } from './session.ts';

const SWEEP_INTERVAL_MS = 250;
/** How long a space being swept is leased to one node, and how often a space with distant expiries is checked. */
const LEASE_MS = 30_000;
const SPACES_AT_ONCE = 50;
const RECORDS_AT_ONCE = 100;
/** Keys expired per script, so that it does not block the server for long. */
const KEYS_AT_ONCE = 200;
const ANY = -1;

/**
 * Small durable state in Redis. Expired keys are removed by a node's sweep, at most {@link SWEEP_INTERVAL_MS} late, but
 * are not returned after they expire; the removing script also publishes the notice, so every node gets it once.
 */
export class RedisStore implements KeyValueStore {
  private readonly keys: Keys;
  private readonly link: Link;
  private readonly changes: Changes;
  /** The run id of the first server this node connected to. */
  private firstRun: string | null = null;
  private readonly timer: NodeJS.Timeout;
  private sweeping = false;

  constructor(keys: Keys, link: Link, changes: Changes) {
    this.keys = keys;
    this.link = link;
    this.changes = changes;
    this.timer = setInterval(() => this.sweepDue(), SWEEP_INTERVAL_MS);
    this.timer.unref();
  }

  get(at: KeySpace, key: string): Promise<KeyValueEntry | null> {
    const names = storeKeys(this.keys, at.tenant, at.space);
    return this.link.ask(async (session) => {
      const [entry = null] = await this.fetch(session, names.entries(at.namespace), [key]);
      return entry;
    });
  }

  /** Called when a server has connected, a new one or the same one again. */
  connected(session: Session): void {
    this.firstRun ??= session.runId;
  }

  async set(at: KeySpace, key: string, value: string, options: SetOptions = {}): Promise<SetOutcome> {
    const { ifVersion = ANY, ttlMs, version = 0, quota } = options;
    const ttl = ttlMs === undefined ? 0 : milliseconds(ttlMs);
    const owner = quota === undefined ? '' : ownerName(quota.owner);
    const { ownerKeys = 0, ownerBytes = 0, tenantKeys = 0, tenantBytes = 0 } = quota ?? {};
    const tag = randomToken(12);
    const answer = await this.link.ask(async (session) => {
      const run = lossyRun(session);
      const known = !session.partitioned && run !== this.firstRun ? 1 : 0;
      const args = [nameOf(at, key), tag, value, ttl, ifVersion, bytesOf(key, value), run, known, owner];
      const indexed = session.command('sadd', this.keys.spaceTenants(at.space), exact(at.tenant));
      const [outcome] = await Promise.all([
        this.run(session, SET, at, [exact(key), ...args, ...[ownerKeys, ownerBytes, tenantKeys, tenantBytes, version]]),
        indexed,
      ]);
      const [, , expires] = outcome as [unknown, unknown, number?];
      if (expires !== undefined && expires > 0) await this.schedule(session, spaceOf(at), expires);
      return outcome as (number | string)[];
    });
    const [first, second] = answer;
    if (first === 'full') return { ok: false, reason: 'full', limit: second as QuotaLimit };
    if (first === 'conflict') return { ok: false, reason: 'conflict', version: Number(second) };
    return { ok: true, version: Number(first), created: second === 1 };
  }

  async delete(at: KeySpace, key: string, ifVersion: number = ANY): Promise<DeleteOutcome> {
    const args = [exact(key), nameOf(at, key), ifVersion];
    // Not repeatable: a second run would answer that there was nothing to delete.
    const answer = await this.link.ask((session) => this.run(session, DELETE, at, args), false);
    const [first, version] = answer as (number | string)[];
    return first === 'conflict' ? { ok: false, version: Number(version) } : { ok: true, deleted: first === 1 };
  }

  list(at: KeySpace, query: KeyQuery): Promise<KeyValueEntry[]> {
    const { prefix = '', after, limit, owners = false } = query;
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
        for (const entry of await this.fetch(session, entries, some, owners)) {
          if (entry !== null && found.length < limit) found.push(entry);
        }
      }
      return found;
    });
  }

  spaces(): Promise<TenantSpace[]> {
    return this.link.ask(async (session) => {
      const found = new Map<string, { readonly at: KeySpace; readonly namespaces: Set<string> }>();
      for await (const names of session.scan(this.keys.anySpace)) {
        for (const name of names) {
          const place = this.keys.spaceOf(name);
          if (place === null) continue;
          const [tenant, space, namespace] = place;
          const member = spaceOf({ tenant, space, namespace: '' });
          const known = found.get(member) ?? { at: { tenant, space, namespace: '' }, namespaces: new Set() };
          if (namespace !== null) known.namespaces.add(namespace);
          found.set(member, known);
        }
      }
      return inTurns([...found.values()], async ({ at: { tenant, space }, namespaces }) => {
        const version = await session.command('hget', storeKeys(this.keys, tenant, space).usage, 'version');
        return { tenant, space, version: Number(version ?? 0), namespaces: [...namespaces] };
      });
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

  /** The current keys, null where there is none. */
  private async fetch(
    session: Session,
    entries: string,
    names: readonly string[],
    owners = false,
  ): Promise<(KeyValueEntry | null)[]> {
    const texts = (await session.run(FETCH, [entries], names.map(exact))) as (string | null)[];
    return names.map((name, index) => {
      const text = texts[index];
      return typeof text === 'string' ? decodeRecord(name, text, owners) : null;
    });
  }

  private run(session: Session, script: Script, at: KeySpace, args: readonly Argument[]): Promise<unknown> {
    const names: StoreKeys = storeKeys(this.keys, at.tenant, at.space);
    return session.run(
      script,
      [names.usage, names.expiries, names.log, names.entries(at.namespace)],
      [names.prefix, this.keys.changes, `${exact(at.tenant)}\n${exact(at.space)}`, ...args],
    );
  }

  /** Expires what is due in a tenant's space; returns the number of remaining keys and the next expiry (0: none). */
  private async sweep(session: Session, tenant: string, space: string): Promise<[count: number, next: number]> {
    for (;;) {
      const answer = await this.run(session, SWEEP, { tenant, space, namespace: '' }, [KEYS_AT_ONCE]);
      const [count = 0, next = 0, more = 0] = answer as number[];
      if (more === 0) return [count, next];
    }
  }

  /** Schedules a sweep of a space no later than `due`. */
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
    // What fails now is still due next time.
    this.sweepSpaces(session).then(done, done);
  }

  private async sweepSpaces(session: Session): Promise<void> {
    const due = (await session.run(DUE, [this.keys.expiries], [SPACES_AT_ONCE, LEASE_MS])) as string[];
    for (const member of due) {
      const [tenant = '', space = ''] = member.split('\n').map(exactText);
      let [, next] = await this.sweep(session, tenant, space);
      if (next === 0) {
        // Checked again after removal from the index: a key set in between must not be missed.
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

/** A key's name within a space, including its namespace. */
function nameOf({ namespace }: KeySpace, key: string): string {
  return `${exact(namespace)}\n${exact(key)}`;
}
