/** A server's host and port. */
export interface Host {
  readonly host: string;
  readonly port: number;
}

/** The address of a Redis or Valkey server, from its URL. Host and port are empty if sentinels provide them. */
export interface RedisAddress extends Host {
  readonly username: string | undefined;
  readonly password: string | undefined;
  readonly database: number;
  readonly tls: boolean;
  /** The sentinels to ask, and the master's name; null if the URL names the server itself. */
  readonly sentinels: { readonly hosts: readonly Host[]; readonly name: string } | null;
  /** The URL without credentials: the only form allowed in messages and logs. */
  readonly shown: string;
}

const DEFAULT_PORT = 6379;
const SENTINEL_PORT = 26_379;
const TLS_SCHEMES: Readonly<Record<string, boolean>> = {
  'redis:': false,
  'valkey:': false,
  'rediss:': true,
  'valkeys:': true,
};
const SENTINEL_URL =
  /^(?<scheme>(?:redis|valkey)s?\+sentinel:)\/\/(?:(?<user>[^:@/]*)(?::(?<password>[^@/]*))?@)?(?<hosts>[^@/?#]+)\/(?<name>[\w.-]+)(?:\/(?<database>\d{0,5}))?$/i;

/**
 * Parses one URL ({@link parseRedisUrl}), or several separated by commas: servers that each hold a part of all rooms.
 * Throws one sentence, also if they name one server twice or different databases.
 */
export function parseRedisUrls(text: string, backend: 'redis' | 'valkey'): [RedisAddress, ...RedisAddress[]] {
  const [first = '', ...more] = text.split(/\s*,\s*(?=[a-z]+(?:\+sentinel)?:\/\/)/i);
  const address = parseRedisUrl(first, backend);
  const others = more.map((each) => parseRedisUrl(each, backend));
  const all = [address, ...others];
  if (new Set(all.map(({ database }) => database)).size > 1) {
    throw new Error(`The ${backend} URLs name different databases; give all of them the same number.`);
  }
  if (new Set(all.map(({ shown }) => shown)).size < all.length) {
    throw new Error(`The ${backend} URLs name one server twice; each may stand there once.`);
  }
  return [address, ...others];
}

/**
 * Parses `redis://[USER][:PASSWORD]@HOST[:PORT][/DATABASE]`; the schemes are `redis`, `valkey` and, over TLS, `rediss`,
 * `valkeys`. With `+sentinel` appended to the scheme it is
 * `redis+sentinel://[USER][:PASSWORD]@HOST[:PORT],…/NAME[/DATABASE]`: the hosts are sentinels, the credentials those of
 * the master they know by that name. Throws one sentence that names the backend and never repeats the text, since it
 * may contain a password.
 */
export function parseRedisUrl(text: string, backend: 'redis' | 'valkey'): RedisAddress {
  if (/^[a-z]+\+sentinel:/i.test(text)) return parseSentinelUrl(text, backend);
  const example = `${backend}://user:password@host:6379/0`;
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw new Error(`The ${backend} URL cannot be read; write it as ${example}.`);
  }
  const tls = TLS_SCHEMES[url.protocol];
  if (tls === undefined) {
    throw new Error(
      `The ${backend} URL does not begin with "${backend}://" or, for TLS, "rediss://"; write it as ${example}.`,
    );
  }
  if (url.hostname === '') throw new Error(`The ${backend} URL names no host; write it as ${example}.`);
  const database = url.pathname.replace(/^\//, '');
  if (!/^\d{0,5}$/.test(database)) {
    throw new Error(`The ${backend} URL ends in a path that is not a database number; write it as ${example}.`);
  }
  const port = url.port === '' ? DEFAULT_PORT : Number(url.port);
  return {
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port,
    username: credential(url.username, backend),
    password: credential(url.password, backend),
    database: Number(database),
    tls,
    sentinels: null,
    shown: `${url.protocol}//${url.hostname}:${port}${database === '' ? '' : `/${database}`}`,
  };
}

function parseSentinelUrl(text: string, backend: 'redis' | 'valkey'): RedisAddress {
  const example = `${backend}+sentinel://user:password@host:26379,host:26379/name/0`;
  const parts = SENTINEL_URL.exec(text)?.groups;
  const hosts = parts?.hosts?.split(',').map(hostOf) ?? [];
  if (parts === undefined || !hosts.every((host) => host !== null)) {
    throw new Error(`The ${backend} URL with sentinels cannot be read; write it as ${example}.`);
  }
  const { scheme = '', user = '', password = '', name = '', database = '' } = parts;
  const shownHosts = hosts.map(({ host, port }) => `${host.includes(':') ? `[${host}]` : host}:${port}`).join(',');
  return {
    host: '',
    port: 0,
    username: credential(user, backend),
    password: credential(password, backend),
    database: Number(database),
    tls: /^(rediss|valkeys)\+/i.test(scheme),
    sentinels: { hosts, name },
    shown: `${scheme.toLowerCase()}//${shownHosts}/${name}${database === '' ? '' : `/${database}`}`,
  };
}

/** `HOST[:PORT]` of a sentinel; null if invalid. */
function hostOf(text: string): Host | null {
  const url = URL.canParse(`redis://${text}`) ? new URL(`redis://${text}`) : null;
  if (url === null || url.hostname === '') return null;
  return {
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port: url.port === '' ? SENTINEL_PORT : Number(url.port),
  };
}

function credential(text: string, backend: string): string | undefined {
  if (text === '') return undefined;
  try {
    return decodeURIComponent(text);
  } catch {
    throw new Error(`The ${backend} URL holds a user name or password with a stray "%"; write "%" as "%25".`);
  }
}
