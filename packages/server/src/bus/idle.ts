import type { Broker, StreamAddress } from '../engine/engine.ts';
import { streamKey } from '../engine/engine.ts';
import type { Channel, Rooms } from './rooms.ts';

/**
 * Takes away what nobody uses: channels that made themselves, have no members and were silent for the configured time.
 * Their history stays until its own retention ends; a channel that comes back before that goes on where it was.
 */
export class IdleSweep {
  private readonly rooms: Rooms;
  private readonly broker: Broker;
  private readonly idleMs: number;
  private readonly now: () => number;
  private readonly onRemoved: (channel: Channel) => void;
  private readonly onFault: (error: unknown) => void;
  private readonly retired: Map<string, { stream: StreamAddress; until: number }> = new Map();

  constructor(
    rooms: Rooms,
    broker: Broker,
    options: { readonly channelIdleMs: number; readonly now: () => number; readonly onFault: (error: unknown) => void },
    onRemoved: (channel: Channel) => void,
  ) {
    this.rooms = rooms;
    this.broker = broker;
    this.idleMs = options.channelIdleMs;
    this.now = options.now;
    this.onRemoved = onRemoved;
    this.onFault = options.onFault;
  }

  run(): void {
    const now = this.now();
    for (const tenant of this.rooms.tenants.values()) {
      for (const room of [...tenant.rooms.values()]) {
        for (const channel of [...room.channels.values()]) {
          if (!channel.isIdle(now - this.idleMs)) continue;
          this.rooms.remove(channel);
          this.retire(channel);
          this.onRemoved(channel);
        }
        if (room.channels.size === 0 && room.wide.isIdle(now - this.idleMs)) {
          this.rooms.remove(room.wide);
          this.retire(room.wide);
        }
      }
    }
    this.dropEnded(now);
  }

  private retire(channel: Channel): void {
    const { tenant, room, channel: name, lastTraffic, traits } = channel;
    const stream = { tenant, room, channel: name };
    this.retired.set(streamKey(stream), { stream, until: lastTraffic + traits.retention.ttlMs });
  }

  private dropEnded(now: number): void {
    for (const [key, { stream, until }] of this.retired) {
      const isBack = this.rooms.tenants.get(stream.tenant)?.find(stream.room, stream.channel) !== undefined;
      if (!isBack && until > now) continue;
      this.retired.delete(key);
      if (isBack) continue;
      const dropped = this.broker.drop(stream);
      if (dropped instanceof Promise) dropped.catch(this.onFault);
    }
  }
}
