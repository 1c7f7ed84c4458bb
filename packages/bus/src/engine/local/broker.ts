import type {
  Broker,
  HistoryQuery,
  Publication,
  Published,
  Retention,
  StoredEvent,
  StreamAddress,
  StreamEvent,
  StreamState,
  StreamUsage,
} from '../engine.ts';
import type { Link } from './link.ts';
import { readRetention, type SpelledRetention, spellRetention } from './messages.ts';

/** Streams of the host's engine; this worker receives events of the rooms that it attached. */
export class LocalBroker implements Broker {
  private readonly link: Link;
  /** By tenant, the rooms whose events this worker wants. */
  private readonly wishes = new Map<string, Set<string>>();

  constructor(link: Link) {
    this.link = link;
  }

  /** Attaches the wanted rooms on a new connection. */
  establish(): void {
    for (const [tenant, room] of this.wanted()) this.link.post('attach', tenant, room);
  }

  *wanted(): Generator<[tenant: string, room: string]> {
    for (const [tenant, rooms] of this.wishes) for (const room of rooms) yield [tenant, room];
  }

  /** An event already in transit when its room was detached is dropped. */
  wants({ stream }: StreamEvent): boolean {
    const rooms = this.wishes.get(stream.tenant);
    return rooms !== undefined && (rooms.has(stream.room) || rooms.has('*'));
  }

  publish(publication: Publication): Promise<Published> {
    return this.link.publish(publication);
  }

  attach(tenant: string, room: string): Promise<void> {
    const rooms = this.wishes.get(tenant) ?? new Set<string>();
    this.wishes.set(tenant, rooms.add(room));
    return this.link.request('attach', tenant, room);
  }

  detach(tenant: string, room: string): void {
    const rooms = this.wishes.get(tenant);
    if (rooms === undefined || !rooms.delete(room)) return;
    if (rooms.size === 0) this.wishes.delete(tenant);
    this.link.post('detach', tenant, room);
  }

  state(stream: StreamAddress): Promise<StreamState> {
    return this.link.request('state', addressOf(stream));
  }

  find(stream: StreamAddress): Promise<StreamState | null> {
    return this.link.request('find', addressOf(stream));
  }

  history(stream: StreamAddress, query: HistoryQuery): Promise<StoredEvent[]> {
    return this.link.request('history', addressOf(stream), query);
  }

  streams(tenant: string, room?: string): Promise<StreamAddress[]> {
    return this.link.request('streams', tenant, room ?? null);
  }

  tenants(): Promise<string[]> {
    return this.link.request('streamTenants');
  }

  async retentionOf(stream: StreamAddress): Promise<Retention | null> {
    const spelled = await this.link.request<SpelledRetention | null>('retentionOf', addressOf(stream));
    return spelled === null ? null : readRetention(spelled);
  }

  usage(streams: readonly StreamAddress[]): Promise<StreamUsage[]> {
    return this.link.request('usage', streams.map(addressOf));
  }

  retain(stream: StreamAddress, retention: Retention): Promise<void> {
    return this.link.request('retain', addressOf(stream), spellRetention(retention));
  }

  drop(stream: StreamAddress): Promise<void> {
    return this.link.request('drop', addressOf(stream));
  }

  claim(key: string, windowMs: number): Promise<boolean> {
    return this.link.request('claim', key, windowMs);
  }
}

/** Callers may pass objects with more than an address. */
function addressOf({ tenant, room, channel }: StreamAddress): StreamAddress {
  return { tenant, room, channel };
}
