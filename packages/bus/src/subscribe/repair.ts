import type { Envelope } from '@arqonbus/protocol';
import type { Broker, Missing, StoredEvent, StreamAddress, StreamEvent } from '../engine/engine.ts';
import type { Hub } from '../hub.ts';
import type { Notices } from '../notices.ts';
import type { Channel, Rooms, Tenant } from '../rooms.ts';
import { raiseMissing } from './missing.ts';

/** Streams whose state is queried at once. */
const AT_ONCE = 64;
/** Live events of a tenant held during a repair, and UTF-16 units of text; beyond that, read from history too. */
const MAX_HELD = 2_048;
const MAX_HELD_TEXT = 4 * 1_048_576;

/**
 * The only way this node's members receive events the node missed. An engine only reports that events were missed, and
 * which if it knows. Otherwise the missing range of each of the room's streams with members here lies between the last
 * event delivered and the first live event after that. It is read from history and delivered in stored order while live
 * events of the tenant wait: no gap, no duplicate, and each sender's order is kept across channels.
 */
export class Repairs {
  private readonly rooms: Rooms;
  private readonly hub: Hub;
  private readonly broker: Broker;
  private readonly notices: Notices;
  private readonly onFault: (error: unknown) => void;
  private readonly running: Map<Tenant, Repair> = new Map();

  constructor(rooms: Rooms, hub: Hub, broker: Broker, notices: Notices, onFault: (error: unknown) => void) {
    this.rooms = rooms;
    this.hub = hub;
    this.broker = broker;
    this.notices = notices;
    this.onFault = onFault;
  }

  /** The missing ranges are known; live events wait until they are delivered. Rejects if they cannot be read. */
  raise(missing: readonly Missing[]): Promise<void> {
    return raiseMissing(missing, (stream) => this.notices.historyGap(stream));
  }

  /** This node may have missed events of a room (`*`: of all rooms of the tenant). */
  gap(tenantName: string, roomName: string): void {
    const tenant = this.rooms.tenants.get(tenantName);
    if (tenant === undefined) return;
    const channels = [...channelsOf(tenant, roomName)];
    if (channels.length === 0) return;
    const known = this.running.get(tenant);
    if (known !== undefined) {
      known.add(channels);
      return;
    }
    const repair = new Repair();
    repair.add(channels);
    this.running.set(tenant, repair);
    this.hub.hold(tenant.name, (channel, event) => repair.offer(channel, event));
    this.run(repair)
      .catch((error: unknown) => {
        this.onFault(error);
        for (const channel of repair.unread()) this.notices.historyGap(channel);
      })
      .finally(() => {
        this.running.delete(tenant);
        this.hub.release(tenant.name);
        for (const event of repair.held) this.hub.deliver(event);
      });
  }

  private async run(repair: Repair): Promise<void> {
    // Gaps of several rooms reported in one turn are handled by one repair.
    await Promise.resolve();
    while (repair.begin()) {
      const told = new Set<StreamAddress>();
      const tellGap = (stream: StreamAddress): void => {
        if (!told.has(stream)) this.notices.historyGap(stream);
        told.add(stream);
      };
      const channels = [...repair.open];
      const missing: Missing[] = [];
      for (let from = 0; from < channels.length; from += AT_ONCE) {
        await Promise.all(
          channels.slice(from, from + AT_ONCE).map(async (channel) => {
            const found = await this.lookFor(channel, repair, tellGap);
            if (found === null) repair.open.delete(channel);
            else missing.push(found);
          }),
        );
      }
      await raiseMissing(missing, tellGap);
      repair.open.clear();
    }
  }

  /** The range of a stream that members lack, up to its first held event; null if nothing is missing. */
  private async lookFor(
    channel: Channel,
    repair: Repair,
    tellGap: (stream: StreamAddress) => void,
  ): Promise<Missing | null> {
    const state = await this.broker.state(channel);
    let { lastText } = channel;
    const { base, lastSequence } = channel;
    const place = lastText === null ? base : { sequence: lastSequence, epoch: epochOf(lastText) };
    const isOther = place !== null && place.epoch !== state.epoch;
    // For a stream unknown on this node, the events held back and then dropped are missing.
    const after = isOther ? 0 : (place?.sequence ?? repair.dropped.get(channel) ?? state.sequence);
    // A backend that lost its tail is always reported.
    if (isOther) tellGap(channel);
    const upTo = Math.min(state.sequence, this.comesLiveAfter(channel, repair));
    if (upTo <= after) return null;
    // A new epoch may still hold events members already had; sequences cannot tell, so the time is used.
    const since = isOther && lastText !== null ? { fromTime: timeOf(lastText) + 1 } : {};
    const hand = (stored: StoredEvent): void => {
      // All members have left in the meantime: newer members are not owed these events.
      if (channel.lastText !== lastText || channel.base !== base) return;
      this.hub.replay(channel, eventOf(channel, stored), true);
      lastText = channel.lastText;
    };
    return {
      stream: channel,
      after,
      upTo,
      read: async (from, limit) => {
        const query = { fromSequence: from + 1, toSequence: upTo, limit, ...since };
        const read = await this.broker.history(channel, query);
        return read.map((stored) => {
          const { sequence, time, text } = stored;
          return { sequence, order: time, bytes: text.length, hand: () => hand(stored) };
        });
      },
    };
  }

