import type { Readable, Writable } from 'node:stream';
import type { ArqonBusError } from '@arqonbus/client';
import { StdioServerTransport, serveStdio } from '@modelcontextprotocol/server/stdio';
import { Agent, type AgentOptions } from './agent.ts';
import { createServer, type ServerOptions } from './server.ts';
import { checkChannels } from './tools/channel-tool.ts';

export interface StdioOptions extends AgentOptions, ServerOptions {
  /** Default: those of the process. */
  readonly input?: Readable;
  readonly output?: Writable;
  /** Called with errors that belong to no call. */
  readonly report: (error: Error | ArqonBusError) => void;
  /** Stops the server. */
  readonly signal: AbortSignal;
}

/**
 * Serves one agent over standard input and output; resolves when the input ends or the signal is aborted. Throws
 * INVALID_ARGUMENT for channels that cannot be tools.
 */
export async function serveOverStdio({ input, output, report, signal, channels, ...bus }: StdioOptions): Promise<void> {
  checkChannels(channels ?? []);
  const source = input ?? process.stdin;
  const agent = new Agent(bus, report);
  // The bus may start later than this program; a permanent refusal is reported to the first call.
  let isOver = false;
  agent.client.connect({ retry: true }).catch((error: ArqonBusError) => {
    if (!isOver) report(error);
  });
  const transport = new StdioServerTransport(source, output ?? process.stdout);
  const ended = new Promise<void>((resolve) => {
    source.once('end', resolve).once('close', resolve);
    signal.addEventListener('abort', () => resolve(), { once: true });
    if (signal.aborted) resolve();
  });
  const handle = serveStdio(() => createServer(agent, channels === undefined ? {} : { channels }), {
    transport,
    onerror: report,
  });
  await ended;
  isOver = true;
  await handle.close();
  await agent.close();
}
