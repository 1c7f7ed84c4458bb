import type { Ack, ArqonBusClient, Sent } from '@arqonbus/client';
import { ERRORS, type JsonObject } from '@arqonbus/protocol';
import { type Command, Option } from 'commander';
import { parseObject, positive } from './arguments.ts';
import { UsageError } from './exit.ts';
import { type BusOptions, withAnswerOptions, withBus } from './remote/bus.ts';
import { inputLines } from './stdin.ts';
import { print, remark } from './terminal/output.ts';
import { Progress } from './terminal/progress.ts';

export interface PublishOptions extends BusOptions {
  readonly ack?: boolean;
  readonly rate?: number;
}

/** Sends one payload. */
export type Post = (client: ArqonBusClient, payload: JsonObject) => Promise<Sent>;

/** How many acks may be awaited at a time: enough to fill the line, few enough to stop soon after a refusal. */
const WINDOW = 64;

export function withPublishOptions(verb: Command): Command {
  return withAnswerOptions(verb)
    .option('--ack', 'wait until each is accepted, and print what became of it')
    .addOption(new Option('--rate <n>', 'at most n a second').argParser(positive));
}

/** Sends the payload of the command line or, with `-` or none, those of the lines of standard input, in their order. */
export async function publish(payload: string | undefined, options: PublishOptions, post: Post): Promise<void> {
  if (payload === undefined && process.stdin.isTTY) {
    throw new UsageError(`there is nothing to send; give a payload, such as '{"text":"hello"}', or pipe lines in.`);
  }
  const isStream = payload === undefined || payload === '-';
  const payloads = isStream ? linesAsObjects() : [parseObject(payload, 'The payload')];
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
    // Without acks a refusal comes as an event.
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
      await Promise.all(this.waiting);
      // What was refused is told before the answer to what was sent later.
      if (options.ack !== true && this.sent > 0) await client.ping();
    } finally {
      this.progress.end();
    }
    if (this.refused > 1) remark(`${this.refused} of ${this.sent} were refused; the first one:`);
    if (this.failure !== undefined) throw this.failure;
    if (this.sent > 1 && process.stderr.isTTY) remark(`${this.sent.toLocaleString('en')} sent.`);
  }

  private async send(payload: JsonObject): Promise<void> {
    const posted = this.post(this.client, payload);
    this.sent += 1;
    if (this.options.ack !== true) {
      const { id } = await posted;
      if (this.options.json === true) await print(JSON.stringify({ id }));
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
      await print(JSON.stringify(ack));
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

  /** Waits until the next one is due. */
  private async pace(started: number): Promise<void> {
    const { rate } = this.options;
    if (rate === undefined) return;
    const wait = started + (this.sent * 1000) / rate - performance.now();
    if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
  }
}
