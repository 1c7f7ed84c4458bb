import { BusError, randomToken } from '@arqonbus/protocol';
import { atMost } from '../../timers.ts';
import { ClockWatch, steadyNow } from '../clock.ts';
import type { Engine, EngineEvents, EngineStats } from '../engine.ts';
import { Relay } from '../relay.ts';
import { unavailable } from '../server-link.ts';
import { RedisBroker } from './broker.ts';
import { Changes } from './changes.ts';
import type { Replication } from './confirmations.ts';
import { Feed } from './feed.ts';
import { Gaps } from './gaps.ts';
import { History } from './history.ts';
import { Interest } from './interest.ts';
import { Keys } from './keys.ts';
import { createLink, type Link, type LinkEvents } from './link.ts';
import { RedisPresence } from './presence.ts';
import { Publisher } from './publisher.ts';
import { Rests } from './rests.ts';
import type { Cursor, Room } from './room.ts';
import { BROKER_SCRIPTS, PRESENCE_SCRIPTS, STORE_SCRIPTS } from './scripts.ts';
import type { Session } from './session.ts';
import { RedisStore } from './store.ts';
import { parseRedisUrls, type RedisAddress } from './url.ts';

const GRACE_MS = 2_000;
const CLOSE_MS = 5_000;
/** Part of every tag: short enough to be copied out of received messages, so that it does not keep them alive. */
const ORIGIN_LENGTH = 12;
const CLOCK_ADVICE = "the server's, by which lifetimes end: have both machines' clocks synchronized (NTP).";

export interface RedisEngineOptions {
  /**
   * `redis://[USER][:PASSWORD]@HOST[:PORT][/DATABASE]`; also `valkey`, and over TLS `rediss`, `valkeys`. Or
   * `redis+sentinel://[USER][:PASSWORD]@HOST[:PORT],…/NAME[/DATABASE]`, whose hosts are sentinels. Several of these,
   * separated by commas, are shards: rooms are distributed over them.
   */
  readonly url: string;
  /** This node's name, unique in the cluster. */
  readonly nodeId: string;
  readonly backend: 'redis' | 'valkey';
  /**
   * What the ack of an event waits for; after a timeout of `waitMs` milliseconds it reports what is confirmed by then.
   * Does not wait if omitted.
   */
  readonly replication?: Replication;
  /** How long to wait for a lost server before everything is rejected, in milliseconds; default 2,000. */
  readonly graceMs?: number;
  /**
   * The clock used to detect overdue events, in milliseconds; by default a monotonic one. Everything else uses the
   * server's clock.
   */
  readonly now?: () => number;
}

/**
 * The engine for several nodes that share a Redis or Valkey server (7.0 or newer), or a Redis Cluster, which it detects
 * automatically.
 *
 * Its `open` rejects with a final error when the URL is wrong or the driver is missing; otherwise it rejects, and keeps
 * trying, as long as the server cannot be used. When a server is lost, requests wait a short time for it.
 */
export function createRedisEngine(options: RedisEngineOptions): Engine {
  return new RedisEngine(options);
}

class RedisEngine implements Engine {
  readonly backend: 'redis' | 'valkey';
  readonly broker: RedisBroker;
  readonly store: RedisStore;
  readonly presence: RedisPresence;
  private readonly invalid: Error | null;
  private readonly events: Relay = new Relay();
  private readonly origin: string = randomToken(ORIGIN_LENGTH);
  private readonly keys: Keys;
  private readonly link: Link;
  private readonly feed: Feed;
  private readonly gaps: Gaps;
  private readonly interest: Interest;
  private readonly publisher: Publisher;
  private readonly history: History;
  private readonly changes: Changes;
  private readonly rests: Rests;
  private readonly clock: ClockWatch;
  private serverWarnings: readonly string[] = [];
  /** The last connection, which may have been lost since. */
  private latest: Session | null = null;
  /** Why the server refuses to store although it answers. */
  private refusing: string | null = null;
  private reported = true;
  private runId = '';
  private totals = { streams: 0, messages: 0, bytes: 0 };

