import { type Position, WILDCARD } from '@arqonbus/protocol';
import type { Frame, Line } from './line.ts';
import type { Random } from './random.ts';
import { Roamer } from './roamer.ts';

const PUT_OFF_MS = 1_000;

/** A message as one subscriber received it. */
export interface Received {
  readonly sequence: number;
  readonly id: string;
}

/** A client's state of one channel: its position, and everything received. */
export interface Stream {
  /** Every event after this sequence must be received. */
  readonly from: number;
  position: Position;
  readonly received: Received[];
  /** Gaps that were reported to it. */
  readonly holes: { readonly after: number; readonly upTo: number }[];
}

/** A stream that was restarted with a new epoch, as far as it was received. */
export interface PastStream extends Stream {
  readonly channel: string;
}

/** A pending join. */
interface Join {
  readonly channel: string;
  /** Whether it gave this client's position. */
  readonly isResume: boolean;
}

/**
 * A client that joins channels, or their whole room, and resumes on every new connection. It records what it received,
 * and every violation of the guarantees.
 */
export class Subscriber {
  readonly name: string;
  readonly streams: Map<string, Stream> = new Map();
  /** Streams that ended: a resume reported another epoch. */
  readonly past: PastStream[] = [];
  /** Ids of messages without a sequence: live traffic that is not stored. */
  readonly live: Set<string> = new Set();
  /** Violations, one sentence each. */
  readonly complaints: string[] = [];
  /** Messages received by replay. */
  replayed = 0;
  /** Notices of gaps in history. */
  gapsTold = 0;
  /** Resumes that found no storage; retried later. */
  putOff = 0;
  private readonly room: string;
  private readonly channels: readonly string[];
  private readonly isWide: boolean;
  private readonly roamer: Roamer;
  private readonly joins = new Map<string, Join>();
  private readonly waiting: { met: () => boolean; resolve: () => void }[] = [];
  /** Whether all joins of this connection were answered with a stream position. */
  private isPlaced = true;
  /** Channels of the room that were missing in the last response: their next events have a new epoch. */
  private readonly unknown = new Set<string>();
  private count = 0;

  /** `isWide`: subscribes to the room instead of each channel. */
  constructor(
    name: string,
    urls: readonly string[],
    room: string,
    channels: readonly string[],
    isWide: boolean,
    random: Random,
  ) {
    this.name = name;
    this.room = room;
    this.channels = channels;
    this.isWide = isWide;
    this.roamer = new Roamer(urls, { client_type: 'service' }, random, {
      connected: (line) => this.join(line),
      frame: (frame, line) => this.take(frame, line),
    });
  }

  get connections(): number {
    return this.roamer.connections;
  }

  get isConnected(): boolean {
    return this.roamer.line !== null;
  }

  cut(): void {
    this.roamer.cut();
  }

  leave(): Promise<void> {
    return this.roamer.stop();
  }

  /** Resolves when it has joined everything. */
  joined(): Promise<void> {
    return this.until(() => (this.isWide ? [WILDCARD] : this.channels).every((channel) => this.streams.has(channel)));
  }

  /** Resolves when it has reached this sequence of a channel, in one epoch. */
  reached(channel: string, sequence: number, epoch?: string): Promise<void> {
    return this.until(() => {
      const position = this.streams.get(channel)?.position;
      return position !== undefined && position.sequence >= sequence && (epoch ?? position.epoch) === position.epoch;
    });
  }

  private until(met: () => boolean): Promise<void> {
    if (met()) return Promise.resolve();
    return new Promise((resolve) => this.waiting.push({ met, resolve }));
  }

  private join(line: Line): void {
    this.joins.clear();
    this.unknown.clear();
    this.isPlaced = true;
    if (this.isWide) {
      const since = Object.fromEntries([...this.streams].map(([channel, { position }]) => [channel, position]));
      this.ask(line, WILDCARD, this.streams.size === 0 ? undefined : since);
      return;
    }
    for (const channel of this.channels) {
      this.ask(line, channel, this.streams.get(channel)?.position);
    }
  }

