import type { Position } from '@arqonbus/protocol';
import type { Durability } from '../../../packages/bus/src/engine/engine.ts';
import type { Frame, Line } from './line.ts';
import type { Random } from './random.ts';
import { Roamer } from './roamer.ts';

/** Maximum unacknowledged messages; beyond it the publisher waits. */
const WINDOW = 32;
const INTERVAL_MS = 8;

export interface Sent {
  readonly id: string;
  readonly channel: string;
  readonly publisher: string;
  /** Its number among the messages of its publisher. */
  readonly number: number;
  /** The latest known position in its channel when it was resent; undefined if it was sent once. */
  known?: Position;
}

/** A message with its final ack. */
export interface Acked extends Sent {
  readonly sequence: number;
  readonly epoch: string;
  readonly stored: Durability;
  readonly duplicate: boolean;
}

/**
 * A client that publishes until it is stopped, each message with its own id, and resends unacknowledged messages in
 * order on its next connection, to the same node or another.
 */
export class Publisher {
  readonly acked: Acked[] = [];
  /** Ids of temporarily refused messages: they are resent later, after messages that followed them. */
  readonly refused: Set<string> = new Set();
  /** Violations, one sentence each. */
  readonly complaints: string[] = [];
  /** Acks with `duplicate`. */
  duplicates = 0;
  resent = 0;
  private readonly name: string;
  private readonly room: string;
  private readonly channels: readonly string[];
  private readonly random: Random;
  private readonly roamer: Roamer;
  private readonly pending = new Map<string, Sent>();
  private readonly timer: NodeJS.Timeout;
  private readonly known: Map<string, Position>;
  private idle: (() => void) | null = null;
  private count = 0;

  /** @param known the latest acked position in each channel, shared by all publishers */
  constructor(
    name: string,
    urls: readonly string[],
    room: string,
    channels: readonly string[],
    known: Map<string, Position>,
    random: Random,
  ) {
    this.name = name;
    this.room = room;
    this.channels = channels;
    this.known = known;
    this.random = random;
    const query = { client_key: `${name}-key-of-sixteen-or-more` };
    this.roamer = new Roamer(urls, query, random.fork(), {
      connected: (line) => this.again(line),
      frame: (frame) => this.settle(frame),
    });
    this.timer = setInterval(() => this.publish(), INTERVAL_MS);
  }

  get connections(): number {
    return this.roamer.connections;
  }

  get unanswered(): number {
    return this.pending.size;
  }

  cut(): void {
    this.roamer.cut();
  }

  /** Stops publishing. Resolves when everything published has been acked. */
  async finish(): Promise<void> {
    clearInterval(this.timer);
    if (this.pending.size === 0) return;
    await new Promise<void>((resolve) => {
      this.idle = resolve;
    });
  }

  async leave(): Promise<void> {
    clearInterval(this.timer);
    await this.roamer.stop();
  }

  private publish(): void {
    const { line } = this.roamer;
    if (line === null || this.pending.size >= WINDOW) return;
    this.count += 1;
    const id = `arq_${this.name}_${this.count}`;
    const sent: Sent = { id, channel: this.random.pick(this.channels), publisher: this.name, number: this.count };
    this.pending.set(id, sent);
    this.send(line, sent);
  }

  private again(line: Line): void {
    this.resent += this.pending.size;
    for (const sent of this.pending.values()) {
      const known = this.known.get(sent.channel);
      if (known !== undefined) sent.known = known;
      this.send(line, sent);
    }
  }

  private send(line: Line, { id, channel, number }: Sent): void {
    line.send({ version: '1.0', id, type: 'event', ack: true, room: this.room, channel, payload: { number } });
  }

  private settle(frame: Frame): void {
    const sent = this.pending.get(frame.request_id ?? '');
    if (sent === undefined) return;
    if (frame.type === 'error') {
      if (frame.payload.retryable !== true) this.complaints.push(`${sent.id} was refused: ${JSON.stringify(frame)}`);
      // The next connection resends it.
      this.refused.add(sent.id);
      this.roamer.cut();
      return;
    }
    const { sequence, epoch, stored, duplicate } = frame.payload;
    this.pending.delete(sent.id);
    this.acked.push({ ...sent, sequence, epoch, stored, duplicate: duplicate === true });
    if (stored !== 'none') this.know(sent.channel, { sequence, epoch });
    if (duplicate === true) this.duplicates += 1;
    if (this.pending.size > 0) return;
    this.idle?.();
  }

  private know(channel: string, { sequence, epoch }: Position): void {
    const known = this.known.get(channel);
    const isLater = known === undefined || known.epoch !== epoch || known.sequence < sequence;
    if (isLater) this.known.set(channel, { sequence, epoch });
  }
}