  constructor(options: RedisEngineOptions) {
    const { url, nodeId, backend, graceMs = GRACE_MS, now = steadyNow, replication = null } = options;
    this.backend = backend;
    const [[address, ...others], invalid] = readUrls(url, backend);
    this.invalid = invalid;
    this.keys = new Keys(address.database);
    this.link = createLink({ backend, address, others, name: nodeId, replication, graceMs }, this.linkEvents());
    this.feed = new Feed(this.origin, this.events, this.feedEvents(), (topic) => this.interest.roomOf(topic));
    this.gaps = new Gaps(this.keys, this.feed, this.events);
    this.interest = new Interest(this.keys, this.link, this.feed, this.gaps);
    this.publisher = new Publisher(this.origin, this.keys, this.publisherEvents(now));
    this.history = new History(this.keys);
    this.changes = new Changes(this.keys);
    const { keys, link, interest, publisher, history } = this;
    this.broker = new RedisBroker({ keys, link, interest, publisher, history });
    this.store = new RedisStore(keys, link, this.changes);
    this.presence = new RedisPresence(nodeId, keys, link, this.events);
    this.clock = new ClockWatch(
      () => this.serverNow(),
      CLOCK_ADVICE,
      (warning) => this.events.warning(warning),
    );
    this.clock.start();
    this.rests = new Rests(keys, link, history);
  }

  get warnings(): readonly string[] {
    const { warning } = this.clock;
    return warning === null ? this.serverWarnings : [...this.serverWarnings, warning];
  }

