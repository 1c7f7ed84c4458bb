import { type Envelope, type JsonObject, newSecretId, type Position, timestamp } from '@arqonbus/protocol';

/** What a new event is made of; the stream adds its place. */
export interface FakeEvent {
  readonly id: string;
  readonly type: 'event' | 'telemetry' | 'private';
  readonly from: string;
  readonly payload: JsonObject;
  readonly metadata?: JsonObject | undefined;
}

/**
 * One channel's events in order, as far as they are kept.
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

  /** Kept events after a sequence, as a replay sends them. */
  after(sequence: number): Envelope[] {
    const later = this.kept.filter(({ metadata }) => (metadata?.sequence ?? 0) > sequence);
    return later.map((envelope) => ({ ...envelope, metadata: { ...envelope.metadata, replayed: true } }));
  }

  /** Whether everything after a position is still kept. */
  recovers({ sequence, epoch }: Position): boolean {
    return epoch === this.epoch && sequence <= this.sequence && sequence + 1 >= this.#oldest();
  }

  /** Loses its history and starts anew, as a removed channel does. */
  reset(): void {
    this.epoch = newSecretId('');
    this.sequence = 0;
    this.kept = [];
  }

  #oldest(): number {
    return this.kept[0]?.metadata?.sequence ?? this.sequence + 1;
  }
}
