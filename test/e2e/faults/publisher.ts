import type { Durability } from '../../../packages/bus/src/engine/engine.ts';
import type { Frame, Line } from './line.ts';
import type { Random } from './random.ts';
import { Roamer } from './roamer.ts';

/** Messages without an answer beyond which a publisher waits. */
const WINDOW = 32;
const INTERVAL_MS = 8;

export interface Sent {
  readonly id: string;
  readonly channel: string;
  readonly publisher: string;
  /** Its place among what its publisher sent. */
  readonly number: number;
}

/** A message with the ack that settled it. */
export interface Acked extends Sent {
  readonly sequence: number;
  readonly epoch: string;
  readonly stored: Durability;
}

/**
 * A client that publishes until it is told to stop, each message with an id of its own, and sends whatever is not
 * acked again, in its order, over its next connection: to this node or to another.
 */
export class Publisher {
  readonly acked: Acked[] = [];
  /** Ids that a server refused for the time being: sent again later, they come after what was sent behind them. */
  readonly refused: Set<string> = new Set();
  /** What must not be, a sentence each. */
  readonly complaints: string[] = [];
  /** Acks that say the message was stored before. */
  duplicates = 0;
  resent = 0;
  private readonly name: string;
  private readonly room: string;
  private readonly channels: readonly string[];
  private readonly random: Random;
  private readonly roamer: Roamer;
  private readonly pending = new Map<string, Sent>();
  private readonly timer: NodeJS.Timeout;
  private idle: (() => void) | null = null;
  private count = 0;

  constructor(name: string, urls: readonly string[], room: string, channels: readonly string[], random: Random) {
    this.name = name;
    this.room = room;
    this.channels = channels;
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

  /** Publishes nothing new. Resolves when all that was published has been acked. */
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
    const sent = { id, channel: this.random.pick(this.channels), publisher: this.name, number: this.count };
    this.pending.set(id, sent);
    this.send(line, sent);
  }

  private again(line: Line): void {
    this.resent += this.pending.size;
    for (const sent of this.pending.values()) this.send(line, sent);
  }

  private send(line: Line, { id, channel, number }: Sent): void {
    line.send({ version: '1.0', id, type: 'event', ack: true, room: this.room, channel, payload: { number } });
  }

  private settle(frame: Frame): void {
    const sent = this.pending.get(frame.request_id ?? '');
    if (sent === undefined) return;
    if (frame.type === 'error') {
      if (frame.payload.retryable !== true) this.complaints.push(`${sent.id} was refused: ${JSON.stringify(frame)}`);
      // The next connection sends it again.
      this.refused.add(sent.id);
      this.roamer.cut();
      return;
    }
    const { sequence, epoch, stored, duplicate } = frame.payload;
    this.pending.delete(sent.id);
    this.acked.push({ ...sent, sequence, epoch, stored });
    if (duplicate === true) this.duplicates += 1;
    if (this.pending.size > 0) return;
    this.idle?.();
  }
}
