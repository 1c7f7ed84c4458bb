import { type Position, randomToken } from '@arqonbus/protocol';
import type {
  Awaitable,
  Broker,
  HistoryQuery,
  Publication,
  Published,
  StoredEvent,
  StreamAddress,
  StreamState,
} from '../engine.ts';
import type { History } from './history.ts';
import type { Interest } from './interest.ts';
import { exact, type Keys } from './keys.ts';
import { type Link, unavailable } from './link.ts';
import type { LiveTraffic } from './live.ts';
import type { Publisher } from './publisher.ts';
import { CLAIM, milliseconds } from './scripts.ts';

const FEWEST_CLAIMS = 1_024;

/** The parts of a broker; {@link createRedisEngine} makes and connects them. */
export interface BrokerParts {
  readonly mode: 'degraded' | 'strict';
  readonly keys: Keys;
  readonly link: Link;
  readonly interest: Interest;
  readonly publisher: Publisher;
  readonly live: LiveTraffic;
  readonly history: History;
  /** The clock of what this node remembers by itself, milliseconds since 1970. */
  readonly now: () => number;
}

/** Streams in Redis: who answers what, and what is answered while the server is away. */
export class RedisBroker implements Broker {
  private readonly parts: BrokerParts;
  private readonly claims = new Map<string, number>();
  private sweepClaimsAt = FEWEST_CLAIMS;
  private closed = false;

  constructor(parts: BrokerParts) {
    this.parts = parts;
  }

  /** Takes nothing any more, not even live. */
  close(): void {
    this.closed = true;
  }

  publish(publication: Publication): Awaitable<Published> {
    const { link, live, publisher, mode, interest, keys } = this.parts;
    if (this.closed) return Promise.reject(unavailable('the engine was closed.'));
    const repeated = live.repeated(publication);
    if (repeated !== null) return repeated;
    if (link.standing !== 'away') return publisher.publish(publication);
    if (mode === 'strict') return Promise.reject(unavailable(link.reason));
    const { tenant, room } = publication.stream;
    return live.publish(publication, interest.has(keys.topic(tenant, room)));
  }

  attach(tenant: string, room: string): Awaitable<void> {
    return this.parts.interest.attach(tenant, room, this.parts.mode === 'degraded');
  }

  detach(tenant: string, room: string): void {
    this.parts.interest.detach(tenant, room);
    this.parts.publisher.release();
  }

  /** While the server is away in degraded mode nothing is known of a stream: it has no epoch and nothing is kept. */
  state(stream: StreamAddress): Awaitable<StreamState> {
    const { link, history, mode } = this.parts;
    if (link.standing === 'away' && mode === 'degraded') return { sequence: 0, epoch: '', oldest: 1 };
    return link.ask((session) => history.state(session, stream));
  }

  reached({ tenant, room, channel }: StreamAddress): Position {
    return this.parts.interest.reached(this.parts.keys.topic(tenant, room), channel);
  }

  history(stream: StreamAddress, query: HistoryQuery): Promise<StoredEvent[]> {
    return this.parts.link.ask((session) => this.parts.history.read(session, stream, query));
  }

  streams(tenant: string, room?: string): Promise<StreamAddress[]> {
    return this.parts.link.ask((session) => this.parts.history.streams(session, tenant, room));
  }

  drop(stream: StreamAddress): Promise<void> {
    return this.parts.link.ask((session) => this.parts.history.drop(session, stream));
  }

  async claim(key: string, windowMs: number): Promise<boolean> {
    const { link, keys, mode } = this.parts;
    if (link.standing === 'away' && mode === 'degraded') return this.claimHere(key, windowMs);
    const args = [milliseconds(windowMs), randomToken(16)];
    return (await link.ask((session) => session.run(CLAIM, [keys.claim(exact(key))], args))) === 1;
  }

  /** Without the server a claim holds on this node. */
  private claimHere(key: string, windowMs: number): boolean {
    const now = this.parts.now();
    if ((this.claims.get(key) ?? 0) > now) return false;
    this.claims.set(key, now + windowMs);
    if (this.claims.size >= this.sweepClaimsAt) {
      for (const [each, until] of this.claims) if (until <= now) this.claims.delete(each);
      this.sweepClaimsAt = Math.max(FEWEST_CLAIMS, this.claims.size * 2);
    }
    return true;
  }
}
