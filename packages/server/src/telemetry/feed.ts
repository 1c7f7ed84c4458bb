import { eventText, type Happening } from '@arqonbus/bus';
import { isVisible, type Recorded, TelemetryRing, type View } from './ring.ts';

/** Maximum characters kept for replay, whatever the number of events. */
const MAX_CHARACTERS = 16 * 1_048_576;
/** Client-submitted events are all counted under this name, since clients choose their types freely. */
const SUBMITTED = 'submitted';

export interface FeedOptions {
  /** If false, nothing is recorded. */
  readonly enabled: boolean;
  /** The room telemetry is published in; activity in it makes no events. */
  readonly room: string;
  readonly bufferSize: number;
}

export interface FeedStats {
  readonly enabled: boolean;
  readonly buffered: number;
  readonly buffer_size: number;
  readonly events_total: number;
  readonly events_by_type: Readonly<Record<string, number>>;
}

/** All telemetry events: keeps the latest and passes new ones to listeners. Outlives the server's listeners. */
export class TelemetryFeed {
  readonly options: FeedOptions;
  private readonly ring: TelemetryRing;
  private readonly listeners: Set<(event: Recorded) => void> = new Set();
  private readonly relays: Set<(event: Recorded, countedAs: string) => void> = new Set();
  /** Counts by tenant and type; the server's own under the empty name. */
  private readonly counts: Map<string, Map<string, number>> = new Map();

  constructor(options: FeedOptions) {
    this.options = options;
    this.ring = new TelemetryRing(options.bufferSize, MAX_CHARACTERS);
  }

  record({ tenant, event, submitted }: Happening): void {
    const { enabled, room: ownRoom } = this.options;
    // In a client-submitted event, only the fields next to the payload are an address.
    const { room, channel } = submitted ? event : event.payload;
    if (!enabled || (!submitted && room === ownRoom)) return;
    const recorded: Recorded = {
      tenant,
      eventType: event.eventType,
      room: typeof room === 'string' ? room : undefined,
      channel: typeof channel === 'string' ? channel : undefined,
      text: eventText(event),
    };
    const countedAs = submitted ? SUBMITTED : event.eventType;
    this.take(recorded, countedAs);
    for (const relay of this.relays) relay(recorded, countedAs);
  }

  /** Adds an event recorded by another process of this server. */
  take(recorded: Recorded, countedAs: string): void {
    this.count(recorded.tenant ?? '', countedAs);
    this.ring.add(recorded);
    for (const listener of this.listeners) listener(recorded);
  }

  /** Passes on every event recorded by this process, with the name it is counted under. */
  relay(pass: (event: Recorded, countedAs: string) => void): () => void {
    this.relays.add(pass);
    return () => this.relays.delete(pass);
  }

  /** Adds a listener; returns the function that removes it. */
  listen(listener: (event: Recorded) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** The last `limit` events that are visible to `view` and match `accepts`, oldest first. */
  recent(view: View, limit: number, accepts: (event: Recorded) => boolean): Recorded[] {
    return this.ring.last(limit, (event) => isVisible(event, view) && accepts(event));
  }

  stats(view: View): FeedStats {
    const { enabled, bufferSize } = this.options;
    const byType: Record<string, number> = {};
    let total = 0;
    for (const [tenant, counts] of this.counts) {
      if (!view.operator && tenant !== view.tenant) continue;
      for (const [type, count] of counts) {
        byType[type] = (byType[type] ?? 0) + count;
        total += count;
      }
    }
    const seesAll = view.operator && view.grants === null;
    const buffered = seesAll ? this.ring.size : this.recent(view, bufferSize, () => true).length;
    return { enabled, buffered, buffer_size: bufferSize, events_total: total, events_by_type: byType };
  }

  private count(tenant: string, type: string): void {
    let counts = this.counts.get(tenant);
    if (counts === undefined) {
      counts = new Map();
      this.counts.set(tenant, counts);
    }
    counts.set(type, (counts.get(type) ?? 0) + 1);
  }
}
