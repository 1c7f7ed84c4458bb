import type { KeySpace } from '../engine.ts';
import type { Usage } from '../quota.ts';
import type { Connection } from './connection.ts';

/** Maximum number of cached owners and tenants; beyond it the cache is cleared. */
const MOST_KNOWN = 10_000;

/** The usage of an owner or tenant as of the end of the current transaction. */
interface Account extends Usage {
  readonly place: readonly string[];
  /** The last version assigned; for tenants only. */
  version: number;
  isChanged: boolean;
}

/**
 * Key-value store usage of tenants and owners. Many changes of a transaction affect the same few of them, so each is
 * read once, cached, and written once, at the end of the transaction.
 */
export class UsageTable {
  readonly #db: Connection;
  readonly #tenants = new Map<string, Account>();
  readonly #owners = new Map<string, Account>();
  readonly #changed = new Set<Account>();

  constructor(db: Connection) {
    this.#db = db;
  }

  tenant({ space, tenant }: KeySpace): Readonly<Usage> {
    return this.#tenant([space, tenant]);
  }

  /** `owner` as encoded in the table. */
  owner({ space, tenant }: KeySpace, owner: string): Readonly<Usage> {
    return this.#owner([space, tenant, owner]);
  }

  /** Adds to a tenant's usage, and to an owner's unless that is null. */
  charge({ space, tenant }: KeySpace, owner: string | null, keys: number, bytes: number): void {
    this.#add(this.#tenant([space, tenant]), keys, bytes);
    if (owner !== null) this.#add(this.#owner([space, tenant, owner]), keys, bytes);
  }

  /** A version that the tenant's keys in this space have never had and will never have again, or `given`. */
  nextVersion({ space, tenant }: KeySpace, given?: number): number {
    const account = this.#tenant([space, tenant]);
    this.#add(account, 0, 0);
    const version = given ?? account.version + 1;
    account.version = Math.max(account.version, version);
    return version;
  }

  /** Writes what the current transaction has changed. */
  flush(): void {
    for (const account of this.#changed) {
      const { place, keys, bytes, version } = account;
      account.isChanged = false;
      if (place.length === 2) {
        this.#db.run(
          `INSERT INTO spaces (space, tenant, version, keys, bytes) VALUES (?, ?, ?, ?, ?)
           ON CONFLICT DO UPDATE SET version = excluded.version, keys = excluded.keys, bytes = excluded.bytes`,
          ...[...place, version, keys, bytes],
        );
      } else if (keys > 0) {
        this.#db.run(
          `INSERT INTO owners (space, tenant, owner, keys, bytes) VALUES (?, ?, ?, ?, ?)
           ON CONFLICT DO UPDATE SET keys = excluded.keys, bytes = excluded.bytes`,
          ...[...place, keys, bytes],
        );
      } else {
        this.#db.run('DELETE FROM owners WHERE space = ? AND tenant = ? AND owner = ?', ...place);
      }
    }
    this.#changed.clear();
    if (this.#tenants.size + this.#owners.size > MOST_KNOWN) this.forget();
  }

  /** The current transaction was rolled back, and its changes with it. */
  forget(): void {
    this.#tenants.clear();
    this.#owners.clear();
    this.#changed.clear();
  }

  #add(account: Account, keys: number, bytes: number): void {
    account.keys += keys;
    account.bytes += bytes;
    if (account.isChanged) return;
    account.isChanged = true;
    this.#changed.add(account);
  }

  #tenant(place: readonly [string, string]): Account {
    return this.#account(
      this.#tenants,
      place,
      'SELECT keys, bytes, version FROM spaces WHERE space = ? AND tenant = ?',
    );
  }

  #owner(place: readonly [string, string, string]): Account {
    return this.#account(
      this.#owners,
      place,
      'SELECT keys, bytes, 0 FROM owners WHERE space = ? AND tenant = ? AND owner = ?',
    );
  }

  #account(known: Map<string, Account>, place: readonly string[], sql: string): Account {
    // Names of tenants and spaces contain no line break, and an owner is encoded in digits.
    const name = place.join('\n');
    let account = known.get(name);
    if (account === undefined) {
      const [keys = 0, bytes = 0, version = 0] = (this.#db.rows(sql, ...place)[0] ?? []) as number[];
      account = { place, keys, bytes, version, isChanged: false };
      known.set(name, account);
    }
    return account;
  }
}