  private ask(line: Line, channel: string, since: Position | Record<string, Position> | undefined): void {
    this.count += 1;
    const id = `arq_${this.name}_${this.count}`;
    this.joins.set(id, { channel, isResume: since !== undefined });
    const args = { room: this.room, channel, ...(since === undefined ? {} : { since }) };
    line.send({ version: '1.0', id, type: 'command', command: 'join_channel', args });
  }

  private take(frame: Frame, line: Line): void {
    if (frame.type === 'command_response') this.answered(frame, line);
    else if (frame.type === 'event') this.receive(frame);
    else if (frame.payload.event === 'history_gap') this.missed(frame);
    for (const [index, { met, resolve }] of [...this.waiting.entries()].reverse()) {
      if (!met()) continue;
      this.waiting.splice(index, 1);
      resolve();
    }
  }

  private missed({ payload }: Frame): void {
    this.gapsTold += 1;
    // A replay broke off: reconnect to resume from the current position.
    if (payload.after_sequence !== undefined) this.roamer.cut();
  }

  private answered(frame: Frame, line: Line): void {
    const join = this.joins.get(frame.request_id ?? '');
    if (join === undefined) return;
    const { channel, isResume } = join;
    const { payload } = frame;
    // While the storage is unavailable, stream positions are unknown: live messages arrive, but nothing can be resumed
    // yet.
    if (frame.status !== 'success' || payload.epoch === '') {
      this.putOff += 1;
      this.isPlaced = false;
      setTimeout(() => line.cut(), PUT_OFF_MS);
      return;
    }
    const positions = (this.isWide ? payload.positions : { [channel]: payload }) as Record<string, Position>;
    if (payload.recovered === false) this.forget(channel, positions);
    for (const [name, { sequence, epoch }] of Object.entries(positions)) {
      // A channel created while this client was disconnected is replayed from its start (P6.6).
      this.begin(name, { sequence: this.isWide && isResume ? 0 : sequence, epoch });
    }
  }

  /** Streams of another epoch are replayed from their start; nothing else may be missing. */
  private forget(channel: string, positions: Readonly<Record<string, Position>>): void {
    let isExplained = false;
    for (const [name, { position }] of [...this.streams]) {
      const epoch = positions[name]?.epoch;
      if (epoch === position.epoch || (epoch === undefined && !this.isWide)) continue;
      isExplained = true;
      if (epoch === undefined) this.unknown.add(name);
      else this.beginAnew(name, epoch);
    }
    if (!isExplained) this.complaints.push(`could not resume ${channel}: ${JSON.stringify(positions)}`);
  }

  private beginAnew(channel: string, epoch: string): void {
    const stream = this.streams.get(channel);
    if (stream !== undefined) this.past.push({ channel, ...stream });
    this.streams.set(channel, { from: 0, position: { sequence: 0, epoch }, received: [], holes: [] });
  }

  private begin(channel: string, position: Position): void {
    if (!this.streams.has(channel))
      this.streams.set(channel, { from: position.sequence, position, received: [], holes: [] });
  }

  private receive({ id, channel = '', metadata = {} }: Frame): void {
    const { sequence, epoch = '', replayed } = metadata as { sequence?: number; epoch?: string; replayed?: true };
    if (sequence === undefined) {
      this.live.add(id);
      return;
    }
    // The storage is available again: reconnect to resume from the current position.
    if (!this.isPlaced) {
      this.roamer.cut();
      return;
    }
    // A room subscription follows all channels, later ones from their start.
    this.begin(channel, { sequence: 0, epoch });
    if (this.unknown.delete(channel)) this.beginAnew(channel, epoch);
    const stream = this.streams.get(channel) as Stream;
    const { position } = stream;
    const place = `${channel} ${sequence} (${id}${replayed ? ', replayed' : ''})`;
    if (epoch !== position.epoch) this.complaints.push(`${place} is of epoch ${epoch}, not of ${position.epoch}`);
    if (sequence <= position.sequence) this.complaints.push(`${place} came after ${position.sequence}`);
    if (replayed === true) this.replayed += 1;
    stream.received.push({ sequence, id });
    stream.position = { sequence, epoch };
  }
}
