import type { Message, Reset } from '@arqonbus/client';
import { type Position, WILDCARD } from '@arqonbus/protocol';
import { SdkLine } from './sdk-line.ts';
import type { PastStream, Stream } from './subscriber.ts';

/** A subscriber that relies on the SDK to stay connected, to resume, and to report what it missed. */
export class SdkSubscriber {
  readonly name: string;
  readonly streams: Map<string, Stream> = new Map();
  readonly past: PastStream[] = [];
  readonly live: Set<string> = new Set();
  readonly complaints: string[] = [];
  replayed = 0;
  /** Gaps reported by the SDK. */
  gapsTold = 0;
  readonly putOff = 0;
  private readonly line: SdkLine;
  private readonly isWide: boolean;
  /** Channels with a reported gap whose end is not known yet. */
  private readonly open = new Set<string>();
  private readonly waiting: { met: () => boolean; resolve: () => void }[] = [];

  private constructor(name: string, line: SdkLine, isWide: boolean) {
    this.name = name;
    this.line = line;
    this.isWide = isWide;
  }

  /** Subscribes; resolves when it has joined everything. `isWide`: the room instead of each channel. */
  static async join(
    name: string,
    urls: readonly string[],
    room: string,
    channels: readonly string[],
    isWide: boolean,
  ): Promise<SdkSubscriber> {
    const line = await SdkLine.open(urls, { clientType: 'service' });
    const subscriber = new SdkSubscriber(name, line, isWide);
    for (const channel of isWide ? [WILDCARD] : channels) await subscriber.subscribe(`${room}:${channel}`);
    return subscriber;
  }

  get connections(): number {
    return this.line.connections;
  }

  cut(): void {
    this.line.cut();
  }

  leave(): Promise<void> {
    return this.line.close();
  }

  joined(): Promise<void> {
    return Promise.resolve();
  }

  /** Resolves when it has reached this sequence of a channel, in this epoch. */
  reached(channel: string, sequence: number, epoch: string): Promise<void> {
    const met = (): boolean => {
      const position = this.streams.get(channel)?.position;
      return position !== undefined && position.epoch === epoch && position.sequence >= sequence;
    };
    if (met()) return Promise.resolve();
    return new Promise((resolve) => this.waiting.push({ met, resolve }));
  }

  private async subscribe(address: string): Promise<void> {
    const { result } = await this.line.client.subscribe(address, {
      onMessage: (message) => this.receive(message),
      onReset: (reset) => this.reset(reset),
    });
    if (result === undefined) return;
    const positions = result.positions ?? { [result.channel]: result };
    for (const [channel, { sequence, epoch }] of Object.entries(positions)) this.begin(channel, { sequence, epoch });
  }

  private begin(channel: string, position: Position): Stream {
    const stream = this.streams.get(channel) ?? { from: position.sequence, position, received: [], holes: [] };
    this.streams.set(channel, stream);
    return stream;
  }

  private reset({ reason, positions }: Reset): void {
    for (const [channel, { sequence, epoch }] of Object.entries(positions)) {
      const stream = this.streams.get(channel);
      if (stream === undefined) continue;
      if (reason === 'new_epoch') {
        this.past.push({ channel, ...stream });
        this.streams.set(channel, { from: 0, position: { sequence: 0, epoch }, received: [], holes: [] });
      } else {
        this.gapsTold += 1;
        // The gap ends before the next message.
        this.open.add(channel);
        if (sequence > stream.position.sequence) this.goOn(channel, stream, sequence);
      }
    }
  }

  /** Closes a reported gap: `upTo` is the last sequence in it. */
  private goOn(channel: string, stream: Stream, upTo: number): void {
    if (!this.open.delete(channel)) return;
    stream.holes.push({ after: stream.position.sequence, upTo });
    stream.position = { ...stream.position, sequence: upTo };
  }

  private receive({ id, channel = WILDCARD, position, replayed }: Message): void {
    if (position === undefined) {
      this.live.add(id);
      return;
    }
    const { sequence, epoch } = position;
    const stream = this.begin(channel, { sequence: this.isWide ? 0 : sequence - 1, epoch });
    const place = `${channel} ${sequence} (${id}${replayed ? ', replayed' : ''})`;
    const before = stream.position;
    if (epoch !== before.epoch)
      this.complaints.push(`${this.name}: ${place} is of epoch ${epoch}, not ${before.epoch}`);
    if (sequence <= before.sequence) this.complaints.push(`${this.name}: ${place} came after ${before.sequence}`);
    if (replayed) this.replayed += 1;
    this.goOn(channel, stream, sequence - 1);
    stream.received.push({ sequence, id });
    stream.position = position;
    for (const [index, { met, resolve }] of [...this.waiting.entries()].reverse()) {
      if (!met()) continue;
      this.waiting.splice(index, 1);
      resolve();
    }
  }
}
