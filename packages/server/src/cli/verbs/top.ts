import { setTimeout as delay } from 'node:timers/promises';
import type { Welcome } from '@arqonbus/protocol';
import { Command, Option } from 'commander';
import { seconds } from '../arguments.ts';
import { asReached, assumedHttp, findBus } from '../remote/find.ts';
import { type HttpOptions, tokenOf, trustedCertificates, withHttpOptions } from '../remote/options.ts';
import { isStopping, stop, stopSignal } from '../stop.ts';
import { printResult, remark } from '../terminal/output.ts';
import { lines, StyledText } from '../terminal/styled-text.ts';
import { write } from '../terminal/writer.ts';
import { compare, type Sample, takeSample } from '../top/sample.ts';
import { figures, screen } from '../top/screen.ts';
import { Telemetry } from '../top/telemetry.ts';
import { withExamples } from '../verb.ts';

interface TopOptions extends HttpOptions {
  readonly intervalSeconds: number;
  readonly telemetryUrl?: string;
}

/** The bus to monitor. */
interface Watched {
  /** URL of its HTTP port. */
  readonly base: string;
  /** The welcome of this program's connection, if there was one. */
  readonly welcome: Welcome | undefined;
  /** The URL is assumed; another bus may answer there. */
  readonly isAssumed: boolean;
}

const CTRL_C = '\u0003';

/** `arqon top`: monitors a running bus. */
export function topVerb(): Command {
  const verb = new Command('top').description(
    'Monitor a running bus: rates, clients, channels, latency, CASIL decisions, events. If the output is not a terminal, ' +
      'and with --json, print one snapshot over an interval.',
  );
  withHttpOptions(verb)
    .addOption(new Option('--interval-seconds <n>', 'seconds between requests').argParser(seconds).default(1))
    .option('--telemetry-url <url>', 'address of the telemetry port, if it differs from the one that the bus reports');
  withExamples(verb, 'arqon top', 'arqon top --json | jq .messages_per_second');
  return verb.action(async (options: TopOptions) => {
    const bus = await findWatched(options);
    const first = await takeSample(bus.base, options);
    requireSameNode(first, bus);
    if (process.stdout.isTTY && options.json !== true) await watch(first, bus, options);
    else await snapshot(first, bus, options);
  });
}

async function findWatched(options: TopOptions): Promise<Watched> {
  const { http, welcome } = await findBus(options);
  if (http !== undefined) return { base: http, welcome, isAssumed: false };
  const base = assumedHttp(options);
  remark(`the bus does not name its HTTP port; looking at ${base}. Pass --http-url if it is elsewhere.`);
  return { base, welcome, isAssumed: true };
}

function requireSameNode({ status }: Sample, { base, welcome, isAssumed }: Watched): void {
  const { node } = status.server;
  if (!isAssumed || node === welcome?.server.node) return;
  throw new Error(`${base} is the HTTP port of another bus, ${node}; pass --http-url.`);
}

async function snapshot(first: Sample, { base }: Watched, options: TopOptions): Promise<void> {
  await delay(options.intervalSeconds * 1000);
  const found = compare(await takeSample(base, options, first), first);
  await printResult(options.json, found, (shown) => lines(figures(shown)));
}

async function watch(first: Sample, { base, welcome }: Watched, options: TopOptions): Promise<void> {
  const signal = stopSignal();
  const telemetry = new Telemetry({
    token: tokenOf(options),
    ca: trustedCertificates(options),
    ownClient: welcome?.client_id,
  });
  const forgetKeys = endOnKeys();
  const leave = (): void => void write(process.stdout, 'leaveScreen');
  process.once('exit', leave);
  write(process.stdout, 'enterScreen');
  try {
    for (let before = first; !isStopping(); ) {
      telemetry.ensure(options.telemetryUrl ?? telemetryOf(before, base));
      await delay(options.intervalSeconds * 1000, undefined, { signal });
      const now = await takeSample(base, options, before);
      draw(now, before, telemetry);
      before = now;
    }
  } finally {
    process.off('exit', leave);
    leave();
    forgetKeys();
    telemetry.close();
  }
}

function telemetryOf({ status }: Sample, base: string): string | null {
  const { telemetry } = status.endpoints;
  return typeof telemetry === 'string' && URL.canParse(telemetry) ? asReached(telemetry, base) : telemetry;
}

function draw(now: Sample, before: Sample, { events, problem }: Telemetry): void {
  // A terminal of unknown size reports 0.
  const rows = process.stdout.rows || 24;
  const columns = process.stdout.columns || 80;
  const shown = screen(compare(now, before), events, problem, { rows, columns });
  const lineEnd = StyledText.layout('\n');
  const rest = shown.flatMap((line, row) => [...(row === 0 ? [] : [lineEnd]), line, 'clearToLineEnd' as const]);
  write(process.stdout, 'home', ...rest, 'clearBelow');
}

/** Stops on a key; in raw mode, Ctrl-C arrives as a key and not as a signal. */
function endOnKeys(): () => void {
  const { stdin } = process;
  if (!stdin.isTTY) return () => {};
  const onKey = (key: Buffer): void => {
    if (['q', CTRL_C].includes(key.toString())) stop();
  };
  stdin.setRawMode(true);
  stdin.on('data', onKey);
  return () => {
    stdin.off('data', onKey);
    stdin.setRawMode(false);
    stdin.pause();
  };
}
