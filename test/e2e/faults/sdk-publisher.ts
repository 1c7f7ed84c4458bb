import { ArqonBusError } from '@arqonbus/client';
import type { Acked, Sent } from './publisher.ts';
import type { Random } from './random.ts';
import { SdkLine } from './sdk-line.ts';

const INTERVAL_MS = 8;
const WINDOW = 32;
const RETRY_MS = 300;
/** Timeout of the SDK's resends, longer than any outage. */
const TIMEOUT_MS = 120_000;

/** A publisher that relies on the SDK to resend unacknowledged messages; it republishes refused ones once. */
export class SdkPublisher {
  readonly acked: Acked[] = [];
  readonly refused: Set<string> = new Set();
  readonly complaints: string[] = [];
  duplicates = 0;
  /** Refused and republished messages; the SDK's own resends are not visible here. */
  resent = 0;
  private readonly name: string;
  private readonly room: string;
  private readonly channels: readonly string[];
  private readonly random: Random;
  private readonly line: SdkLine;
  private readonly pending = new Map<string, Promise<void>>();
  private readonly timer: NodeJS.Timeout;
  private count = 0;
  private isOver = false;

  private constructor(name: string, line: SdkLine, room: string, channels: readonly string[], random: Random) {
    this.name = name;
    this.line = line;
    this.room = room;
    this.channels = channels;
    this.random = random;
    this.timer = setInterval(() => this.publish(), INTERVAL_MS);
  }

  static async start(
    name: string,
    urls: readonly string[],
    room: string,
    channels: readonly string[],
    random: Random,
  ): Promise<SdkPublisher> {
    const line = await SdkLine.open(urls, { timeoutMs: TIMEOUT_MS });
    return new SdkPublisher(name, line, room, channels, random);
  }

  get connections(): number {
    return this.line.connections;
  }

  get unanswered(): number {
    return this.pending.size;
  }

  cut(): void {
    this.line.cut();
  }

  /** Stops publishing. Resolves when everything published has been acked. */
  async finish(): Promise<void> {
    clearInterval(this.timer);
    await Promise.all(this.pending.values());
  }

  async leave(): Promise<void> {
    this.isOver = true;
    clearInterval(this.timer);
    await this.line.close();
  }

  private publish(): void {
    if (this.pending.size >= WINDOW) return;
    this.count += 1;
    const id = `arq_${this.name}_${this.count}`;
    const sent: Sent = { id, channel: this.random.pick(this.channels), publisher: this.name, number: this.count };
    this.pending.set(id, this.send(sent));
  }

  private async send(sent: Sent): Promise<void> {
    const { id, channel, number } = sent;
    while (!this.isOver) {
      try {
        const options = { id, timeoutMs: TIMEOUT_MS };
        const ack = await this.line.client.publish(`${this.room}:${channel}`, { number }, options);
        const { sequence, epoch, stored, duplicate } = ack;
        this.acked.push({ ...sent, sequence, epoch, stored, duplicate });
        if (duplicate) this.duplicates += 1;
        break;
      } catch (error) {
        if (this.isOver) break;
        this.refused.add(id);
        if (!(error instanceof ArqonBusError && error.retryable)) {
          this.complaints.push(`${this.name}: ${id} was refused for good: ${error}`);
          break;
        }
        this.resent += 1;
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    }
    this.pending.delete(id);
  }
}
