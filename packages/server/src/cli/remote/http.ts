import { type Command, Option } from 'commander';
import { seconds } from '../arguments.ts';
import { UsageError } from '../exit.ts';

const DEFAULT_HTTP_URL = 'http://127.0.0.1:8080';

/** How a verb reaches the HTTP port. */
export interface HttpOptions {
  readonly httpUrl: string;
  readonly apiKey?: string;
  readonly jwt?: string;
  readonly timeoutSeconds?: number;
  readonly json?: boolean;
}

function withHttpOptions(verb: Command): Command {
  return verb
    .addOption(
      new Option('--http-url <url>', 'address of the HTTP port').env('ARQONBUS_HTTP_URL').default(DEFAULT_HTTP_URL),
    )
    .addOption(new Option('--api-key <key>', 'API key of the HTTP port').env('ARQONBUS_HTTP_API_KEY'))
    .addOption(new Option('--jwt <token>', "an admin's token").env('ARQONBUS_TOKEN'));
}

/** {@link withHttpOptions} for a verb that asks and is answered. */
export function withHttpAnswerOptions(verb: Command): Command {
  return withHttpOptions(verb)
    .addOption(new Option('--timeout-seconds <n>', 'how long an answer may take').argParser(seconds).default(10))
    .option('--json', 'print JSON and nothing else');
}

/** GETs a route. Throws a sentence that says what to do when nothing answers, or a refusal does. */
export async function getText(options: HttpOptions, path: string): Promise<string> {
  const { apiKey = '', jwt = '', timeoutSeconds = 10 } = options;
  const base = options.httpUrl === '' ? DEFAULT_HTTP_URL : options.httpUrl;
  if (!/^https?:$/.test(URL.canParse(base) ? new URL(base).protocol : '')) {
    throw new UsageError(`"${base}" is no address; write --http-url http://HOST:PORT.`);
  }
  // An address may hold a password.
  const shown = new URL(base).origin;
  let response: Response;
  try {
    response = await fetch(`${base.replace(/\/$/, '')}${path}`, {
      headers: {
        ...(apiKey === '' ? {} : { 'X-API-Key': apiKey }),
        ...(jwt === '' ? {} : { Authorization: `Bearer ${jwt}` }),
      },
      signal: AbortSignal.timeout(timeoutSeconds * 1000),
    });
  } catch (error) {
    throw new Error(
      `no bus answers at ${shown} (${reasonOf(error)}); start one with "arqon serve" or pass --http-url.`,
    );
  }
  const text = await response.text();
  if (!response.ok) throw new Error(refusal(shown, response.status, text));
  return text;
}

/** {@link getText}, parsed. */
export async function getJson<T>(options: HttpOptions, path: string): Promise<T> {
  const text = await getText(options, path);
  try {
    return JSON.parse(text) as T;
  } catch {
    throw new Error(`what answers there is not the HTTP port of a bus; pass another --http-url.`);
  }
}

function reasonOf(error: unknown): string {
  if (error instanceof Error && error.name === 'TimeoutError') return 'no answer in time';
  const cause = error instanceof Error ? (error.cause as { code?: string; message?: string } | undefined) : undefined;
  return cause?.code ?? cause?.message ?? String(error);
}

function refusal(base: string, status: number, text: string): string {
  let said = '';
  try {
    said = (JSON.parse(text) as { error?: string }).error ?? '';
  } catch {
    // Not a bus's answer; the status has to do.
  }
  const hint = status === 401 ? ' Pass --api-key or --jwt.' : '';
  return `${base} answered ${status}${said === '' ? '' : `: ${said}`}${hint}`;
}
