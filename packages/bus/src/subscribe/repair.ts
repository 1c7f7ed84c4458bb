import type { Envelope, Position } from '@arqonbus/protocol';
import type { Broker, Missing, StoredEvent, StreamEvent } from '../engine/engine.ts';
import type { Hub } from '../hub.ts';
import type { Notices } from '../notices.ts';
import type { Channel, Rooms } from '../rooms.ts';
import { raiseMissing } from './missing.ts';

/** Envelopes read from history at a time. */
const READ = 64;
/** Live events held back for a stream meanwhile; beyond it they are read from history as well. */
const MAX_HELD = 512;

/**
 * The one way in which this node's members get what passed the node by. An engine only says that it may have missed
 * something of a room; for each of the room's streams with members here, what lies between the last event delivered
 * and the stream's end is read from history and delivered before live traffic goes on: no gap, no duplicate, in order.
 */
export class Repairs {
  private readonly rooms: Rooms;
  private readonly hub: Hub;
  private readonly broker: Broker;
  private readonly notices: Notices;
  private readonly onFault: (error: unknown) => void;
  private readonly running: Map<Channel, Repair> = new Map();

  constructor(rooms: Rooms, hub: Hub, broker: Broker, notices: Notices, onFault: (error: unknown) => void) {
    this.rooms = rooms;
    this.hub = hub;
    this.broker = broker;
    this.notices = notices;
    this.onFault = onFault;
  }

  /** Events of a room (`*`: of all rooms of the tenant) may have passed this node by. */
  gap(tenantName: string, roomName: string): void {
    const tenant = this.rooms.tenants.get(tenantName);
    if (tenant === undefined) return;
    const room = tenant.rooms.get(roomName);
    for (const one of roomName === '*' ? tenant.rooms.values() : room === undefined ? [] : [room]) {
      for (const channel of [one.wide, ...one.channels.values()]) this.repair(channel);
    }
  }

  /** What passed this node by is known, and nothing comes live before it was handed on: rejects when it cannot be read. */
  raise(missing: readonly Missing[]): Promise<void> {
    return raiseMissing(missing, (stream) => this.notices.historyGap(stream));
  }

  private repair(channel: Channel): void {
    // Nobody here has joined it: there is nobody to miss anything.
    if (channel.last === null && channel.base === null) return;
    const known = this.running.get(channel);
    if (known !== undefined) {
      known.again = true;
      return;
    }
    const repair = new Repair();
    this.running.set(channel, repair);
    this.hub.hold(channel, (event) => repair.offer(event));
    const failed = (error: unknown): void => {
      this.onFault(error);
      this.notices.historyGap(channel);
    };
    this.run(channel, repair)
      .catch(failed)
      .finally(() => {
        this.running.delete(channel);
        this.hub.release(channel);
        for (const event of repair.held) this.hub.deliver(event);
      });
  }

  private async run(channel: Channel, repair: Repair): Promise<void> {
    do {
      repair.again = false;
      repair.overflowed = false;
      const state = await this.broker.state(channel);
      const last = channel.last === null ? channel.base : placeOf(channel.last);
      const isOther = last === null || last.epoch !== state.epoch;
      let after = isOther ? 0 : last.sequence;
      if (isOther || state.oldest > after + 1) {
        // Retention, or a backend that lost its end, took what was missed: told, never silent.
        this.notices.historyGap(channel);
        after = Math.max(isOther ? 0 : after, state.oldest - 1);
      }
      // Under a new epoch a backend may have kept what members had before; sequences do not tell, the time does.
      const since = isOther && channel.last !== null ? { fromTime: timeOf(channel.last) + 1 } : {};
      for (let more = true; more; ) {
        const read = await this.broker.history(channel, { fromSequence: after + 1, limit: READ, ...since });
        for (const stored of read) this.hub.replay(channel, eventOf(channel, stored), true);
        after = read[read.length - 1]?.sequence ?? after;
        more = read.length === READ;
      }
      // What is in both is delivered once.
      repair.held = repair.held.filter((event) => event.sequence === 0 || event.sequence > after);
    } while (repair.again || repair.overflowed);
  }
}

class Repair {
  held: StreamEvent[] = [];
  overflowed = false;
  /** Another gap was told meanwhile. */
  again = false;

  offer(event: StreamEvent): void {
    if (this.held.length < MAX_HELD) {
      this.held.push(event);
      return;
    }
    this.held = [];
    this.overflowed = true;
  }
}

/** Where an event stands in its stream, as its text tells. */
function placeOf({ sequence, text }: StreamEvent): Position {
  const { metadata } = JSON.parse(text) as Envelope;
  return { sequence, epoch: String(metadata?.epoch) };
}

/** When an event was accepted, in milliseconds since 1970. */
function timeOf({ text }: StreamEvent): number {
  return Date.parse((JSON.parse(text) as Envelope).timestamp);
}

function eventOf(stream: Channel, { sequence, from, text }: StoredEvent): StreamEvent {
  const { id } = JSON.parse(text) as { id: string };
  return { stream, sequence, id, from, text };
}
