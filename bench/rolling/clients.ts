import { ArqonBusClient, ConnectionError } from '@arqonbus/client';
import { addressOf, now, type Order, type Report, type Return } from './orders.ts';

/** Concurrent connection attempts. */
const OPENING = 50;
/** Time limit for all clients to receive the last events, in milliseconds. */
const SETTLE_MS = 60_000;

/** The progress of one subscriber. */
interface Subscriber {
  readonly channel: number;
  /** The number of the last event. */
  last: number;
}

/** The subscribers of one process. */
class Crowd {
  private readonly clients: ArqonBusClient[] = [];
  private readonly subscribers: Subscriber[] = [];
  private readonly returns: Return[] = [];
  private readonly delays: number[] = [];
  private readonly errors = new Map<string, number>();
  private doubled = 0;
  private skipped = 0;
  private resets = 0;
  private told: () => void = () => {};

  async open({ urls, first, count, channels }: Extract<Order, { kind: 'open' }>): Promise<void> {
    let next = first;
    const opener = async (): Promise<void> => {
      while (next < first + count) {
        const number = next;
        next += 1;
        await this.connect(urls, number, number % channels);
      }
    };
    await Promise.all(Array.from({ length: OPENING }, opener));
  }

  /**
   * The results, once all clients are reconnected and have the last event of their channel, or after the time limit.
   */
  async finish(last: readonly number[]): Promise<Report> {
    const lacking = (): number =>
      this.subscribers.reduce((sum, one) => sum + Math.max(0, (last[one.channel] ?? 0) - one.last), 0);
    const deadline = performance.now() + SETTLE_MS;
    const away = (): number => this.clients.filter(({ state }) => state !== 'open').length;
    while ((lacking() > 0 || away() > 0) && performance.now() < deadline) {
      await new Promise<void>((resolve) => {
        this.told = resolve;
        setTimeout(resolve, 1_000);
      });
    }
    const { returns, delays, doubled, resets } = this;
    const missing = away();
    const lost = this.skipped + lacking();
    await Promise.all(this.clients.map((client) => client.close()));
    return { returns, delays, doubled, resets, lost, away: missing, errors: [...this.errors] };
  }

  private async connect(urls: readonly string[], number: number, channel: number): Promise<void> {
    // With a list, each client starts at a different address.
    const turned = urls.map((_, index) => urls[(index + number) % urls.length] as string);
    const client = new ArqonBusClient({ url: turned, http: false });
    this.clients.push(client);
    let lostAt = 0;
    let attempts = 0;
    client.on('reconnecting', ({ attempt, error }) => {
      if (lostAt === 0) lostAt = now();
      attempts = attempt;
      const status = error instanceof ConnectionError ? (error.status ?? error.closeCode) : undefined;
      const why = `${error.code}${status === undefined ? '' : ` ${status}`}`;
      this.errors.set(why, (this.errors.get(why) ?? 0) + 1);
    });
    client.on('state', ({ state }) => {
      if (state !== 'open' || lostAt === 0) return;
      this.returns.push({ node: client.welcome?.server.node ?? '', lostAt, openAt: now(), attempts });
      lostAt = 0;
    });
    await client.connect({ retry: true });
    const subscriber: Subscriber = { channel, last: 0 };
    this.subscribers.push(subscriber);
    await client.subscribe<{ number: number; at: number }>(addressOf(channel), {
      onMessage: ({ payload }) => this.take(subscriber, payload),
      onReset: () => {
        this.resets += 1;
      },
    });
  }

  private take(subscriber: Subscriber, { number, at }: { number: number; at: number }): void {
    this.told();
    if (number <= subscriber.last) {
      this.doubled += 1;
      return;
    }
    this.skipped += number - subscriber.last - 1;
    subscriber.last = number;
    this.delays.push(now() - at);
  }
}

const crowd = new Crowd();
process.on('message', (order: Order) => {
  const answer = order.kind === 'open' ? crowd.open(order) : crowd.finish(order.last);
  answer.then(
    (report) => process.send?.(report ?? null),
    (error: Error) => {
      console.error(error);
      process.exit(1);
    },
  );
});
process.once('disconnect', () => process.exit());
