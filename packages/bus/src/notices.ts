import type { StreamAddress } from './engine/engine.ts';
import type { Events } from './events.ts';
import type { Hub } from './hub.ts';
import type { Channel, Rooms } from './rooms.ts';

/** Tells clients, with `system` envelopes, and telemetry what became of channels. */
export class Notices {
  private readonly rooms: Rooms;
  private readonly hub: Hub;
  private readonly events: Events;

  constructor(rooms: Rooms, hub: Hub, events: Events) {
    this.rooms = rooms;
    this.hub = hub;
    this.events = events;
    rooms.created.add((channel) => this.created(channel));
  }

  /** To those who subscribe to the whole room. */
  private created(channel: Channel): void {
    const { tenant, room, channel: name, traits, parent } = channel;
    this.events.emit('channel_created', tenant, { room, channel: name, created_by: traits.createdBy });
    this.hub.notify(parent.wide, { event: 'channel_created', room, channel: name, created_by: traits.createdBy });
  }

  deleted(channel: Channel, reason: 'command' | 'idle'): void {
    const { tenant, room, channel: name, parent } = channel;
    this.events.emit('channel_deleted', tenant, { room, channel: name, reason });
    this.hub.notify(parent.wide, { event: 'channel_deleted', room, channel: name });
  }

  /** The stream goes on after live-only traffic that history does not hold: members are told of the loss. */
  historyGap(stream: StreamAddress): void {
    const { room, channel: name } = stream;
    const channel = this.rooms.tenants.get(stream.tenant)?.find(room, name);
    if (channel === undefined) return;
    const payload = { event: 'history_gap', room, channel: name };
    this.hub.notify(channel, payload);
    if (!channel.isWide) this.hub.notify(channel.parent.wide, payload);
  }
}
