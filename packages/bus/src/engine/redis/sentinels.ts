import type { Redis, RedisOptions } from 'ioredis';
import type { Host, RedisAddress } from './url.ts';

/** Reconnect delay for a lost sentinel. */
const RETRY_MS = 1_000;
const CHANNEL = '+switch-master';

/** Options of a connection for listening to a sentinel. */
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
/** Driver options; reply mapping is left to the driver. */
export type Options = Omit<RedisOptions, 'replyMapping'>;

/** Error code for sentinels that did not lead to a server. */
export const SENTINEL_FAULT = 'ESENTINEL';

export interface SentinelCredentials {
  readonly username?: string;
  readonly password?: string;
}

/** Sentinels, queried for a master by the driver, and their answers. */
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
      // The only place where the driver reveals which server it was sent to.
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
 * Listens for sentinels switching to another master: the old one may still answer, but anything it stores from then on
 * is lost. Lost sentinels are reconnected.
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
      // An unavailable sentinel is retried; its absence says nothing about the master.
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