  async open(events: EngineEvents): Promise<void> {
    if (this.invalid !== null) throw this.invalid;
    this.events.target = events;
    try {
      await this.link.open();
    } catch (error) {
      if (isDriverMissing(error)) {
        await this.close();
        throw error;
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
    const { link, publisher, history } = this;
    if (link.session !== null) this.totals = await link.ask((session) => history.totals(session));
    return {
      backend: this.backend,
      connected: link.session !== null,
      operations: publisher.operations + link.operations,
      errors: link.errors,
      last_error: link.lastError,
      ...this.totals,
    };
  }

  async close(): Promise<void> {
    this.broker.close();
    if (this.link.standing !== 'away') {
      await atMost(CLOSE_MS, this.publisher.drain());
      // If the server is lost now, this node's entries expire.
      await atMost(CLOSE_MS, this.presence.close()).catch(() => {});
    }
    this.gaps.use(null);
    this.publisher.abandon((pending) => pending.reject(unavailable('the engine was closed.')));
    this.presence.stop();
    this.rests.stop();
    this.clock.stop();
    this.store.close();
    this.publisher.close();
    this.link.close();
  }

  private linkEvents(): LinkEvents {
    return {
      message: (topic, text) => {
        try {
          if (topic === this.keys.changes) return this.changes.accept(text);
          const place = this.keys.roomOfTopic(topic);
          if (place === null) this.presence.accept(text);
          else if (place.room !== '*') this.feed.accept(topic, text);
          else {
            const end = text.indexOf(' ');
            this.feed.accept(this.keys.topic(place.tenant, text.slice(0, end)), text.slice(end + 1));
          }
        } catch (error) {
          // Anyone with access to the server can publish there; a message not written by a node must not crash this
          // one.
          this.link.fault(`A message on ${topic} cannot be read: ${(error as Error).message}`);
        }
      },
      prepare: (session) => this.prepare(session),
      up: (session) => {
        this.serverWarnings = session.warnings;
        this.runId = session.runId;
        this.refusing = null;
        this.feed.restart();
        this.publisher.release();
        this.report();
        this.publisher.resume(session);
        this.interest.resume(session);
      },
      lost: () => {
        this.gaps.use(null);
        this.feed.stop();
        this.publisher.suspend();
      },
      away: (reason) => {
        this.interest.away();
        this.publisher.abandon((pending) => pending.reject(unavailable(reason)));
        this.report();
      },
    };
  }

  private feedEvents(): ConstructorParameters<typeof Feed>[2] {
    return {
      arrived: (number, entry, delivered) => this.publisher.arrived(number, entry, delivered),
      missing: async (room, cursor, upTo) => {
        await this.mend((session) => this.gaps.missing(session, room, cursor, upTo));
        this.publisher.release();
      },
      overrun: async () => {
        const open = [...this.feed.rooms.values()].filter(({ state }) => state === 'open');
        await this.mend((session) => this.gaps.rooms(session, open, false));
        this.publisher.release();
      },
      rolledBack: (room: Room, cursor: Cursor) => this.mend((session) => this.gaps.renew(session, room, cursor)),
    };
  }

  private publisherEvents(now: () => number): ConstructorParameters<typeof Publisher>[2] {
    return {
      now,
      expects: (topic, channel, epoch, sequence) => this.feed.expects(topic, channel, epoch, sequence),
      overdue: ({ topic, publication, place }) => {
        if (place !== null) this.feed.reach(topic, publication.stream.channel, place.epoch, place.sequence);
      },
      refused: (pending, reason) => {
        this.link.fault(reason);
        this.refusing = reason;
        pending.reject(unavailable(`it refused to store: ${reason}.`));
        this.report();
      },
      stored: () => {
        if (this.refusing === null) return;
        this.refusing = null;
        this.report();
      },
      unfit: (session, reason) => {
        if (this.link.session === session) this.link.drop(session, reason);
      },
    };
  }

  private async prepare(session: Session): Promise<void> {
    this.latest = session;
    this.gaps.use(session);
    this.feed.forget();
    this.layOut(session);
    await session.load([...BROKER_SCRIPTS, ...STORE_SCRIPTS, ...PRESENCE_SCRIPTS]);
    await this.clock.look();
    this.store.connected(session);
    // Requested now, so that a user without permission for patterns fails at startup, not at the first dashboard.
    await session.subscribePattern(this.keys.topicPattern(''));
    session.unsubscribePattern(this.keys.topicPattern(''));
    await this.changes.establish(session);
    await this.presence.establish(session);
    // Another process, or one without a run id, may have lost the tail of the previous one's data.
    const verify = session.partitioned || session.runId === '' || session.runId !== this.runId;
    await this.interest.establish(session, verify);
  }

  /** The names of keys and topics depend on the kind of the first server. */
  private layOut({ partitioned }: Session): void {
    if (this.keys.partitioned === partitioned) return;
    if (this.keys.partitioned !== null) {
      throw new Error(`it is ${partitioned ? 'a cluster now' : 'no cluster any more'}: start the bus again`);
    }
    this.keys.partitioned = partitioned;
    this.interest.rename();
  }

  private async serverNow(): Promise<number | null> {
    if (this.latest === null) return null;
    const [seconds = '0', microseconds = '0'] = (await this.latest.command('time')) as string[];
    return Number(seconds) * 1000 + Number(microseconds) / 1000;
  }

  /** Fetches for the feed. Rejects when the connection is lost; an error from a live server ends the connection. */
  private async mend<T>(work: (session: Session) => Promise<T>): Promise<T> {
    const { session } = this.link;
    if (session === null) throw unavailable(this.link.reason);
    try {
      return await work(session);
    } catch (error) {
      if (this.link.session === session) this.link.drop(session, (error as Error).message);
      throw error;
    }
  }

  private report(): void {
    const healthy = this.healthy();
    if (healthy === this.reported) return;
    this.reported = healthy;
    const reason = healthy ? 'The storage backend is back.' : (this.refusing ?? this.link.reason);
    this.events.health({ healthy, reason });
  }
}

/** The addresses, or an unused placeholder and the error. */
function readUrls(url: string, backend: 'redis' | 'valkey'): [[RedisAddress, ...RedisAddress[]], Error | null] {
  try {
    return [parseRedisUrls(url, backend), null];
  } catch (error) {
    const credentials = { username: undefined, password: undefined };
    const nowhere = { host: '', port: 0, ...credentials, database: 0, tls: false, sentinels: null, shown: '' };
    return [[nowhere], error as Error];
  }
}

function isDriverMissing(error: unknown): boolean {
  const { code } = ((error as Error).cause ?? {}) as NodeJS.ErrnoException;
  return code === 'ERR_MODULE_NOT_FOUND' || code === 'MODULE_NOT_FOUND';
}
