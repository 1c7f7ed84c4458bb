import { BusError, randomToken } from '@arqonbus/protocol';
import { atMost } from '../../timers.ts';
import { ClockWatch } from '../clock.ts';
import type { Engine, EngineEvents, EngineStats, Retention } from '../engine.ts';
import { Relay } from '../relay.ts';
import type { ServerLinkEvents } from '../server-link.ts';
import { type PostgresAddress, parsePostgresUrl } from './address.ts';
import { PostgresBroker } from './broker.ts';
import { isDriverMissing } from './faults.ts';
import { Feed } from './feed.ts';
import { countTotals, type Totals } from './history.ts';
import { Interest } from './interest.ts';
import { createLink, type Link } from './link.ts';
import { migrate, SchemaFault } from './migrate.ts';
import { emptyOutbox } from './outbox.ts';
import { PostgresPresence } from './presence.ts';
import { Publisher } from './publisher.ts';
import type { Session } from './session.ts';
import { PostgresStore } from './store.ts';
import { Upkeep } from './upkeep.ts';

const GRACE_MS = 2_000;
const CLOSE_MS = 5_000;
/** Minimum interval between wake-ups sent by a node. */
const WAKE_MS = 10;
const ORIGIN_LENGTH = 12;
const CLOCK_ADVICE = "the server's, by which lifetimes end: have both machines' clocks synchronized (NTP).";
const OUTBOX_RETENTION: Retention = { size: 500, ttlMs: 86_400_000, bytes: 16 * 1_048_576 };

export interface PostgresEngineOptions {
  /** `postgres://[USER[:PASSWORD]@]HOST[:PORT]/DATABASE[?sslmode=…&search_path=…]`. */
  readonly url: string;
  /** The same server without its pooler, if `url` is that of a pooler; defaults to `url` if omitted or empty. */
  readonly listenUrl?: string;
  /** This node's name, unique in the cluster. */
  readonly nodeId: string;
  /** Retention of a stream created by the SQL function `arqon_publish`; default 500 events, 24 hours and 16 MiB. */
  readonly retention?: Retention;
  /** How long to wait for a lost server before everything is rejected, in milliseconds; default 2,000. */
  readonly graceMs?: number;
}

/**
 * The engine for several nodes that share a PostgreSQL database (14 or newer), in its own tables, which it creates and
 * migrates.
 *
 * Its `open` rejects with a final error when the URL is wrong, the driver is missing or the tables belong to a newer
 * release; otherwise it rejects, and keeps trying, as long as the server cannot be used. When a server is lost,
 * requests wait a short time for it.
 */
export function createPostgresEngine(options: PostgresEngineOptions): Engine {
  return new PostgresEngine(options);
}

class PostgresEngine implements Engine {
  readonly backend = 'postgres';
  readonly broker: PostgresBroker;
  readonly store: PostgresStore;
  readonly presence: PostgresPresence;
  private readonly invalid: Error | null;
  private readonly events = new Relay();
  private readonly origin = randomToken(ORIGIN_LENGTH);
  private readonly retention: Retention;
  private readonly link: Link;
  private readonly interest = new Interest();
  private readonly feed: Feed;
  private readonly publisher: Publisher;
  private readonly upkeep: Upkeep;
  private readonly clock: ClockWatch;
  private serverWarnings: readonly string[] = [];
  /** The last connection, which may have been lost since. */
  private latest: Session | null = null;
  /** Why the server refuses to store although it answers. */
  private refusing: string | null = null;
  private reported = true;
  private totals: Totals = { streams: 0, messages: 0, bytes: 0 };
  private lastWake = 0;
  private waking: NodeJS.Timeout | undefined;
  private emptying = false;
  private closing: Promise<void> | undefined;

  constructor(options: PostgresEngineOptions) {
    const { url, listenUrl = '', nodeId, retention = OUTBOX_RETENTION, graceMs = GRACE_MS } = options;
    const [address, invalid] = readUrl(url, listenUrl);
    this.invalid = invalid;
    this.retention = retention;
    this.link = createLink(address, nodeId, graceMs, this.linkEvents());
    const { link, interest } = this;
    const names = { node: nodeId, origin: this.origin };
    const committed = (): void => void this.committed().catch(() => {});
    this.feed = new Feed(names, interest, this.events, this.feedEvents());
    this.publisher = new Publisher(this.origin, {
      ask: (work) => this.storeBy(work),
      isFollowed: (tenant, room) => interest.isFollowed(tenant, room),
      committed: () => this.committed(),
      touched: (stream) => this.upkeep.touched(stream),
    });
    this.upkeep = new Upkeep(link, committed);
    this.broker = new PostgresBroker({ link, interest, feed: this.feed, publisher: this.publisher });
    this.store = new PostgresStore(link, committed);
    this.presence = new PostgresPresence(names, link, committed);
    this.clock = new ClockWatch(
      () => this.serverNow(),
      CLOCK_ADVICE,
      (warning) => this.events.warning(warning),
    );
  }

  get warnings(): readonly string[] {
    const { warning } = this.clock;
    return warning === null ? this.serverWarnings : [...this.serverWarnings, warning];
  }

