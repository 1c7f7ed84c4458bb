/** Where the server is, and how it is reached. */
export interface PostgresAddress {
  readonly url: string;
  /** Where to listen for wake-ups: a server behind a pooler is listened to directly. */
  readonly listenUrl: string;
  /** Statements may be prepared: not through a pooler, which gives every transaction another connection. */
  readonly prepare: boolean;
  /** The URL without credentials. */
  readonly shown: string;
}

/**
 * Reads `postgres://[USER[:PASSWORD]@]HOST[:PORT]/DATABASE[?sslmode=…&search_path=…]`. With a `listenUrl` the `url` is
 * taken for that of a pooler. Throws one sentence, which holds no credential.
 */
export function parsePostgresUrl(url: string, listenUrl: string): PostgresAddress {
  const shown = check(url, 'PostgreSQL URL');
  if (listenUrl !== '') check(listenUrl, 'PostgreSQL URL to listen at');
  return { url, listenUrl: listenUrl === '' ? url : listenUrl, prepare: listenUrl === '', shown };
}

function check(url: string, name: string): string {
  let parsed: URL;
  try {
    parsed = new URL(url);
  } catch {
    throw new Error(`The ${name} cannot be read: write postgres://USER:PASSWORD@HOST:5432/DATABASE.`);
  }
  if (parsed.protocol !== 'postgres:' && parsed.protocol !== 'postgresql:') {
    throw new Error(`The ${name} begins with "${parsed.protocol}//": it must be postgres:// or postgresql://.`);
  }
  if (parsed.hostname === '') throw new Error(`The ${name} names no host.`);
  return `postgres://${parsed.host}${parsed.pathname}`;
}
