import { type Envelope, type JsonObject, newSecretId, type Position, timestamp } from '@arqonbus/protocol';

/** The content of a new event; the stream adds its position. */
export interface FakeEvent {
  readonly id: string;
  readonly type: 'event' | 'telemetry' | 'private';
  readonly from: string;
  readonly payload: JsonObject;
  readonly metadata?: JsonObject | undefined;
}

/**
 * The stored events of one channel, in order.
 *
 * ```ts
 * server.stream('science:explore').reset(); // a new epoch, as after a restart
 * ```
 */
export class FakeStream {
  readonly room: string;
  readonly channel: string;
  epoch: string = newSecretId('');
  sequence = 0;
  /** Oldest first. */
  kept: Envelope[] = [];

  constructor(room: string, channel: string) {
    this.room = room;
    this.channel = channel;
  }

  get position(): Position {
    return { sequence: this.sequence, epoch: this.epoch };
  }

  append({ id, type, from, payload, metadata }: FakeEvent, now: number, size: number): Envelope {
    this.sequence += 1;
    const envelope: Envelope = {
      version: '1.0',
      id,
      type,
      room: this.room,
      channel: this.channel,
      from,
      timestamp: timestamp(now),
      payload,
      metadata: { ...metadata, sequence: this.sequence, epoch: this.epoch },
    };
    this.kept.push(envelope);
    this.kept.splice(0, this.kept.length - size);
    return envelope;
  }

  /** Stored events after a sequence, as sent by a replay. */
  after(sequence: number): Envelope[] {
    const later = this.kept.filter(({ metadata }) => (metadata?.sequence ?? 0) > sequence);
    return later.map((envelope) => ({ ...envelope, metadata: { ...envelope.metadata, replayed: true } }));
  }

  /** Whether everything after a position is still stored. */
  recovers({ sequence, epoch }: Position): boolean {
    return epoch === this.epoch && sequence <= this.sequence && sequence + 1 >= this.#oldest();
  }

  /** Loses its history and restarts with a new epoch, like a deleted channel. */
  reset(): void {
    this.epoch = newSecretId('');
    this.sequence = 0;
    this.kept = [];
  }

  #oldest(): number {
    return this.kept[0]?.metadata?.sequence ?? this.sequence + 1;
  }
}