  /** The last sequence of a stream that will not arrive live; history may be ahead of live traffic. */
  private comesLiveAfter(channel: Channel, { firstHeld }: Repair): number {
    const held = firstHeld.get(channel);
    if (held !== undefined) return held - 1;
    const reached = this.broker.reached?.(channel);
    return reached === undefined || reached.epoch === '' ? Number.MAX_SAFE_INTEGER : reached.sequence;
  }
}

/** A running repair of a tenant, and the events that wait for it. */
class Repair {
  /** The streams being read. */
  readonly open: Set<Channel> = new Set();
  held: StreamEvent[] = [];
  /** The first sequence of each stream that arrived live since reading began. */
  readonly firstHeld: Map<Channel, number> = new Map();
  /** The sequence before the first held event of a stream whose held events were dropped. */
  readonly dropped: Map<Channel, number> = new Map();
  private readonly asked: Set<Channel> = new Set();
  private text = 0;
  private isReading = false;
  private isStale = false;

  add(channels: readonly Channel[]): void {
    for (const channel of channels) this.asked.add(channel);
    // The held events themselves may have a gap.
    if (this.isReading) this.drop();
  }

  /** Starts reading the requested streams; false if there are none. */
  begin(): boolean {
    if (this.asked.size === 0 && !this.isStale) return false;
    for (const channel of this.asked) this.open.add(channel);
    this.asked.clear();
    if (this.isStale) {
      for (const [channel, first] of this.firstHeld) {
        this.open.add(channel);
        if (!this.dropped.has(channel)) this.dropped.set(channel, first - 1);
      }
      this.firstHeld.clear();
    }
    this.isStale = false;
    this.isReading = true;
    return true;
  }

  /** Streams that may still have missing events. */
  unread(): ReadonlySet<Channel> {
    return new Set([...this.open, ...this.asked, ...(this.isStale ? this.firstHeld.keys() : [])]);
  }

  /** Holds a live event back; false if it should be delivered at once. */
  offer(channel: Channel, event: StreamEvent): boolean {
    const { sequence, text } = event;
    if (sequence > 0 && !this.firstHeld.has(channel)) this.firstHeld.set(channel, sequence);
    if (!this.isStale) {
      this.text += text.length;
      this.held.push(event);
      if (this.held.length > MAX_HELD || this.text > MAX_HELD_TEXT) this.drop();
      return true;
    }
    // Events not in history are delivered out of order rather than lost.
    return sequence > 0;
  }

  /** Drops held events that can be read from history instead. */
  private drop(): void {
    this.isStale = true;
    this.held = this.held.filter(({ sequence }) => sequence === 0);
    this.text = this.held.reduce((sum, { text }) => sum + text.length, 0);
  }
}

/** The streams of a room (`*`: of all rooms) of which members of this node have received events, or are owed them. */
function* channelsOf(tenant: Tenant, roomName: string): Generator<Channel> {
  const room = tenant.rooms.get(roomName);
  for (const one of roomName === '*' ? tenant.rooms.values() : room === undefined ? [] : [room]) {
    for (const channel of [one.wide, ...one.channels.values()]) {
      if (channel.lastText !== null || channel.base !== null) yield channel;
    }
  }
}

/** The epoch of an event's sequence, from its text. */
function epochOf(text: string): string {
  return String((JSON.parse(text) as Envelope).metadata?.epoch);
}

/** When an event was accepted, in milliseconds since 1970. */
function timeOf(text: string): number {
  return Date.parse((JSON.parse(text) as Envelope).timestamp);
}

function eventOf(stream: Channel, { sequence, from, text }: StoredEvent): StreamEvent {
  const { id } = JSON.parse(text) as { id: string };
  return { stream, sequence, id, from, text };
}