  async open(events: EngineEvents): Promise<void> {
    if (this.invalid !== null) throw this.invalid;
    this.events.target = events;
    this.clock.start();
    this.upkeep.start();
    try {
      await this.link.open();
    } catch (error) {
      const { cause } = error as Error;
      if (isDriverMissing(cause) || cause instanceof SchemaFault) {
        await this.close();
        throw cause instanceof SchemaFault ? cause : error;
      }
      // The rejection reports the failure; the next `health` call reports that the server is available.
      this.reported = false;
      this.link.keepTrying();
      throw new BusError('STORAGE_UNAVAILABLE', (error as Error).message);
    }
  }

  healthy(): boolean {
    return this.link.standing !== 'away' && this.refusing === null;
  }

  async stats(): Promise<EngineStats> {
    const { link, publisher } = this;
    if (link.session !== null) this.totals = await link.ask(countTotals);
    return {
      backend: this.backend,
      connected: link.session !== null,
      operations: publisher.operations + link.operations,
      errors: link.errors,
      last_error: link.lastError,
      ...this.totals,
    };
  }

  close(): Promise<void> {
    this.closing ??= this.shutDown();
    return this.closing;
  }

  private async shutDown(): Promise<void> {
    this.upkeep.stop();
    this.clock.stop();
    if (this.link.standing !== 'away') {
      await atMost(CLOSE_MS, Promise.all([this.broker.close(), this.store.close()]));
      // By now everything stored has been delivered; then the other nodes are notified.
      await atMost(CLOSE_MS, this.feed.pass()).catch(() => {});
      await atMost(CLOSE_MS, Promise.all([this.tellOthers(), this.presence.close()])).catch(() => {});
    }
    this.presence.stop();
    clearTimeout(this.waking);
    this.feed.close();
    this.link.close();
  }

  private linkEvents(): ServerLinkEvents<Session> {
    return {
      prepare: (session) => this.prepare(session),
      up: (session) => {
        this.serverWarnings = session.state.warnings;
        this.refusing = null;
        this.report();
        this.feed.start(session);
      },
      lost: () => this.feed.stop(),
      away: (reason) => {
        this.feed.abandon(reason);
        this.report();
      },
    };
  }

  private feedEvents(): ConstructorParameters<typeof Feed>[3] {
    return {
      own: (number) => this.publisher.find(number),
      arrived: (number, delivered) => this.publisher.arrived(number, delivered),
      changed: (change) => this.store.notify(change),
      watched: () => this.store.watched(),
      outbox: () => this.emptyOutbox(),
      failed: (session, error) => {
        if (this.link.session === session) this.link.drop(session, (error as Error).message);
      },
    };
  }

  private async prepare(session: Session): Promise<void> {
    this.latest = session;
    await migrate(session);
    await this.clock.look();
    await this.feed.establish(session);
    await this.presence.establish(session);
    await session.listen((origin) => {
      if (origin !== this.origin) this.feed.wake();
    });
  }

  private async serverNow(): Promise<number | null> {
    if (this.latest === null) return null;
    const [row] = await this.latest.query('SELECT extract(epoch FROM clock_timestamp())::float8 * 1000 AS now');
    return Number(row?.now);
  }

  /** Runs a write, and records whether an available server refuses it. */
  private async storeBy<T>(work: (session: Session, again: boolean) => Promise<T>): Promise<T> {
    try {
      const answer = await this.link.ask(work);
      if (this.refusing !== null) {
        this.refusing = null;
        this.report();
      }
      return answer;
    } catch (error) {
      if (this.link.session !== null && error instanceof BusError) {
        this.refusing = error.message;
        this.report();
      }
      throw error;
    }
  }

  /** This node committed something. Resolves when its own members have received it. */
  private committed(): Promise<void> {
    this.wakeOthers();
    return this.feed.pass();
  }

  /** Wakes the other nodes, immediately or after the minimum interval; never within a transaction that stores. */
  private wakeOthers(): void {
    if (this.waking !== undefined) return;
    const pause = Math.max(0, this.lastWake + WAKE_MS - performance.now());
    this.waking = setTimeout(() => {
      // After a failure the others find the events by polling, a moment later.
      this.tellOthers().catch(() => {});
    }, pause);
  }

  private async tellOthers(): Promise<void> {
    if (this.waking === undefined) return;
    clearTimeout(this.waking);
    this.waking = undefined;
    this.lastWake = performance.now();
    await this.link.session?.notify(this.origin);
  }

  private emptyOutbox(): void {
    const { session } = this.link;
    if (session === null || this.emptying) return;
    this.emptying = true;
    emptyOutbox(session, this.retention).then(
      (count) => {
        this.emptying = false;
        if (count > 0) this.committed().catch(() => {});
      },
      (error: Error) => {
        this.emptying = false;
        // Retried by another node, or on the next look.
        this.link.fault(`What arqon_publish left could not be taken: ${error.message}`);
      },
    );
  }

  private report(): void {
    const healthy = this.healthy();
    if (healthy === this.reported) return;
    this.reported = healthy;
    const reason = healthy ? 'The storage backend is back.' : (this.refusing ?? this.link.reason);
    this.events.health({ healthy, reason });
  }
}

/** The address, or an unused placeholder and the error. */
function readUrl(url: string, listenUrl: string): [PostgresAddress, Error | null] {
  try {
    return [parsePostgresUrl(url, listenUrl), null];
  } catch (error) {
    return [{ url: '', listenUrl: '', prepare: false, shown: '' }, error as Error];
  }
}
