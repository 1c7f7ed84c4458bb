import { BusError } from '@arqonbus/protocol';
import { type Clock, systemClock } from '../../clock.ts';
import type { Sender, Session } from '../../connection/session.ts';
import type { Core } from '../../core.ts';
import { CLAIM_MS, type Lease, LeaseLedger, type LeaseRequest, type Obstacle } from './ledger.ts';
import { LeaseOwners } from './owners.ts';
import { DEFAULT_LEASE_LIMITS, LEASES, type LeaseLimits } from './record.ts';
import { LeaseChanges, WaitingLine } from './waiting.ts';

/** After this time a waiter checks again, in case the end of a lease was not reported, in milliseconds. */
const LOOK_AGAIN_MS = 5_000;

export interface LeaseOptions extends Partial<LeaseLimits> {
  readonly clock?: Clock;
}

/** What to acquire, and how long to wait. */
export interface Acquisition {
  readonly request: LeaseRequest;
  readonly waitMs: number;
  /** Aborted when a caller without a connection has gone. */
  readonly signal?: AbortSignal | undefined;
}

/** Takes and ends leases of all tenants on this node. */
export class Leases {
  readonly ledger: LeaseLedger;
  readonly owners: LeaseOwners;
  private readonly bus: Core;
  private readonly clock: Clock;
  private readonly line: WaitingLine = new WaitingLine();
  private readonly changes: LeaseChanges = new LeaseChanges();
  /** Open waits of each connection; null: callers without one. */
  private readonly waiting: Map<Session | null, Set<AbortController>> = new Map();
  private readonly undo: (() => void)[] = [];

  constructor(bus: Core, { clock = systemClock(bus.options.now), ...limits }: LeaseOptions) {
    const { engine, rooms } = bus;
    this.bus = bus;
    this.clock = clock;
    this.ledger = new LeaseLedger(engine.store, { ...DEFAULT_LEASE_LIMITS, ...limits });
    this.owners = new LeaseOwners({
      store: engine.store,
      ledger: this.ledger,
      node: bus.options.node,
      isHere: (tenant, identity) => rooms.tenants.get(tenant)?.identities.has(identity) === true,
      isElsewhere: async (tenant, subject) => {
        const entries = await engine.presence?.find(tenant, `sub:${subject}`);
        return (entries?.length ?? 0) > 0;
      },
      onFault: (error) => {
        // A storage outage is already reported elsewhere; leases that could not be released expire.
        if (!(error instanceof BusError && error.code === 'STORAGE_UNAVAILABLE')) bus.options.onFault(error);
      },
    });
  }

  start(): void {
    const { engine, sessionLeft } = this.bus;
    const left = (session: Session): void => {
      for (const wait of this.waiting.get(session) ?? []) wait.abort(gone());
      this.owners.left(session.principal.tenant, session.identity);
    };
    sessionLeft.add(left);
    this.undo.push(() => sessionLeft.delete(left));
    const unwatch = engine.store.watch(LEASES, (change) => {
      this.owners.changed(change);
      this.changes.tell(`${change.at.tenant}/${change.key}`);
    });
    this.undo.push(unwatch);
  }

  /** Answers waiting requests with CONFLICT. */
  endWaits(): void {
    for (const waits of [...this.waiting.values()]) for (const wait of waits) wait.abort(gone());
  }

  async stop(): Promise<void> {
    this.endWaits();
    await this.owners.settled();
    for (const step of this.undo.splice(0).reverse()) step();
  }

  /** Takes all keys, waiting up to `waitMs`. Rejects with CONFLICT that names a key and when it may be free. */
  async acquire(sender: Sender, { request, waitMs, signal }: Acquisition): Promise<Lease> {
    const { session } = sender;
    const lease = await this.abortable(session, signal, (wait) =>
      waitMs > 0 ? this.wait(request, waitMs, wait) : this.tryOnce(request, wait),
    );
    if (signal?.aborted === true) {
      // Nobody received its id, so nothing else would release it before it expires.
      await this.ledger.release(request.tenant, lease);
      throw gone();
    }
    // The connection may have closed before the lease was registered to its owner.
    if (session?.closed === true && !request.keep) this.owners.left(request.tenant, request.identity);
    return lease;
  }

  /** Waits in this node's queue; at the end of the wait it tries once more without waiting. */
  private async wait(request: LeaseRequest, waitMs: number, wait: AbortController): Promise<Lease> {
    const { tenant, namespace, keys, identity } = request;
    const isOver = Symbol('the time is over');
    const callOff = this.clock.after(waitMs, () => wait.abort(isOver));
    try {
      const places = keys.map((key) => `${tenant}/${namespace}/${key}`);
      return await this.line.enter(`${tenant}/${identity}`, places, wait.signal, () =>
        this.retry(request, wait.signal, Number.POSITIVE_INFINITY),
      );
    } catch (error) {
      if (error !== isOver) throw error;
    } finally {
      callOff();
    }
    return this.tryOnce(request, new AbortController());
  }

  /** Takes keys that nobody holds. Waits for a lease that is being taken: that may fail. */
  private tryOnce(request: LeaseRequest, { signal }: AbortController): Promise<Lease> {
    return this.retry(request, signal, this.clock.steady() + CLAIM_MS);
  }

  /** @param until how long to wait for keys that are not held yet; infinite: also for held ones */
  private async retry(request: LeaseRequest, signal: AbortSignal, until: number): Promise<Lease> {
    const { tenant } = request;
    const waits = until === Number.POSITIVE_INFINITY;
    for (;;) {
      const outcome = await this.ledger.take(request);
      if ('lease' in outcome) return outcome.lease;
      const { obstacle } = outcome;
      if (!waits && (obstacle.isHeld || this.clock.steady() >= until)) throw held(obstacle);
      signal.throwIfAborted();
      const changed = (): Promise<boolean> => this.ledger.hasChanged(tenant, obstacle);
      const id = `${tenant}/${obstacle.leaseId}`;
      await this.changes.next(id, this.clock, waits ? LOOK_AGAIN_MS : CLAIM_MS, signal, changed);
    }
  }

  /** Runs work that is aborted when the caller goes, or this node stops. */
  private async abortable<T>(
    session: Session | null,
    signal: AbortSignal | undefined,
    work: (wait: AbortController) => Promise<T>,
  ): Promise<T> {
    const wait = new AbortController();
    const abort = (): void => wait.abort(gone());
    signal?.addEventListener('abort', abort);
    if (signal?.aborted === true) abort();
    const waiting = this.waiting.get(session) ?? new Set();
    this.waiting.set(session, waiting.add(wait));
    try {
      return await work(wait);
    } finally {
      signal?.removeEventListener('abort', abort);
      waiting.delete(wait);
      if (waiting.size === 0 && this.waiting.get(session) === waiting) this.waiting.delete(session);
    }
  }
}

function held({ key, expiresAt }: Obstacle): BusError {
  const expires_at = new Date(expiresAt).toISOString();
  return new BusError('CONFLICT', `"${key}" is leased until ${expires_at}; try again, or wait with "wait_ms".`, {
    key,
    expires_at,
  });
}

/** The caller is gone. */
function gone(): BusError {
  return new BusError('CONFLICT', 'The connection, or this server, ended before the keys were free.');
}
