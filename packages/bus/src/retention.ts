import { MAIL_ROOM } from '@arqonbus/protocol';
import { attempt, isPending } from './awaitable.ts';
import type { Broker, Retention, StreamAddress } from './engine/engine.ts';
import type { Rooms } from './rooms.ts';
import { Slice } from './turn.ts';

/** Applies retention changes to streams at once, rather than with their next event. */
export class RetentionChanges {
  private readonly rooms: Rooms;
  private readonly broker: Broker;
  private readonly onFault: (error: unknown) => void;

  constructor(rooms: Rooms, broker: Broker, onFault: (error: unknown) => void) {
    this.rooms = rooms;
    this.broker = broker;
    this.onFault = onFault;
  }

  /** The current retention of a stream, whether its channel is listed or idle. */
  of({ tenant, room, channel: name }: StreamAddress): Retention {
    const channel = this.rooms.tenants.get(tenant)?.find(room, name);
    return (channel === undefined ? this.rooms.policyAt(tenant, room, name) : this.rooms.policy(channel)).retention;
  }

  /** Applies it to one stream. A storage outage is reported elsewhere, and the next event applies it anyway. */
  apply(stream: StreamAddress): unknown {
    return attempt<unknown>(
      () => this.broker.retain(stream, this.of(stream)),
      () => {},
    );
  }

  /** Applies it to all streams of a tenant, in slices; each stream's next event applies it at the latest. */
  async applyAll(tenant: string): Promise<void> {
    try {
      const slice = new Slice();
      for (const stream of await this.broker.streams(tenant)) {
        // Waiting mail is kept even if the rules changed; the mailbox's next message applies them.
        if (stream.room === MAIL_ROOM) continue;
        const applied = this.apply(stream);
        if (isPending(applied)) await applied;
        if (slice.isOver) await slice.next();
      }
    } catch (error) {
      this.onFault(error);
    }
  }
}
