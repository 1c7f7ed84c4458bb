import type { ArqonBusClient } from '@arqonbus/client';
import { randomToken } from '@arqonbus/protocol';
import { Command, Option } from 'commander';
import { positive, seconds, whole } from '../arguments.ts';
import { Load, type LoadResult } from '../bench/load.ts';
import { withBus } from '../remote/bus.ts';
import { type BusOptions, withAnswerOptions } from '../remote/options.ts';
import { printResult, remark } from '../terminal/output.ts';
import { StyledText } from '../terminal/styled-text.ts';
import { pairs } from '../terminal/table.ts';
import { clearStatus, drawStatus } from '../terminal/writer.ts';
import { withExamples } from '../verb.ts';

interface BenchOptions extends BusOptions {
  readonly subscribers: number;
  readonly publishers: number;
  readonly seconds: number;
  readonly size: number;
  readonly rate?: number;
  readonly window: number;
  readonly channel?: string;
}

const PROGRESS_MS = 500;

/** `arqon bench`: puts load on a running bus. */
export function benchVerb(): Command {
  const verb = new Command('bench').description(
    'Load and measure a running bus from this process: publishers with acks, and subscribers.',
  );
  withAnswerOptions(verb)
    .addOption(new Option('--subscribers <n>', 'connections that receive').argParser(whole(0)).default(10))
    .addOption(new Option('--publishers <n>', 'connections that publish').argParser(whole(1)).default(1))
    .addOption(new Option('--seconds <n>', 'duration of publishing').argParser(seconds).default(10))
    .addOption(new Option('--size <bytes>', 'size of a payload').argParser(whole(1)).default(200))
    .addOption(
      new Option('--rate <n>', 'total messages per second; without it, as fast as acks arrive').argParser(positive),
    )
    .addOption(new Option('--window <n>', 'messages without an ack per publisher').argParser(whole(1)).default(32))
    .option('--channel <room:channel>', 'the channel; default: a separate one');
  withExamples(
    verb,
    'arqon bench',
    'arqon bench --subscribers 100 --publishers 4 --seconds 30 --json',
    'arqon bench --rate 1000 --size 1000 --ws-url ws://bus.example:9100',
  );
  return verb.action(bench);
}

async function bench(options: BenchOptions): Promise<void> {
  const { subscribers, publishers, channel = `bench:${randomToken(8)}` } = options;
  const result = await withBus(
    options,
    ({ client, signal }) =>
      withClients(options, subscribers + publishers - 1, client, async (clients) => {
        const load = new Load(clients.slice(0, publishers), clients.slice(publishers), {
          ...options,
          channel,
          rate: options.rate,
        });
        const forget = showProgress(load, options.seconds);
        try {
          return await load.run(signal);
        } finally {
          forget();
        }
      }),
    { stays: true, reconnect: false },
  );
  await printResult(options.json, { channel, subscribers, publishers, size: options.size, ...result }, show);
  if (result.missing > 0) throw new Error(`${result.missing} deliveries are missing.`);
}

/** Runs with `more` additional clients with the same options. */
async function withClients<T>(
  options: BusOptions,
  more: number,
  first: ArqonBusClient,
  run: (clients: readonly ArqonBusClient[]) => Promise<T>,
): Promise<T> {
  const clients = [first];
  const grow = (): Promise<T> => {
    if (clients.length > more) return run(clients);
    return withBus(
      options,
      ({ client }) => {
        clients.push(client);
        return grow();
      },
      { stays: true, reconnect: false },
    );
  };
  return grow();
}

function showProgress(load: Load, ofSeconds: number): () => void {
  const started = performance.now();
  const timer = setInterval(() => {
    const passed = Math.round((performance.now() - started) / 1000);
    const figures = `${load.published.toLocaleString('en')} published, ${load.delivered.toLocaleString('en')} delivered`;
    drawStatus(StyledText.from(`${passed} of ${ofSeconds} s: ${figures}`));
  }, PROGRESS_MS);
  return () => {
    clearInterval(timer);
    clearStatus();
  };
}

function show(
  result: LoadResult & { channel: string; subscribers: number; publishers: number; size: number },
): StyledText {
  const { latency_ms: latency } = result;
  if (result.refused > 0) remark(`${result.refused} messages were refused or not answered.`);
  return pairs([
    ['channel', result.channel],
    ['connections', `${result.publishers} publishing, ${result.subscribers} receiving`],
    ['payload', `${result.size} bytes`],
    ['seconds', result.seconds],
    ['published', `${result.published} (${result.published_per_second}/s)`],
    ['delivered', `${result.delivered} (${result.delivered_per_second}/s), ${result.missing} missing`],
    [
      'latency',
      latency === null
        ? '-'
        : `p50 ${latency.p50} ms, p90 ${latency.p90} ms, p99 ${latency.p99} ms, max ${latency.max} ms`,
    ],
  ]);
}
