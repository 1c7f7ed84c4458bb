/// <reference lib="esnext.disposable" preserve="true" />
import type { CommandResult } from '@arqonbus/protocol';
import { after, type Clock } from './clock.ts';
import { Emitter } from './emitter.ts';
import { ArqonBusError, invalidArgument, LeaseLostError } from './errors.ts';
import { given } from './options.ts';
import type { WaitOptions } from './pending.ts';
import type { Ask } from './queue.ts';

/** Number of renewals within the duration of a lease. */
const RENEWALS = 3;
const DEFAULT_TTL_SECONDS = 30;

/**
 * The options of a lease.
 *
 * ```ts
 * await client.leases.acquire('printer/3', { ttlSeconds: 30, waitMs: 10_000 });
 * ```
 */
export interface LeaseOptions extends WaitOptions {
  /** How long the keys stay leased if this client cannot renew them (default 30). */
  ttlSeconds?: number;
  /** How long to wait for keys that others hold (default 0, at most 55,000). */
  waitMs?: number;
  /** Outlives the owner's last connection, until it expires (default false). */
  keep?: boolean;
  /** Default: `lease`. */
  namespace?: string;
}

/**
 * The events of a lease.
 *
 * ```ts
 * lease.on('lost', (error) => stopPrinting(error));
 * ```
 */
export interface LeaseEvents {
  /** It has ended, other than by `release()`. Another client may have the keys now. */
  lost: unknown;
}

/** What a lease needs from its client. */
interface LeaseHost {
  readonly ask: Ask;
  readonly clock: Clock;
  readonly report: (error: unknown) => void;
  /** The held leases. */
  readonly held: Set<Lease>;
}

/**
 * An exclusive lease on keys, renewed until it is released. `signal` is aborted when the lease is lost.
 *
 * ```ts
 * await using lease = await client.leases.acquire(['printer/3'], { waitMs: 10_000 });
 * await printer.print(pages, { fencingToken: lease.token, signal: lease.signal });
 * ```
 */
export class Lease extends Emitter<LeaseEvents> {
  readonly #host: LeaseHost;
  readonly #granted: CommandResult<'op.lease.acquire'>;
  readonly #ttlMs: number;
  readonly #ended = new AbortController();
  #expiresAt: string;
  /** When it expires unless renewed, by this client's clock. */
  #until: number;
  #isHeld = true;
  #cancel: () => void = () => {};

  /** @internal */
  constructor(host: LeaseHost, granted: CommandResult<'op.lease.acquire'>, ttlMs: number, askedAt: number) {
    super(host.report);
    this.#host = host;
    this.#granted = granted;
    this.#ttlMs = ttlMs;
    this.#expiresAt = granted.expires_at;
    this.#until = askedAt + ttlMs;
    host.held.add(this);
    this.#plan();
  }

  /**
   * The id with which other connections of its owner can renew and release it.
   *
   * ```ts
   * await client.command('op.lease.release', { lease_id: lease.id });
   * ```
   */
  get id(): string {
    return this.#granted.lease_id;
  }

  /**
   * Larger than that of every earlier lease. The protected resource should refuse smaller ones.
   *
   * ```ts
   * await printer.print(pages, { fencingToken: lease.token });
   * ```
   */
  get token(): number {
    return this.#granted.token;
  }

  /**
   * The held keys, sorted.
   *
   * ```ts
   * console.log(lease.keys.join());
   * ```
   */
  get keys(): readonly string[] {
    return this.#granted.keys;
  }

  /**
   * When it ends unless it is renewed, RFC 3339, by the server's clock.
   *
   * ```ts
   * console.log(lease.expiresAt);
   * ```
   */
  get expiresAt(): string {
    return this.#expiresAt;
  }

  /**
   * Whether this client still holds it, as far as is known without a request.
   *
   * ```ts
   * if (!lease.held) throw new Error('too late');
   * ```
   */
  get held(): boolean {
    return this.#isHeld;
  }

  /**
   * Aborted with the error when the lease is lost.
   *
   * ```ts
   * await fetch(url, { signal: lease.signal });
   * ```
   */
  get signal(): AbortSignal {
    return this.#ended.signal;
  }

  /**
   * Renews it now. It is also renewed automatically, three times in its duration. Rejects with LeaseLostError.
   *
   * ```ts
   * await lease.renew();
   * ```
   */
  async renew(wait: WaitOptions = {}): Promise<void> {
    const askedAt = this.#host.clock.now();
    try {
      const { expires_at: expiresAt } = await this.#host.ask('op.lease.renew', { lease_id: this.id }, wait);
      this.#expiresAt = expiresAt;
      this.#until = askedAt + this.#ttlMs;
    } catch (error) {
      if (error instanceof LeaseLostError) this.lose(error);
      throw error;
    }
  }

  /**
   * Ends it and frees the keys. Rejects with LeaseLostError if it had ended before.
   *
   * ```ts
   * await lease.release();
   * ```
   */
  async release(wait: WaitOptions = {}): Promise<void> {
    this.#end();
    await this.#host.ask('op.lease.release', { lease_id: this.id }, wait);
  }

