/** Where a Redis or Valkey is, taken out of its URL. */
export interface RedisAddress {
  readonly host: string;
  readonly port: number;
  readonly username: string | undefined;
  readonly password: string | undefined;
  readonly database: number;
  readonly tls: boolean;
  /** The URL without its credentials: the only form that sentences and logs may hold. */
  readonly shown: string;
}

const DEFAULT_PORT = 6379;
const TLS_SCHEMES: Readonly<Record<string, boolean>> = {
  'redis:': false,
  'valkey:': false,
  'rediss:': true,
  'valkeys:': true,
};

/**
 * Reads `redis://[USER][:PASSWORD]@HOST[:PORT][/DATABASE]`; the schemes are `redis`, `valkey` and, over TLS, `rediss`,
 * `valkeys`. Throws one sentence that names the backend and never repeats the text, for it may hold a password.
 */
export function parseRedisUrl(text: string, backend: 'redis' | 'valkey'): RedisAddress {
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
    shown: `${url.protocol}//${url.hostname}:${port}${database === '' ? '' : `/${database}`}`,
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
