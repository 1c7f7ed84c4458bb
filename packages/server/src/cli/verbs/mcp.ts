import type { Standing } from '@arqonbus/client';
import type { AgentCard } from '@arqonbus/protocol';
import { Command, Option } from 'commander';
import { collectList, given, parseObject, readText, whole } from '../arguments.ts';
import { messageOf, UsageError } from '../exit.ts';
import { aborted } from '../remote/bus.ts';
import { sentence } from '../remote/failure.ts';
import { type BusOptions, busUrl, tokenOf, trustedCertificates, withBusOptions } from '../remote/options.ts';
import { TappedSocket } from '../remote/tapped-socket.ts';
import { stopSignal } from '../stop.ts';
import { remark } from '../terminal/output.ts';
import { text } from '../terminal/styled-text.ts';
import { withExamples } from '../verb.ts';

interface McpOptions extends BusOptions {
  readonly http?: number;
  readonly host: string;
  readonly subject?: string;
  readonly name?: string;
  readonly tool?: readonly string[];
  readonly card?: string;
  readonly state?: string;
}

/** `arqon mcp`: the bus as tools for agents, over the Model Context Protocol. */
export function mcpVerb(): Command {
  const verb = new Command('mcp')
    .description('Serve the bus to agents as tools (MCP): one agent over standard input and output, or many over HTTP.')
    .addOption(new Option('--http <port>', 'serve streamable HTTP at /mcp on this port').argParser(whole(0, 65_535)))
    .addOption(new Option('--host <address>', 'where --http listens').default('127.0.0.1'))
    .addOption(
      new Option('--tool <room:channel>', 'offer a channel as a separate tool; repeatable').argParser(collectList),
    )
    .option('--subject <name>', 'the subject of the agent, if the bus requires no token')
    .option('--name <name>', 'how others see the agent')
    .option('--card <file|json>', 'the public description of the agent: a JSON object of at most 8 KiB')
    .option('--state <state>', 'the public state: idle, busy, or a custom word');
  withBusOptions(verb);
  withExamples(
    verb,
    'arqon mcp --ws-url ws://127.0.0.1:9100 --subject planner',
    'arqon mcp --http 8765',
    'arqon mcp --tool orders:created',
    'arqon mcp --subject adder --card card.json --state idle',
  );
  return verb.action(run);
}

async function run(options: McpOptions): Promise<void> {
  const { http, host, subject, name, tool: channels = [], header = {} } = options;
  const { checkChannels, McpHttp, serveOverStdio } = await import('@arqonbus/mcp');
  try {
    checkChannels(channels);
  } catch (error) {
    throw new UsageError(`--tool: ${messageOf(error)}`);
  }
  const token = tokenOf(options);
  const ca = trustedCertificates(options);
  const signal = stopSignal();
  const standing = standingOf(options);
  const bus = {
    url: busUrl(options),
    headers: header,
    ...(standing === undefined ? {} : { standing }),
    ...(name === undefined ? {} : { screenName: name }),
    ...(ca === undefined ? {} : { socket: new TappedSocket(() => undefined, ca).open }),
  };
  const report = (error: Error): void => remark(text`${sentence(error.message)}`);
  if (http === undefined) {
    const who = { ...(token === '' ? {} : { token }), ...(subject === undefined ? {} : { subject }) };
    await serveOverStdio({ ...bus, ...who, channels, report, signal });
    return;
  }
  if (token !== '' || subject !== undefined) {
    throw new UsageError('over HTTP each agent brings its own token; leave --jwt, ARQONBUS_TOKEN and --subject out.');
  }
  const server = await McpHttp.start({ bus, port: http, host, channels, report });
  remark(text`agents are served at ${server.url}`);
  await aborted(signal);
  await server.stop();
}

/** The public description and state of the agent; undefined if none was given. */
function standingOf({ card, state }: McpOptions): Pick<Standing, 'card' | 'state'> | undefined {
  if (card === undefined && state === undefined) return undefined;
  return given({ card: card === undefined ? undefined : readCard(card), state });
}

function readCard(written: string): AgentCard {
  if (written.trimStart().startsWith('{')) return parseObject(written, 'the value of --card');
  return parseObject(readText(written, '--card'), `the file ${written} of --card`);
}
