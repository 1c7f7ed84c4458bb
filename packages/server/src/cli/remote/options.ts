import { X509Certificate } from 'node:crypto';
import { rootCertificates } from 'node:tls';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { collectHeader, readText, seconds } from '../arguments.ts';
import { UsageError } from '../exit.ts';

const DEFAULT_WS_URL = 'ws://127.0.0.1:9100';
export const DEFAULT_HTTP_URL = 'http://127.0.0.1:8080';
export const DEFAULT_HTTP_PORT = 8080;

/** How a verb connects to the bus over WebSocket. An empty text counts as not given. */
export interface BusOptions {
  readonly wsUrl?: string;
  readonly jwt?: string;
  readonly header?: Readonly<Record<string, string>>;
  readonly ca?: string;
  /** Timeout of one answer. */
  readonly timeoutSeconds?: number;
  readonly json?: boolean;
}

/** Options of a verb that also needs the HTTP port. */
export interface HttpOptions extends BusOptions {
  readonly httpUrl?: string;
  readonly apiKey?: string;
}

export function withBusOptions(verb: Command): Command {
  return verb
    .addOption(
      new Option('--ws-url <url>', `address of the bus (default: ${DEFAULT_WS_URL})`)
        .env('ARQONBUS_WS_URL')
        .argParser(address(['ws:', 'wss:', 'http:', 'https:'], 'ws://HOST:PORT or wss://HOST:PORT')),
    )
    .addOption(
      new Option('--jwt <token>', 'token, if the bus requires one; ARQONBUS_AUTH_JWT is read too').env(
        'ARQONBUS_TOKEN',
      ),
    )
    .addOption(new Option('--header <name:value>', 'header of the handshake; repeatable').argParser(collectHeader))
    .option('--ca <file>', 'PEM file of an additional trusted certificate: of an authority, or a self-signed one');
}

/** {@link withBusOptions} for a verb that prints an answer. */
export function withAnswerOptions(verb: Command): Command {
  return withBusOptions(verb)
    .addOption(new Option('--timeout-seconds <n>', 'timeout of an answer').argParser(seconds).default(10))
    .option('--json', 'print only JSON');
}

/** {@link withAnswerOptions}, plus the options of the HTTP port. */
export function withHttpOptions(verb: Command): Command {
  return withAnswerOptions(verb)
    .addOption(
      new Option('--http-url <url>', 'address of the HTTP port, if it differs from the one that the bus reports')
        .env('ARQONBUS_HTTP_URL')
        .argParser(address(['http:', 'https:'], 'http://HOST:PORT or https://HOST:PORT')),
    )
    .addOption(new Option('--api-key <key>', 'API key of the HTTP port').env('ARQONBUS_HTTP_API_KEY'));
}

/** Whether the user named a bus. */
export function isNamed({ wsUrl = '', httpUrl = '' }: HttpOptions): boolean {
  return wsUrl !== '' || httpUrl !== '';
}

export function busUrl({ wsUrl = '' }: BusOptions): string {
  return wsUrl === '' ? DEFAULT_WS_URL : wsUrl;
}

/** The token; empty if there is none. */
export function tokenOf({ jwt = '' }: BusOptions): string {
  return jwt;
}

/**
 * Takes the token from the second variable if a verb accepts one and has none; commander supports only one variable.
 */
export function readSecondToken(verb: Command, env: NodeJS.ProcessEnv = process.env): void {
  const takesToken = verb.options.some((option) => option.attributeName() === 'jwt');
  const { ARQONBUS_AUTH_JWT: token } = env;
  if (takesToken && token !== undefined && !verb.getOptionValue('jwt')) {
    verb.setOptionValueWithSource('jwt', token, 'env');
  }
}

/** The trusted certificates; undefined: only those of Node.js. Throws {@link UsageError}. */
export function trustedCertificates({ ca }: BusOptions): string[] | undefined {
  if (ca === undefined) return undefined;
  const pem = readText(ca, '--ca');
  try {
    new X509Certificate(pem);
  } catch {
    throw new UsageError(`--ca names ${ca}, which does not hold a certificate in PEM form.`);
  }
  return [...rootCertificates, pem];
}

/** A commander parser: an address with one of the schemes, or an empty text. */
function address(schemes: readonly string[], form: string): (text: string) => string {
  return (text) => {
    if (text === '' || (URL.canParse(text) && schemes.includes(new URL(text).protocol))) return text;
    throw new InvalidArgumentError(`Write ${form}.`);
  };
}
