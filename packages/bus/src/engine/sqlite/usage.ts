import type { KeySpace } from '../engine.ts';
import type { Usage } from '../quota.ts';
import type { Connection } from './connection.ts';

/** Beyond so many, what is known of owners and tenants is asked for again. */
const MOST_KNOWN = 10_000;

/** What somebody holds, as it will be when the present transaction ends. */
interface Account extends Usage {
  readonly place: readonly string[];
  /** The last version given out; of a tenant only. */
  version: number;
  isChanged: boolean;
}

/**
 * What tenants and owners hold of the key-value store. Many changes of a transaction touch the same few of them, so
 * that each is read once, kept in mind, and written once, at the transaction's end.
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

  /** `owner` as spelled in the table. */
  owner({ space, tenant }: KeySpace, owner: string): Readonly<Usage> {
    return this.#owner([space, tenant, owner]);
  }

  /** Adds to what a tenant holds, and to what an owner does unless that is null. */
  charge({ space, tenant }: KeySpace, owner: string | null, keys: number, bytes: number): void {
    this.#add(this.#tenant([space, tenant]), keys, bytes);
    if (owner !== null) this.#add(this.#owner([space, tenant, owner]), keys, bytes);
  }

  /** A version that no set of the tenant's keys in this space had or will have, or the one that is `given`. */
  nextVersion({ space, tenant }: KeySpace, given?: number): number {
    const account = this.#tenant([space, tenant]);
    this.#add(account, 0, 0);
    const version = given ?? account.version + 1;
    account.version = Math.max(account.version, version);
    return version;
  }

  /** Writes what the present transaction has changed. */
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

  /** The present transaction was taken back, and what it changed with it. */
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
    // Names of tenants and spaces hold no line break, and an owner is spelled in digits.
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
