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
import { Batcher } from './batcher.ts';
import type { Feed } from './feed.ts';
import {
  dropStream,
  findStream,
  listStreams,
  listTenants,
  readHistory,
  retainStream,
  retentionOf,
  stateOf,
  usageOf,
} from './history.ts';
import type { Interest } from './interest.ts';
import type { Link } from './link.ts';
import { spelled } from './names.ts';
import type { Publisher } from './publisher.ts';

/** The parts of a broker; {@link createPostgresEngine} creates and connects them. */
export interface BrokerParts {
  readonly link: Link;
  readonly interest: Interest;
  readonly feed: Feed;
  readonly publisher: Publisher;
}

interface Claim {
  readonly key: string;
  readonly windowMs: number;
  readonly tag: string;
}

/** Streams in PostgreSQL: dispatches to the parts. While the server is unavailable everything is rejected. */
export class PostgresBroker implements Broker {
  private readonly parts: BrokerParts;
  private readonly claims: Batcher<Claim, boolean>;

  constructor(parts: BrokerParts) {
    this.parts = parts;
    this.claims = new Batcher(
      (claims) => this.claimAll(claims),
      (batch, { key }) => batch.every((other) => other.key !== key),
    );
  }

  /** Rejects new publications and claims from now on; resolves when all pending ones are answered. */
  async close(): Promise<void> {
    await Promise.all([this.parts.publisher.close(), this.claims.close()]);
  }

  publish(publication: Publication): Promise<Published> {
    return this.refusal() ?? this.parts.publisher.publish(publication);
  }

  attach(tenant: string, room: string): Awaitable<void> {
    const isFollowed = this.parts.interest.attach(tenant, room);
    return this.refusal() ?? (isFollowed ? undefined : this.parts.feed.pass());
  }

  detach(tenant: string, room: string): void {
    this.parts.interest.detach(tenant, room);
  }

  state(stream: StreamAddress): Promise<StreamState> {
    return this.parts.link.ask((session) => stateOf(session, stream));
  }

  find(stream: StreamAddress): Promise<StreamState | null> {
    return this.parts.link.ask((session) => findStream(session, stream));
  }

  reached(stream: StreamAddress): Position {
    return this.parts.interest.reached(stream);
  }

  history(stream: StreamAddress, query: HistoryQuery): Promise<StoredEvent[]> {
    return this.parts.link.ask((session) => readHistory(session, stream, query));
  }

  tenants(): Promise<string[]> {
    return this.parts.link.ask(listTenants);
  }

  retentionOf(stream: StreamAddress): Promise<Retention | null> {
    return this.parts.link.ask((session) => retentionOf(session, stream));
  }

  usage(streams: readonly StreamAddress[]): Promise<StreamUsage[]> {
    return this.parts.link.ask((session) => usageOf(session, streams));
  }

  streams(tenant: string, room?: string): Promise<StreamAddress[]> {
    return this.parts.link.ask((session) => listStreams(session, tenant, room));
  }

  retain(stream: StreamAddress, retention: Retention): Promise<void> {
    return this.parts.link.ask((session) => retainStream(session, stream, retention));
  }

  drop(stream: StreamAddress): Promise<void> {
    return this.parts.link.ask((session) => dropStream(session, stream));
  }

  claim(key: string, windowMs: number): Promise<boolean> {
    const claim = { key: spelled(key), windowMs: Math.ceil(windowMs), tag: randomToken(16) };
    return this.refusal() ?? this.claims.add(claim, key.length + 100);
  }

  /** Claims distinct keys, in ascending order, so that two nodes never deadlock. */
  private claimAll(claims: readonly Claim[]): Promise<boolean[]> {
    return this.parts.link.ask(async (session) => {
      const rows = await session.query(
        `INSERT INTO arqon_claims AS c (key, tag, until)
         SELECT u.key, u.tag, arqon_now() + u.ms FROM unnest($1::text[], $2::text[], $3::bigint[]) u (key, tag, ms)
         ORDER BY u.key COLLATE "C"
         ON CONFLICT (key) DO UPDATE SET tag = excluded.tag, until = excluded.until
           WHERE c.until <= arqon_now() OR c.tag = excluded.tag
         RETURNING key`,
        [claims.map(({ key }) => key), claims.map(({ tag }) => tag), claims.map(({ windowMs }) => windowMs)],
      );
      const won = new Set(rows.map((row) => row.key));
      return claims.map(({ key }) => won.has(key));
    });
  }

  private refusal(): Promise<never> | undefined {
    const { link } = this.parts;
    return link.standing === 'away' ? Promise.reject(unavailable(link.reason)) : undefined;
  }
}
