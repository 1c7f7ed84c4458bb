import { attempt } from './awaitable.ts';
import type { Broker } from './engine/engine.ts';
import type { Notices } from './notices.ts';
import type { Channel, Room, Rooms } from './rooms.ts';
import { Slice } from './turn.ts';

/** How often the streams of quiet channels with members are renewed, well within the engines' expiry of one hour. */
const RENEW_MS = 1_200_000;

/**
 * Removes idle channels from the lists: those created automatically, without members and without traffic for the
 * configured time. Their streams remain, and are found again on the next join, publish or read; the engine expires them
 * much later, unless they have members.
 */
export class IdleSweep {
  private readonly rooms: Rooms;
  private readonly broker: Broker;
  private readonly notices: Notices;
  private readonly now: () => number;
  private isRunning = false;
  private renewed: number;

  constructor(rooms: Rooms, broker: Broker, notices: Notices, now: () => number) {
    this.rooms = rooms;
    this.broker = broker;
    this.notices = notices;
    this.now = now;
    this.renewed = now();
  }

  /** Checks every channel once, in slices; does nothing while an earlier call is still running. */
  async run(): Promise<void> {
    if (this.isRunning) return;
    this.isRunning = true;
    const now = this.now();
    const isRenewal = now - this.renewed >= RENEW_MS;
    if (isRenewal) this.renewed = now;
    try {
      const slice = new Slice();
      for (const tenant of this.rooms.tenants.values()) {
        for (const room of tenant.rooms.values()) {
          for (const channel of room.channels.values()) {
            if (slice.isOver) await slice.next();
            this.rest(channel, now);
            if (isRenewal && channel.members.size > 0) await this.renew(channel);
          }
          this.leave(room, now);
          if (isRenewal && room.members().size > 0) await this.renew(room.wide);
        }
      }
    } finally {
      this.isRunning = false;
    }
  }

  private rest(channel: Channel, now: number): void {
    if (!channel.isIdle(now - this.rooms.policy(channel).idleMs)) return;
    this.rooms.remove(channel);
    this.notices.deleted(channel, 'idle');
  }

  /** A room is removed with its last channel. */
  private leave({ channels, wide }: Room, now: number): void {
    if (channels.size === 0 && wide.isIdle(now - this.rooms.policy(wide).idleMs)) this.rooms.remove(wide);
  }

  private renew(channel: Channel): unknown {
    // A storage outage is reported elsewhere, and nothing expires meanwhile.
    return attempt<unknown>(
      () => this.broker.state(channel),
      () => {},
    );
  }
}
