import type { Ack, ArqonBusClient, Sent } from '@arqonbus/client';
import { ERRORS, type JsonObject } from '@arqonbus/protocol';
import { Command, Option } from 'commander';
import { parseObject, positive } from '../arguments.ts';
import { UsageError } from '../exit.ts';
import { withBus } from '../remote/bus.ts';
import { type BusOptions, withAnswerOptions } from '../remote/options.ts';
import { inputLines } from '../stop.ts';
import { print, printJsonLine, remark } from '../terminal/output.ts';
import { Progress } from '../terminal/progress.ts';
import { withExamples } from '../verb.ts';

interface PublishOptions extends BusOptions {
  readonly ack?: boolean;
  readonly rate?: number;
}

interface SendOptions extends PublishOptions {
  readonly answers?: string;
}

interface PubOptions extends PublishOptions {
  readonly type: 'event' | 'telemetry';
}

/** `arqon pub`: publishes events. */
export function pubVerb(): Command {
  const verb = new Command('pub')
    .description('Publish events: the argument, or with "-" (or none) one for each line of standard input.')
    .argument('<target>', 'ROOM:CHANNEL, or ROOM for the whole room')
    .argument('[payload]', 'JSON object, or "-"');
  withPublishOptions(verb).addOption(
    new Option('--type <type>', 'for telemetry a payload has the form {"eventType":"name","payload":{}}')
      .choices(['event', 'telemetry'])
      .default('event'),
  );
  withExamples(
    verb,
    `arqon pub lab:results '{"text":"hello"}'`,
    `arqon pub lab:results '{"n":1}' --ack --json`,
    'arqon pub lab:results --rate 100 < events.jsonl',
  );
  return verb.action((target: string, payload: string | undefined, options: PubOptions) =>
    publish(payload, options, (client, object) =>
      options.type === 'event'
        ? client.publish(target, object, { ack: options.ack === true })
        : submit(client, target, object, options),
    ),
  );
}

/** `arqon send`: sends private messages. */
export function sendVerb(): Command {
  const verb = new Command('send')
    .description('Send private messages: the argument, or with "-" (or none) one for each line of standard input.')
    .argument('<targets>', 'client ids or sub:SUBJECT, separated by commas')
    .argument('[payload]', 'JSON object, or "-"');
  withExamples(
    withPublishOptions(verb).option('--answers <id>', 'reply to this message, usually a request'),
    `arqon send arq_client_0123 '{"text":"to you alone"}'`,
    `arqon send sub:alice,sub:bob '{"text":"to you two"}' --ack`,
    `arqon send arq_client_0123 '{"approved":true}' --answers arq_0123`,
  );
  return verb.action((targets: string, payload: string | undefined, options: SendOptions) => {
    const { ack = false, answers } = options;
    if (answers === undefined) {
      return publish(payload, options, (client, object) => client.send(targets.split(','), object, { ack }));
    }
    if (targets.includes(',')) throw new UsageError('a reply goes to whoever asked: with --answers name one target.');
    return publish(payload, options, (client, object) => client.reply({ id: answers, from: targets }, object, { ack }));
  });
}

async function submit(
  client: ArqonBusClient,
  target: string,
  { eventType, payload }: JsonObject,
  { ack }: PubOptions,
): Promise<Sent> {
  if (typeof eventType !== 'string' || typeof payload !== 'object' || payload === null) {
    throw new UsageError('with --type telemetry a payload is written {"eventType":"name","payload":{}}.');
  }
  return client.telemetry(eventType, payload, { at: target, ack: ack === true });
}

/** Sends one payload. */
type Post = (client: ArqonBusClient, payload: JsonObject) => Promise<Sent>;

/** Maximum pending acks: enough to keep the connection busy, few enough to stop soon after a refusal. */
const WINDOW = 64;

function withPublishOptions(verb: Command): Command {
  return withAnswerOptions(verb)
    .option('--ack', 'wait until each is accepted, and print the result')
    .addOption(new Option('--rate <n>', 'at most n per second').argParser(positive));
}

