import { setTimeout as delay } from 'node:timers/promises';
import { Command, Option } from 'commander';
import { seconds } from '../arguments.ts';
import { type HttpOptions, withHttpAnswerOptions } from '../remote/http.ts';
import { isStopping, stop, stopSignal } from '../stop.ts';
import { paintFor } from '../terminal/colours.ts';
import { printResult } from '../terminal/output.ts';
import { compare, type Sample, takeSample } from '../top/sample.ts';
import { figures, screen } from '../top/screen.ts';
import { Telemetry } from '../top/telemetry.ts';
import { withExamples } from '../verb.ts';

interface TopOptions extends HttpOptions {
  readonly intervalSeconds: number;
  readonly telemetryUrl?: string;
}

const ENTER = '\u001b[?1049h\u001b[?25l';
const LEAVE = '\u001b[?25h\u001b[?1049l';
const HOME = '\u001b[H';
const CLEAR_LINE = '\u001b[K';
const CLEAR_BELOW = '\u001b[J';
const CTRL_C = '\u0003';

/** `arqon top`: a running bus at a glance. */
export function topVerb(): Command {
  const verb = new Command('top').description(
    'Watch a running bus: rates, clients, channels, latency, CASIL decisions, events. Where the output is no terminal ' +
      '(and with --json), one snapshot over an interval.',
  );
  withHttpAnswerOptions(verb)
    .addOption(new Option('--interval-seconds <n>', 'how often it looks').argParser(seconds).default(1))
    .option('--telemetry-url <url>', 'address of the telemetry port, where it is not the one that the bus tells');
  withExamples(verb, 'arqon top', 'arqon top --json | jq .messages_per_second');
  return verb.action(async (options: TopOptions) => {
    const first = await takeSample(options);
    if (process.stdout.isTTY && options.json !== true) await watch(first, options);
    else await snapshot(first, options);
  });
}

async function snapshot(first: Sample, options: TopOptions): Promise<void> {
  await delay(options.intervalSeconds * 1000);
  const found = compare(await takeSample(options), first);
  await printResult(options.json, found, (shown, paint) => figures(shown, paint).join('\n'));
}

async function watch(first: Sample, options: TopOptions): Promise<void> {
  const signal = stopSignal();
  const telemetry = new Telemetry(options.jwt ?? '');
  const forgetKeys = endOnKeys();
  process.stdout.write(ENTER);
  try {
    for (let before = first; !isStopping(); ) {
      telemetry.ensure(options.telemetryUrl ?? before.status.endpoints.telemetry);
      await delay(options.intervalSeconds * 1000, undefined, { signal });
      const now = await takeSample(options);
      draw(now, before, telemetry);
      before = now;
    }
  } finally {
    process.stdout.write(LEAVE);
    forgetKeys();
    telemetry.close();
  }
}

function draw(now: Sample, before: Sample, { events, problem }: Telemetry): void {
  // A terminal that does not know its size says 0.
  const rows = process.stdout.rows || 24;
  const columns = process.stdout.columns || 80;
  const text = screen(compare(now, before), events, problem, { rows, columns }, paintFor(process.stdout));
  process.stdout.write(`${HOME}${text.replaceAll('\n', `${CLEAR_LINE}\n`)}${CLEAR_LINE}${CLEAR_BELOW}`);
}

/** Ends it by a key; the terminal makes no signal of Ctrl-C while keys are read one by one. */
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
