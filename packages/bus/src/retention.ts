import { MAIL_ROOM } from '@arqonbus/protocol';
import { attempt, isPending } from './awaitable.ts';
import type { Broker, Retention, StreamAddress } from './engine/engine.ts';
import type { Rooms } from './rooms.ts';
import { Slice } from './turn.ts';

/** Has streams keep what rules and channels say now, rather than from their next event on. */
export class RetentionChanges {
  private readonly rooms: Rooms;
  private readonly broker: Broker;
  private readonly onFault: (error: unknown) => void;

  constructor(rooms: Rooms, broker: Broker, onFault: (error: unknown) => void) {
    this.rooms = rooms;
    this.broker = broker;
    this.onFault = onFault;
  }

  /** What holds for a stream now, whether its channel is in the lists or rests. */
  of({ tenant, room, channel: name }: StreamAddress): Retention {
    const channel = this.rooms.tenants.get(tenant)?.find(room, name);
    return (channel === undefined ? this.rooms.policyAt(tenant, room, name) : this.rooms.policy(channel)).retention;
  }

  /** Applies it to one stream. A storage that is away is told of by others, and the next event brings the same. */
  apply(stream: StreamAddress): unknown {
    return attempt<unknown>(
      () => this.broker.retain(stream, this.of(stream)),
      () => {},
    );
  }

  /** Applies it to all streams of a tenant, in slices; what is over holds for each at the latest with its next event. */
  async applyAll(tenant: string): Promise<void> {
    try {
      const slice = new Slice();
      for (const stream of await this.broker.streams(tenant)) {
        // What waits in a mailbox stays, whatever its rules say by now; its next message brings them.
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
