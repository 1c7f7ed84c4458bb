import { WILDCARD } from '@arqonbus/protocol';
import { Frame } from './connection/frame.ts';
import type { StreamAddress } from './engine/engine.ts';
import type { Events } from './events.ts';
import { type Hub, notice } from './hub.ts';
import type { Channel, Rooms } from './rooms.ts';

/** Reports channel changes to clients, as `system` envelopes, and to telemetry. */
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

  /** Notifies subscribers of the whole room. */
  private created(channel: Channel): void {
    const { tenant, room, channel: name, traits } = channel;
    this.events.emit('channel_created', tenant, { room, channel: name, created_by: traits.createdBy });
    this.hub.notifySubscribers(channel, {
      event: 'channel_created',
      room,
      channel: name,
      created_by: traits.createdBy,
    });
  }

  deleted(channel: Channel, reason: 'command' | 'idle'): void {
    const { tenant, room, channel: name } = channel;
    this.events.emit('channel_deleted', tenant, { room, channel: name, reason });
    this.hub.notifySubscribers(channel, { event: 'channel_deleted', room, channel: name });
  }

  /**
   * The stream continues after live-only traffic that is missing in history: its audience is notified of the loss,
   * once. This node may not know the channel, since the traffic may have been on another node.
   */
  historyGap(stream: StreamAddress): void {
    const tenant = this.rooms.tenants.get(stream.tenant);
    if (tenant === undefined) return;
    const { room: name, channel } = stream;
    const room = tenant.rooms.get(name);
    const members = channel === WILDCARD ? room?.members() : room?.channels.get(channel)?.members.keys();
    const all = new Set([...(members ?? []), ...tenant.everything.members.keys()]);
    for (const place of room === undefined ? [] : [room.wide, ...room.patterns.values()]) {
      if (place.matches?.(channel) === false) continue;
      for (const [session, { coverage }] of place.members) if (coverage?.includes(channel) !== false) all.add(session);
    }
    const frame = new Frame(notice(stream, { event: 'history_gap', room: name, channel }));
    for (const session of all) session.outbox.push(frame);
  }
}
