import { andThen } from './awaitable.ts';
import type { Broker, Engine, StreamAddress, StreamState } from './engine/engine.ts';
import { streamKey } from './engine/engine.ts';
import type { Notices } from './notices.ts';
import type { Channel, Rooms } from './rooms.ts';

/**
 * Takes away what nobody uses: channels that made themselves, have no members and were silent for the configured time.
 * Their history stays until its own retention ends, or until a channel of that name is made again: that one has a new
 * epoch. In a cluster other nodes may be using the stream, and the engine's retention alone ends it.
 */
export class IdleSweep {
  private readonly rooms: Rooms;
  private readonly broker: Broker;
  private readonly idleMs: number;
  private readonly now: () => number;
  private readonly notices: Notices;
  private readonly onFault: (error: unknown) => void;
  /** Whether no other node shares the streams. */
  private readonly isAlone: boolean;
  private readonly retired: Map<string, { stream: StreamAddress; until: number }> = new Map();

  constructor(
    rooms: Rooms,
    engine: Engine,
    notices: Notices,
    options: {
      readonly channelIdleMs: number;
      readonly now: () => number;
      readonly onFault: (error: unknown) => void;
    },
  ) {
    this.rooms = rooms;
    this.broker = engine.broker;
    this.notices = notices;
    this.idleMs = options.channelIdleMs;
    this.now = options.now;
    this.onFault = options.onFault;
    this.isAlone = engine.presence === null;
    rooms.created.add((channel) => this.revive(channel));
  }

  run(): void {
    const now = this.now();
    for (const tenant of this.rooms.tenants.values()) {
      for (const room of [...tenant.rooms.values()]) {
        for (const channel of [...room.channels.values()]) {
          if (!channel.isIdle(now - this.idleMs)) continue;
          this.rooms.remove(channel);
          this.retire(channel);
          this.notices.deleted(channel, 'idle');
        }
        if (room.channels.size === 0 && room.wide.isIdle(now - this.idleMs)) {
          this.rooms.remove(room.wide);
          this.retire(room.wide);
        }
      }
    }
    this.dropEnded(now);
  }

  /** A channel was made: what an idle one of its name left behind is gone. */
  private revive(channel: Channel): void {
    if (this.retired.delete(streamKey(channel))) this.drop(channel);
  }

  private retire(channel: Channel): void {
    if (!this.isAlone) return;
    const { tenant, room, channel: name, lastTraffic } = channel;
    const { ttlMs } = this.rooms.policy(channel).retention;
    const stream = { tenant, room, channel: name };
    this.retired.set(streamKey(stream), { stream, until: lastTraffic + ttlMs });
    // A stream that never held anything has no history to wait for; one without an epoch is not known at all.
    const forgetEmpty = ({ sequence, epoch }: StreamState): void => {
      if (sequence === 0 && epoch !== '' && this.retired.delete(streamKey(stream))) this.drop(stream);
    };
    andThen(this.broker.state(stream), forgetEmpty, this.onFault);
  }

  private dropEnded(now: number): void {
    for (const [key, { stream, until }] of this.retired) {
      // A room that is back goes on in its room-wide stream.
      const isBack = this.rooms.tenants.get(stream.tenant)?.find(stream.room, stream.channel) !== undefined;
      if (!isBack && until > now) continue;
      this.retired.delete(key);
      if (!isBack) this.drop(stream);
    }
  }

  private drop(stream: StreamAddress): void {
    andThen(this.broker.drop(stream), () => {}, this.onFault);
  }
}
