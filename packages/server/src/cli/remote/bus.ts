import type { ArqonBusClient, ClientOptions, CommandParameters } from '@arqonbus/client';
import type { CommandName, CommandResult } from '@arqonbus/protocol';
import { type Command, Option } from 'commander';
import { collectHeader, seconds } from '../arguments.ts';
import { UsageError } from '../exit.ts';
import { stopSignal } from '../stop.ts';
import type { Paint } from '../terminal/colours.ts';
import { printResult, remark } from '../terminal/output.ts';

const DEFAULT_WS_URL = 'ws://127.0.0.1:9100';

/** How a verb reaches the bus over WebSocket. */
export interface BusOptions {
  readonly wsUrl: string;
  readonly jwt?: string;
  readonly header?: Readonly<Record<string, string>>;
  /** How long one answer may take. */
  readonly timeoutSeconds?: number;
  readonly json?: boolean;
}

export function withBusOptions(verb: Command): Command {
  return verb
    .addOption(new Option('--ws-url <url>', 'address of the bus').env('ARQONBUS_WS_URL').default(DEFAULT_WS_URL))
    .addOption(new Option('--jwt <token>', 'token, when the bus asks for one').env('ARQONBUS_TOKEN'))
    .addOption(new Option('--header <name:value>', 'header of the handshake; repeatable').argParser(collectHeader));
}

/** {@link withBusOptions} for a verb that asks and is answered. */
export function withAnswerOptions(verb: Command): Command {
  return withBusOptions(verb)
    .addOption(new Option('--timeout-seconds <n>', 'how long an answer may take').argParser(seconds).default(10))
    .option('--json', 'print JSON and nothing else');
}

export interface Session {
  readonly client: ArqonBusClient;
  /** Aborted when the user has had enough. */
  readonly signal: AbortSignal;
}

/**
 * Connects, runs and closes, whatever happens. A verb that runs on (`stays`) survives lost connections and ends politely
 * when it is told to stop; any other fails at once.
 */
export async function withBus<T>(
  options: BusOptions,
  run: (session: Session) => Promise<T>,
  { stays = false, ...extra }: { stays?: boolean } & Partial<ClientOptions> = {},
): Promise<T> {
  const { ArqonBusClient } = await import('@arqonbus/client');
  const { jwt = '', header = {}, timeoutSeconds = 10 } = options;
  const signal = stays ? stopSignal() : new AbortController().signal;
  let client: ArqonBusClient | undefined;
  try {
    client = new ArqonBusClient({
      url: busUrl(options),
      headers: header,
      timeoutMs: timeoutSeconds * 1000,
      connectTimeoutMs: timeoutSeconds * 1000,
      ...(jwt === '' ? {} : { token: jwt }),
      ...(stays ? {} : { reconnect: false }),
      ...extra,
    });
    // Most failures come as rejections too; these are the ones that nothing was waiting for.
    const told = client.on('error', ({ message, code }) => remark(`${message} (${code})`));
    await client.connect({ signal });
    if (!stays) told();
    return await run({ client, signal });
  } catch (error) {
    throw await explain(error, options);
  } finally {
    await client?.close();
  }
}

/** One command and its answer. */
export function ask<N extends CommandName>(
  options: BusOptions,
  name: N,
  args: CommandParameters<N>[0],
): Promise<CommandResult<N>> {
  return withBus(options, ({ client }) => client.command(name, ...([args] as unknown as CommandParameters<N>)));
}

/** One command, and its answer printed. */
export async function askAndPrint<N extends CommandName>(
  options: BusOptions,
  name: N,
  args: CommandParameters<N>[0],
  show: (result: CommandResult<N>, paint: Paint) => string,
): Promise<void> {
  await printResult(options.json, await ask(options, name, args), show);
}

/**
 * {@link askAndPrint} for what lasts as long as the connection of its owner: keeps the line until it is told to stop. A
 * lost line is a failure, since what was asked for is gone with it.
 */
export function askAndStay<N extends CommandName>(
  options: BusOptions,
  name: N,
  args: CommandParameters<N>[0],
  show: (result: CommandResult<N>, paint: Paint) => string,
): Promise<void> {
  return withBus(
    options,
    async ({ client, signal }) => {
      const lost = new Promise<never>((_, reject) => {
        client.on('error', reject);
      });
      const asked = client.command(name, ...([args] as unknown as CommandParameters<N>));
      await printResult(options.json, await Promise.race([asked, lost]), show);
      remark('it lasts until this program ends; press Ctrl-C.');
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

/** The address of the bus; an empty variable counts as not set. */
export function busUrl({ wsUrl }: BusOptions): string {
  return wsUrl === '' ? DEFAULT_WS_URL : wsUrl;
}

/** The sentence about a failure that says what to do. */
async function explain(error: unknown, options: BusOptions): Promise<unknown> {
  const { ArqonBusError, ConnectionError, RefusedError, RequestError } = await import('@arqonbus/client');
  if (error instanceof ConnectionError) return new Error(explainConnection(error, busUrl(options)));
  if (error instanceof RefusedError || error instanceof RequestError)
    return new Error(`${error.message} (${error.code})`);
  if (error instanceof ArqonBusError && error.code === 'INVALID_ARGUMENT') return new UsageError(error.message);
  return error;
}

function explainConnection(
  { message, status, code }: { message: string; status: number | undefined; code: string },
  url: string,
): string {
  const at = URL.canParse(url) ? new URL(url).host : url;
  if (status === 401) return `the bus at ${at} refuses this: ${message} Pass --jwt or set ARQONBUS_TOKEN.`;
  if (status === 404) return `what answers at ${at} is not the WebSocket port of a bus; pass another --ws-url.`;
  if (status !== undefined) return `the bus at ${at} refuses this: ${message}`;
  if (code !== 'CONNECTION_FAILED') return message;
  const cause = /(?:connect )?(E[A-Z]+|no welcome[^.]*)/.exec(message)?.[1] ?? message;
  return `no bus answers at ${withoutQuery(url)} (${cause}); start one with "arqon serve" or pass --ws-url.`;
}

/** An address as it may be shown: a query may hold a token. */
function withoutQuery(url: string): string {
  if (!URL.canParse(url)) return url;
  const { protocol, host, pathname } = new URL(url);
  return `${protocol}//${host}${pathname === '/' ? '' : pathname}`;
}
