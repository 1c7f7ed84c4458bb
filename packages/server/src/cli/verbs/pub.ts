import type { Ack, ArqonBusClient, Sent } from '@arqonbus/client';
import { ERRORS, type JsonObject } from '@arqonbus/protocol';
import { Command, Option } from 'commander';
import { collect, given, parseObject, positive } from '../arguments.ts';
import { UsageError } from '../exit.ts';
import { type BusOptions, withAnswerOptions, withBus } from '../remote/bus.ts';
import { inputLines } from '../stdin.ts';
import { print, remark } from '../terminal/output.ts';
import { Progress } from '../terminal/progress.ts';
import { withExamples } from '../verb.ts';

interface PubOptions extends BusOptions {
  readonly ack?: boolean;
  readonly rate?: number;
  readonly type: 'event' | 'private' | 'telemetry';
  readonly to?: readonly string[];
}

/** How many acks may be awaited at a time: enough to fill the line, few enough to stop soon after a refusal. */
const WINDOW = 64;

/** `arqon pub`: publishes one payload, or one a line. */
export function pubVerb(): Command {
  const verb = new Command('pub')
    .description('Publish JSON objects: the argument, or with "-" (or none) one for each line of standard input.')
    .argument('<target>', 'ROOM:CHANNEL, or ROOM for the whole room')
    .argument('[payload]', 'JSON object, or "-"');
  withAnswerOptions(verb)
    .option('--ack', 'wait until each is stored, and print where')
    .addOption(new Option('--rate <n>', 'at most n a second').argParser(positive))
    .addOption(new Option('--to <client>', 'privately to this client id or sub:SUBJECT; repeatable').argParser(collect))
    .addOption(
      new Option('--type <type>', 'telemetry: the payload is {"eventType":…,"payload":{…}}')
        .choices(['event', 'private', 'telemetry'])
        .default('event'),
    );
  withExamples(
    verb,
    `arqon pub lab:results '{"text":"hello"}'`,
    `arqon pub lab:results '{"n":1}' --ack --json`,
    'arqon pub lab:results --rate 100 < events.jsonl',
    `arqon pub lab '{"text":"to you alone"}' --to arq_client_0123`,
  );
  return verb.action(pub);
}

async function pub(target: string, payload: string | undefined, options: PubOptions): Promise<void> {
  if (options.type === 'private' && options.to === undefined) throw new UsageError('--type private needs --to.');
  if (payload === undefined && process.stdin.isTTY) {
    throw new UsageError(`there is nothing to publish; give a payload, such as '{"text":"hello"}', or pipe lines in.`);
  }
  const isStream = payload === undefined || payload === '-';
  const payloads = isStream ? parsed() : [parseObject(payload, 'The payload')];
  await withBus(options, ({ client, signal }) => new Publisher(client, target, options).run(payloads, signal), {
    stays: isStream,
  });
}

async function* parsed(): AsyncGenerator<JsonObject> {
  let number = 0;
  for await (const line of inputLines()) {
    number += 1;
    if (line.trim() !== '') yield parseObject(line, `Line ${number} of standard input`);
  }
}

/** Sends payloads in their order, and tells what became of them. */
class Publisher {
  private readonly client: ArqonBusClient;
  private readonly target: string;
  private readonly options: PubOptions;
  private readonly waiting = new Set<Promise<void>>();
  private readonly progress = new Progress('published');
  private sent = 0;
  private refused = 0;
  private failure: unknown;

  constructor(client: ArqonBusClient, target: string, options: PubOptions) {
    this.client = client;
    this.target = target;
    this.options = options;
  }

  async run(payloads: Iterable<JsonObject> | AsyncIterable<JsonObject>, signal: AbortSignal): Promise<void> {
    const { client, waiting } = this;
    // Without acks a refusal comes as an event.
    client.on('error', ({ code }) => {
      if (code in ERRORS) this.refused += 1;
    });
    const started = performance.now();
    for await (const payload of payloads) {
      if (signal.aborted || this.failure !== undefined) break;
      await this.pace(started);
      await this.send(payload);
      this.progress.advance();
    }
    await Promise.all(waiting);
    this.progress.end();
    if (this.failure !== undefined) throw this.failure;
    // What was refused is told before the answer to what was sent later.
    if (this.options.ack !== true) await client.ping();
    if (this.refused > 0) throw new Error(`${this.refused} of ${this.sent} were refused.`);
    if (this.sent > 1 && process.stderr.isTTY) remark(`${this.sent.toLocaleString('en')} published.`);
  }

  private async send(payload: JsonObject): Promise<void> {
    const post = this.post(payload);
    this.sent += 1;
    if (this.options.ack !== true) {
      const { id } = await post;
      if (this.options.json === true) await print(JSON.stringify({ id }));
      return;
    }
    const settled: Promise<void> = post
      .then((ack) => this.tell(ack))
      .catch((error: unknown) => {
        this.failure ??= error;
      })
      .finally(() => this.waiting.delete(settled));
    this.waiting.add(settled);
    if (this.waiting.size >= WINDOW) await Promise.race(this.waiting);
  }

  private post(payload: JsonObject): Promise<Sent> {
    const { client, target, options } = this;
    const { type, to, ack } = options;
    if (to !== undefined) return client.send([...to], payload, { room: roomOf(target), ...given({ ack }) });
    if (type !== 'telemetry') return client.publish(target, payload, given({ ack }));
    const { eventType, payload: content } = payload;
    if (typeof eventType !== 'string' || typeof content !== 'object' || content === null) {
      throw new UsageError('A telemetry event is written {"eventType":"name","payload":{…}}.');
    }
    return client.telemetry(eventType, content, { at: target, ...given({ ack }) });
  }

  private async tell(ack: Sent): Promise<void> {
    if (this.options.json === true) return print(JSON.stringify(ack));
    const { sequence, delivered, stored, duplicate } = ack as Partial<Ack>;
    const place = sequence === undefined ? 'sent' : `${this.target} #${sequence}`;
    const words = [place, `delivered to ${delivered}`, ...(stored === undefined ? [] : [`stored: ${stored}`])];
    await print([...words, ...(duplicate === true ? ['duplicate'] : [])].join(', '));
  }

  /** Waits until the next one is due. */
  private async pace(started: number): Promise<void> {
    const { rate } = this.options;
    if (rate === undefined) return;
    const wait = started + (this.sent * 1000) / rate - performance.now();
    if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
  }
}

function roomOf(target: string): string {
  return target.split(':', 1)[0]!;
}