  /** Releases it. The loss of a lease is reported by the signal and the event. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#isHeld) return;
    await this.release().catch(this.#host.report);
  }

  /** @internal It has ended, or can no longer be renewed. */
  lose(error: unknown): void {
    if (!this.#isHeld) return;
    this.#end();
    this.#ended.abort(error);
    this.emit('lost', error);
  }

  #plan(): void {
    const left = this.#until - this.#host.clock.now();
    this.#cancel = after(this.#host.clock, Math.max(0, Math.min(left, this.#ttlMs / RENEWALS)), () => {
      void this.#tick();
    });
  }

  async #tick(): Promise<void> {
    const left = this.#until - this.#host.clock.now();
    if (left <= 0) {
      this.lose(new ArqonBusError('LEASE_LOST', 'The lease could not be renewed in time; acquire it again.'));
      return;
    }
    // Without a connection or a timely answer, it retries for as long as the lease may last.
    await this.renew({ timeoutMs: Math.min(left, this.#ttlMs / RENEWALS) }).catch(() => {});
    if (this.#isHeld) this.#plan();
  }

  #end(): void {
    this.#isHeld = false;
    this.#cancel();
    this.#host.held.delete(this);
  }
}

/**
 * Exclusive leases on keys (`op.lease.*`).
 *
 * ```ts
 * await client.leases.acquire(['jobs/1'], {}, ({ token }) => work(token));
 * ```
 */
export class Leases {
  readonly #host: LeaseHost;
  readonly #timeoutMs: number;

  /** @param ask throws if the server has no leases */
  constructor(ask: Ask, clock: Clock, timeoutMs: number, report: (error: unknown) => void) {
    this.#host = { ask, clock, report, held: new Set() };
    this.#timeoutMs = timeoutMs;
  }

  /**
   * Acquires up to 32 keys, all of them or none, and renews them until they are released: by `await using`, by
   * `release()`, or when `work` is done. Rejects with a CommandError `CONFLICT` if another client holds one (`details`:
   * `key`, `expires_at`) and `waitMs` has elapsed.
   *
   * ```ts
   * await using lease = await client.leases.acquire(['printer/3', 'tray/a4'], { ttlSeconds: 30, waitMs: 10_000 });
   * ```
   *
   * @param work called with the lease; its result is returned
   */
  acquire(keys: string | readonly string[], options?: LeaseOptions): Promise<Lease>;
  acquire<T>(
    keys: string | readonly string[],
    options: LeaseOptions,
    work: (lease: Lease) => Promise<T> | T,
  ): Promise<T>;
  async acquire<T>(
    keys: string | readonly string[],
    options: LeaseOptions = {},
    work?: (lease: Lease) => Promise<T> | T,
  ): Promise<Lease | T> {
    const names = typeof keys === 'string' ? [keys] : [...keys];
    if (names.length === 0) throw invalidArgument('"keys" names no key.');
    const { ttlSeconds = DEFAULT_TTL_SECONDS, waitMs = 0, keep, namespace, signal } = options;
    const { timeoutMs = waitMs + this.#timeoutMs } = options;
    const { ask, clock } = this.#host;
    const args = { keys: names, ttl_seconds: ttlSeconds, wait_ms: waitMs, ...given({ keep, namespace }) };
    const askedAt = clock.now();
    const ttlMs = ttlSeconds * 1_000;
    const granted = await ask('op.lease.acquire', args, { signal, timeoutMs });
    const hasWaited = clock.now() - askedAt > ttlMs / RENEWALS;
    const lease = new Lease(this.#host, granted, ttlMs, hasWaited ? clock.now() : askedAt);
    // After a wait, the time of the grant is unknown; that of a renewal is known.
    if (hasWaited) await lease.renew({ signal });
    if (work === undefined) return lease;
    try {
      return await work(lease);
    } finally {
      await lease[Symbol.asyncDispose]();
    }
  }

  /**
   * Renews the lease of another connection or program of the same owner. Rejects with LeaseLostError.
   *
   * ```ts
   * await client.leases.renew(id, { ttlSeconds: 60 });
   * ```
   */
  async renew(leaseId: string, options: WaitOptions & { ttlSeconds?: number } = {}): Promise<void> {
    await this.#host.ask('op.lease.renew', given({ lease_id: leaseId, ttl_seconds: options.ttlSeconds }), options);
  }

  /**
   * Releases it. Rejects with LeaseLostError if it had ended before.
   *
   * ```ts
   * await client.leases.release(id);
   * ```
   */
  async release(leaseId: string, wait: WaitOptions = {}): Promise<void> {
    await this.#host.ask('op.lease.release', { lease_id: leaseId }, wait);
  }

  /** @internal The client is closed. */
  finish(error: unknown): void {
    for (const lease of [...this.#host.held]) lease.lose(error);
  }

  /**
   * One page of the leases that this client may see; pass `next` as `after` for the next page.
   *
   * ```ts
   * const { leases } = await client.leases.list({ limit: 50 });
   * ```
   */
  list(options: WaitOptions & { limit?: number; after?: string } = {}): Promise<CommandResult<'op.lease.list'>> {
    const { limit, after: behind } = options;
    return this.#host.ask('op.lease.list', given({ limit, after: behind }), options);
  }
}