/** Sends the payload of the command line or, with `-` or none, those of the lines of standard input, in order. */
async function publish(payload: string | undefined, options: PublishOptions, post: Post): Promise<void> {
  if (payload === undefined && process.stdin.isTTY) {
    throw new UsageError(`there is nothing to send; give a payload, such as '{"text":"hello"}', or pipe lines in.`);
  }
  const isStream = payload === undefined || payload === '-';
  const payloads = isStream ? linesAsObjects() : [parseObject(payload, 'the argument [payload]')];
  await withBus(options, ({ client, signal }) => new Publisher(client, options, post).run(payloads, signal), {
    stays: isStream,
  });
}

async function* linesAsObjects(): AsyncGenerator<JsonObject> {
  let number = 0;
  for await (const line of inputLines()) {
    number += 1;
    if (line.trim() !== '') yield parseObject(line, `Line ${number} of standard input`);
  }
}

class Publisher {
  private readonly client: ArqonBusClient;
  private readonly options: PublishOptions;
  private readonly post: Post;
  private readonly waiting = new Set<Promise<void>>();
  private readonly progress = new Progress('sent');
  private sent = 0;
  private refused = 0;
  private failure: unknown;

  constructor(client: ArqonBusClient, options: PublishOptions, post: Post) {
    this.client = client;
    this.options = options;
    this.post = post;
  }

  async run(payloads: Iterable<JsonObject> | AsyncIterable<JsonObject>, signal: AbortSignal): Promise<void> {
    const { client, options } = this;
    // Without acks, refusals arrive as events.
    client.on('error', (error) => {
      if (error.code in ERRORS) this.refuse(error);
    });
    const started = performance.now();
    try {
      for await (const payload of payloads) {
        if (signal.aborted || (options.ack === true && this.failure !== undefined)) break;
        await this.pace(started);
        await this.send(payload);
        this.progress.advance();
      }
      // The bus reports refusals before it answers later requests.
      if (options.ack !== true && this.sent > 0) await client.ping();
    } finally {
      // After an unreadable line, the acks of earlier messages are still reported.
      await Promise.all(this.waiting);
      this.progress.end();
    }
    if (this.refused > 1) remark(`${this.refused} of ${this.sent} were refused. Why the first one was:`);
    if (this.failure !== undefined) throw this.failure;
    if (this.sent > 1 && process.stderr.isTTY) remark(`${this.sent.toLocaleString('en')} sent.`);
  }

  private async send(payload: JsonObject): Promise<void> {
    const posted = this.post(this.client, payload);
    this.sent += 1;
    if (this.options.ack !== true) {
      const { id } = await posted;
      if (this.options.json === true) await printJsonLine({ id });
      return;
    }
    const settled: Promise<void> = posted
      .then((ack) => this.tell(ack))
      .catch((error: unknown) => this.refuse(error))
      .finally(() => this.waiting.delete(settled));
    this.waiting.add(settled);
    if (this.waiting.size >= WINDOW) await Promise.race(this.waiting);
  }

  private refuse(error: unknown): void {
    this.refused += 1;
    this.failure ??= error;
  }

  private async tell(ack: Sent): Promise<void> {
    if (this.options.json === true) {
      await printJsonLine(ack);
      return;
    }
    const { id, sequence, delivered, stored, duplicate } = ack as Partial<Ack>;
    const words = [
      sequence === undefined || sequence === 0 ? id : `#${sequence}`,
      `delivered to ${delivered}`,
      ...(stored === undefined ? [] : [`stored: ${stored}`]),
      ...(duplicate === true ? ['duplicate'] : []),
    ];
    await print(words.join(', '));
  }

  /** Waits until the next message is due. */
  private async pace(started: number): Promise<void> {
    const { rate } = this.options;
    if (rate === undefined) return;
    const wait = started + (this.sent * 1000) / rate - performance.now();
    if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
  }
}
