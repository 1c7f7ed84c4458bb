import { ArqonBusClient } from '@arqonbus/client';
import { addressOf, now } from './orders.ts';

const TEXT = 'x'.repeat(180);
/** Timeout of an answer, including a lost connection, in milliseconds. */
const ANSWER_MS = 30_000;

/** Publishes at an even rate to all channels in turn, regardless of the connection. */
export class Publisher {
  acked = 0;
  readonly refused: string[] = [];
  private readonly client: ArqonBusClient;
  private readonly rate: number;
  private readonly last: number[];
  private readonly underWay = new Set<Promise<void>>();
  private readonly timer: NodeJS.Timeout;
  private readonly beganAt = performance.now();
  private sent = 0;

  private constructor(client: ArqonBusClient, channels: number, rate: number) {
    this.client = client;
    this.rate = rate;
    this.last = Array.from({ length: channels }, () => 0);
    this.timer = setInterval(() => this.publishDue(), 10);
  }

  /** @param rate events per second */
  static async start(urls: readonly string[], channels: number, rate: number): Promise<Publisher> {
    const client = new ArqonBusClient({ url: urls, http: false, timeoutMs: ANSWER_MS });
    await client.connect({ retry: true });
    return new Publisher(client, channels, rate);
  }

  /** Resolves with the number of the last event of each channel, once all are answered. */
  async stop(): Promise<readonly number[]> {
    clearInterval(this.timer);
    await Promise.all(this.underWay);
    await this.client.close();
    return this.last;
  }

  private publishDue(): void {
    const due = Math.floor(((performance.now() - this.beganAt) * this.rate) / 1_000);
    for (; this.sent < due; this.sent += 1) {
      const channel = this.sent % this.last.length;
      const number = (this.last[channel] as number) + 1;
      this.last[channel] = number;
      const answer = this.client.publish(addressOf(channel), { number, at: now(), text: TEXT }).then(
        () => {
          this.acked += 1;
        },
        (error: Error) => void this.refused.push(error.message),
      );
      this.underWay.add(answer);
      void answer.then(() => this.underWay.delete(answer));
    }
  }
}
