/** The server's address. */
export interface PostgresAddress {
  readonly url: string;
  /** Where to listen for wake-ups: bypasses the pooler, if there is one. */
  readonly listenUrl: string;
  /** Whether statements may be prepared: not through a pooler, which changes the connection per transaction. */
  readonly prepare: boolean;
  /** The URL without credentials. */
  readonly shown: string;
}

/**
 * Parses `postgres://[USER[:PASSWORD]@]HOST[:PORT]/DATABASE[?sslmode=…&search_path=…]`. If `listenUrl` is given, `url`
 * is assumed to be a pooler's. Throws one sentence without credentials.
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
