import { UsageError } from '../exit.ts';
import { type BusOptions, busUrl, tokenOf } from './options.ts';

/** The user's subject: from the token or, without one, from the URL: `ws://HOST:PORT?subject=ada`. */
function subjectOf(options: BusOptions): string | undefined {
  const token = tokenOf(options);
  if (token === '') return new URL(busUrl(options)).searchParams.get('subject') ?? undefined;
  const { sub } = claimsOf(token);
  return typeof sub === 'string' ? sub : undefined;
}

/** The same, but throws {@link UsageError} that says how to set a subject. */
export function requireSubject(options: BusOptions & { readonly subject?: string }): string {
  const subject = options.subject ?? subjectOf(options);
  if (subject !== undefined && subject !== '') return subject;
  throw new UsageError('whose mailbox? Pass --subject, a token with --jwt, or an address with ?subject=NAME.');
}

/** The claims of a token, unverified; empty if the text is not a token. */
function claimsOf(token: string): { readonly sub?: unknown } {
  try {
    return Object(JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8'))) as {
      sub?: unknown;
    };
  } catch {
    return {};
  }
}
