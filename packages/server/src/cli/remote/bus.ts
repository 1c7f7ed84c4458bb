import type { ArqonBusClient, ClientOptions, CommandParameters, ConnectionError } from '@arqonbus/client';
import { type CommandName, type CommandResult, ERRORS, type Welcome } from '@arqonbus/protocol';
import { UsageError } from '../exit.ts';
import { stopSignal } from '../stop.ts';
import { printResult, remark } from '../terminal/output.ts';
import { type Part, text } from '../terminal/styled-text.ts';
import { explainTls, sentence, shownUrl } from './failure.ts';
import { type BusOptions, busUrl, tokenOf, trustedCertificates } from './options.ts';
import { TappedSocket } from './tapped-socket.ts';

export interface Session {
  readonly client: ArqonBusClient;
  /** Aborted when the user stops the program. */
  readonly signal: AbortSignal;
}

interface Behaviour extends Partial<ClientOptions> {
  /** Survives lost connections, and stops gracefully on a signal; other verbs fail immediately. */
  readonly stays?: boolean;
}

/** Connects, runs and always closes. Throws sentences that say what to do. */
export async function withBus<T>(
  options: BusOptions,
  run: (session: Session) => Promise<T>,
  { stays = false, ...extra }: Behaviour = {},
): Promise<T> {
  const { ArqonBusClient, ConnectionError } = await import('@arqonbus/client');
  const { header = {}, timeoutSeconds = 10 } = options;
  const token = tokenOf(options);
  const ca = trustedCertificates(options);
  const signal = stays ? stopSignal() : new AbortController().signal;
  let client: ArqonBusClient | undefined;
  try {
    client = new ArqonBusClient({
      url: busUrl(options),
      headers: header,
      timeoutMs: timeoutSeconds * 1000,
      connectTimeoutMs: timeoutSeconds * 1000,
      ...(token === '' ? {} : { token }),
      ...(stays ? {} : { reconnect: false }),
      ...(ca === undefined ? {} : { socket: new TappedSocket(() => undefined, ca).open }),
      ...extra,
    });
    let isConnected = false;
    client.on('error', (error) => {
      // These errors also reject the pending call.
      const isAnswered = isConnected && !stays && (error instanceof ConnectionError || error.code in ERRORS);
      if (!isAnswered) remark(text`${sentence(error.message)} (${error.code})`);
    });
    await client.connect({ signal });
    isConnected = true;
    return await run({ client, signal });
  } catch (error) {
    throw await explain(error, options);
  } finally {
    await client?.close();
  }
}

/** The welcome of the bus. */
export function greet(options: BusOptions): Promise<Welcome> {
  return withBus(options, async ({ client }) => client.welcome!);
}

/** Runs one command and returns its result. */
export function ask<N extends CommandName>(
  options: BusOptions,
  name: N,
  args: CommandParameters<N>[0],
): Promise<CommandResult<N>> {
  return withBus(options, ({ client }) => client.command(name, ...([args] as unknown as CommandParameters<N>)));
}

/** Runs one command and prints its result. */
export async function askAndPrint<N extends CommandName>(
  options: BusOptions,
  name: N,
  args: CommandParameters<N>[0],
  show: (result: CommandResult<N>) => Part,
): Promise<void> {
  await printResult(options.json, await ask(options, name, args), show);
}

/**
 * {@link askAndPrint} for something that lasts only as long as its owner's connection: keeps the connection open until
 * a signal. Losing it is a failure, because the requested object is gone with it.
 */
export function askAndStay<N extends CommandName>(
  options: BusOptions,
  name: N,
  args: CommandParameters<N>[0],
  show: (result: CommandResult<N>) => Part,
): Promise<void> {
  return withBus(
    options,
    async ({ client, signal }) => {
      const lost = new Promise<never>((_, reject) => {
        client.on('error', reject);
      });
      const asked = client.command(name, ...([args] as unknown as CommandParameters<N>));
      await printResult(options.json, await Promise.race([asked, lost]), show);
      remark('it lasts until this program ends; press Ctrl-C to end it.');
      await Promise.race([aborted(signal), lost]);
    },
    { stays: true, reconnect: false },
  );
}

/** Resolves when the signal is aborted. */
export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

/** The error as a sentence that says what to do. */
async function explain(error: unknown, options: BusOptions): Promise<unknown> {
  const { ArqonBusError, ConnectionError, RefusedError, RequestError } = await import('@arqonbus/client');
  if (error instanceof ConnectionError) return new Error(explainConnection(error, options));
  if (error instanceof RefusedError || error instanceof RequestError) {
    return new Error(`${sentence(error.message)} (${error.code})`);
  }
  if (error instanceof ArqonBusError && error.code === 'INVALID_ARGUMENT') return new UsageError(error.message);
  return error;
}

function explainConnection({ message, status, code }: ConnectionError, options: BusOptions): string {
  const url = busUrl(options);
  const { host, protocol } = new URL(url);
  const said = sentence(message.replace(/^The /, 'the '));
  if (status === 401) {
    const remedy =
      tokenOf(options) === ''
        ? 'Pass --jwt or set ARQONBUS_TOKEN.'
        : '"arqon token inspect" says what is wrong with the token of --jwt or ARQONBUS_TOKEN.';
    return `${said} ${remedy}`;
  }
  if (status === 404 || status === 200)
    return `what answers at ${host} is not the WebSocket port of a bus; pass another --ws-url.`;
  if (status !== undefined || code !== 'CONNECTION_FAILED') return said;
  const tls = explainTls(message, host, options.ca !== undefined);
  if (tls !== undefined) return tls;
  const cause = /(?:connect )?(E[A-Z]+|no welcome[^.]*|socket hang up)/.exec(message)?.[1];
  if (cause === undefined) return said;
  const hint = cause === 'socket hang up' && protocol === 'ws:' ? ' If it speaks TLS, write wss://.' : '';
  return `no bus answers at ${shownUrl(url)} (${cause}); start one with "arqon serve" or pass --ws-url.${hint}`;
}
