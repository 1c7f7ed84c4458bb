import { signal } from '@preact/signals';

/** The credentials of the page. */
export type Credentials =
  | { readonly kind: 'none' }
  | { readonly kind: 'token'; readonly secret: string }
  | { readonly kind: 'key'; readonly secret: string };

const STORED = 'arqonbus.credentials';
const NOBODY: Credentials = { kind: 'none' };

/** Kept in memory, or with {@link keep} also in the tab's session storage. */
export const credentials = signal<Credentials>(read());

/** Uses credentials from now on; with `stay`, they survive a reload of the tab. */
export function keep(given: Credentials, stay: boolean): void {
  credentials.value = given;
  forget();
  if (stay) sessionStorage.setItem(STORED, JSON.stringify(given));
}

export function forget(): void {
  sessionStorage.removeItem(STORED);
}

/** The headers for credentials. */
export function headersOf({ kind, ...rest }: Credentials): Readonly<Record<string, string>> {
  const secret = 'secret' in rest ? rest.secret : '';
  if (kind === 'key') return { 'X-API-Key': secret };
  return kind === 'token' ? { Authorization: `Bearer ${secret}` } : {};
}

function read(): Credentials {
  try {
    const stored: unknown = JSON.parse(sessionStorage.getItem(STORED) ?? 'null');
    if (typeof stored !== 'object' || stored === null) return NOBODY;
    const { kind, secret } = stored as { kind?: unknown; secret?: unknown };
    return (kind === 'token' || kind === 'key') && typeof secret === 'string' ? { kind, secret } : NOBODY;
  } catch {
    return NOBODY;
  }
}
