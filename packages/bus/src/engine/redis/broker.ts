import { type Position, randomToken } from '@arqonbus/protocol';
import type {
  Awaitable,
  Broker,
  HistoryQuery,
  Publication,
  Published,
  Retention,
  StoredEvent,
  StreamAddress,
  StreamState,
  StreamUsage,
} from '../engine.ts';
import { unavailable } from '../server-link.ts';
import type { History } from './history.ts';
import type { Interest } from './interest.ts';
import { exact, type Keys } from './keys.ts';
import type { Link } from './link.ts';
import type { Publisher } from './publisher.ts';
import { CLAIM, milliseconds } from './scripts.ts';

/** The parts of a broker; {@link createRedisEngine} creates and connects them. */
export interface BrokerParts {
  readonly keys: Keys;
  readonly link: Link;
  readonly interest: Interest;
  readonly publisher: Publisher;
  readonly history: History;
}

/** Streams in Redis: dispatches to the parts. While the server is unavailable everything is rejected. */
export class RedisBroker implements Broker {
  private readonly parts: BrokerParts;
  private closed = false;

  constructor(parts: BrokerParts) {
    this.parts = parts;
  }

  /** From now on publications are rejected. */
  close(): void {
    this.closed = true;
  }

  publish(publication: Publication): Promise<Published> {
    const { link, publisher } = this.parts;
    if (this.closed) return Promise.reject(unavailable('the engine was closed.'));
    if (link.standing === 'away') return Promise.reject(unavailable(link.reason));
    return publisher.publish(publication);
  }

  attach(tenant: string, room: string): Awaitable<void> {
    return this.parts.interest.attach(tenant, room);
  }

  detach(tenant: string, room: string): void {
    this.parts.interest.detach(tenant, room);
    this.parts.publisher.release();
  }

  state(stream: StreamAddress): Promise<StreamState> {
    return this.parts.link.ask((session) => this.parts.history.state(session, stream));
  }

  find(stream: StreamAddress): Promise<StreamState | null> {
    return this.parts.link.ask((session) => this.parts.history.find(session, stream));
  }

  reached({ tenant, room, channel }: StreamAddress): Position {
    return this.parts.interest.reached(this.parts.keys.topic(tenant, room), channel);
  }

  history(stream: StreamAddress, query: HistoryQuery): Promise<StoredEvent[]> {
    return this.parts.link.ask((session) => this.parts.history.read(session, stream, query));
  }

  tenants(): Promise<string[]> {
    return this.parts.link.ask((session) => this.parts.history.tenants(session));
  }

  retentionOf(stream: StreamAddress): Promise<Retention | null> {
    return this.parts.link.ask((session) => this.parts.history.retentionOf(session, stream));
  }

  usage(streams: readonly StreamAddress[]): Promise<StreamUsage[]> {
    return this.parts.link.ask((session) => this.parts.history.usage(session, streams));
  }

  streams(tenant: string, room?: string): Promise<StreamAddress[]> {
    return this.parts.link.ask((session) => this.parts.history.streams(session, tenant, room));
  }

  retain(stream: StreamAddress, retention: Retention): Promise<void> {
    return this.parts.link.ask((session) => this.parts.history.retain(session, stream, retention));
  }

  drop(stream: StreamAddress): Promise<void> {
    return this.parts.link.ask((session) => this.parts.history.drop(session, stream));
  }

  async claim(key: string, windowMs: number): Promise<boolean> {
    const { link, keys } = this.parts;
    const args = [milliseconds(windowMs), randomToken(16)];
    return (await link.ask((session) => session.run(CLAIM, [keys.claim(exact(key))], args))) === 1;
  }
}
