import type { Redis, RedisOptions } from 'ioredis';
import type { Host, RedisAddress } from './url.ts';

/** How soon a sentinel that was lost is connected to again. */
const RETRY_MS = 1_000;
const CHANNEL = '+switch-master';

/** How a connection to a sentinel that is listened to behaves. */
const WATCHING: Pick<
  RedisOptions,
  'enableReadyCheck' | 'lazyConnect' | 'maxRetriesPerRequest' | 'protocol' | 'retryStrategy'
> = {
  protocol: 2,
  enableReadyCheck: false,
  lazyConnect: true,
  maxRetriesPerRequest: null,
  retryStrategy: () => RETRY_MS,
};

type Driver = typeof Redis;
/** As the driver takes them; how it writes replies is left to it. */
export type Options = Omit<RedisOptions, 'replyMapping'>;

/** The code of an error that says why sentinels did not lead to a server. */
export const SENTINEL_FAULT = 'ESENTINEL';

export interface SentinelCredentials {
  readonly username?: string;
  readonly password?: string;
}

/** Sentinels that are asked for a master, by the driver, and what they answer. */
export class Sentinels {
  master: Host = { host: '', port: 0 };
  private readonly driver: Driver;
  private readonly options: Options;
  private readonly hosts: readonly Host[];
  private readonly name: string;
  private readonly answers: string[] = [];

  constructor(
    driver: Driver,
    { host: _host, port: _port, ...options }: Options,
    { hosts, name }: NonNullable<RedisAddress['sentinels']>,
  ) {
    this.driver = driver;
    this.hosts = hosts;
    this.name = name;
    this.options = {
      ...options,
      sentinels: [...hosts],
      name,
      role: 'master',
      updateSentinels: false,
      sentinelRetryStrategy: () => null,
      ...(options.tls === undefined ? {} : { enableTLSForSentinelMode: true, sentinelTLS: options.tls }),
      // The one place where the driver tells to which server it was led.
      natMap: (place) => {
        const colon = place.lastIndexOf(':');
        this.master = { host: place.slice(0, colon), port: Number(place.slice(colon + 1)) };
        return null as unknown as Host;
      },
    };
  }

  get wantsPassword(): boolean {
    return this.answers.some((answer) => answer.includes('NOAUTH'));
  }

  client({ username, password }: SentinelCredentials): Redis {
    this.answers.length = 0;
    const client = new this.driver({
      ...this.options,
      ...(username === undefined ? {} : { sentinelUsername: username }),
      ...(password === undefined ? {} : { sentinelPassword: password }),
    });
    client.on('sentinelError', ({ message }: Error) => this.answers.push(message.replace(/\.$/, '')));
    return client;
  }

  watch(credentials: SentinelCredentials): MasterWatch {
    const { tls } = this.options;
    const more = { ...credentials, ...(tls === undefined ? {} : { tls }) };
    return new MasterWatch(
      this.hosts.map((host) => new this.driver({ ...WATCHING, ...host, ...more })),
      this.name,
    );
  }

  faultOf(error: Error): Error {
    if (this.answers.length === 0 || !error.message.startsWith('All sentinels')) return error;
    const isUnknown = this.answers.some((answer) => answer.includes('invalid reply'));
    const all = this.answers.join(', ');
    const message = isUnknown ? 'no sentinel knows a master of that name' : `no sentinel can be asked (${all})`;
    return Object.assign(new Error(message), { code: SENTINEL_FAULT });
  }
}

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
