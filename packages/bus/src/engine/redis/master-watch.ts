import type { Redis, RedisOptions } from 'ioredis';

/** How soon a sentinel that was lost is connected to again. */
const RETRY_MS = 1_000;
const CHANNEL = '+switch-master';

/**
 * Listens to sentinels for the moment at which they choose another master: the old one may still answer, and whatever
 * it stores from then on is lost. Sentinels that are away are waited for.
 */
export class MasterWatch {
  private readonly clients: readonly Redis[];
  private readonly name: string;

  constructor(clients: readonly Redis[], name: string) {
    this.clients = clients;
    this.name = name;
  }

  start(onSwitch: () => void): void {
    for (const client of this.clients) {
      // One that is away is tried again; that it is away says nothing of the master.
      client.on('error', () => {});
      // `NAME OLD_HOST OLD_PORT NEW_HOST NEW_PORT`
      client.on('message', (_channel: string, text: string) => {
        if (text.split(' ', 1)[0] === this.name) onSwitch();
      });
      client.subscribe(CHANNEL).catch(() => {});
    }
  }

  close(): void {
    for (const client of this.clients) client.disconnect();
  }
}

/** How a connection to a sentinel that is listened to behaves. */
export const WATCHING: Pick<
  RedisOptions,
  'enableReadyCheck' | 'lazyConnect' | 'maxRetriesPerRequest' | 'protocol' | 'retryStrategy'
> = {
  protocol: 2,
  enableReadyCheck: false,
  lazyConnect: true,
  maxRetriesPerRequest: null,
  retryStrategy: () => RETRY_MS,
};
