import type { ArqonBusClient } from '@arqonbus/client';
import { type Envelope, type JsonObject, newId, PROTOCOL_VERSION } from '@arqonbus/protocol';
import { Command, Option } from 'commander';
import { collectList, parseObject, seconds, whole } from '../arguments.ts';
import { UsageError } from '../exit.ts';
import { aborted, withBus } from '../remote/bus.ts';
import { sentence } from '../remote/failure.ts';
import { type BusOptions, trustedCertificates, withBusOptions } from '../remote/options.ts';
import { parseSince, requireChannel, type SinceOption, sinceAt } from '../remote/position.ts';
import { TappedSocket } from '../remote/tapped-socket.ts';
import { envelopeLine } from '../terminal/envelope-line.ts';
import { GrowingTexts } from '../terminal/growing-texts.ts';
import { print, remark } from '../terminal/output.ts';
import { StyledText } from '../terminal/styled-text.ts';
import { columnsOf, drawStatus } from '../terminal/writer.ts';
import { withExamples } from '../verb.ts';

interface TailOptions extends BusOptions {
  readonly limit?: number;
  readonly send?: string;
  readonly since?: SinceOption;
  readonly type?: readonly string[];
}

/** `arqon tail`: prints what a connection receives. */
export function tailVerb(): Command {
  const verb = new Command('tail')
    .description(
      'Print incoming messages, across reconnects. Without a target, everything that the connection receives.',
    )
    .argument('[targets...]', 'ROOM:CHANNEL, or ROOM for all its channels');
  withBusOptions(verb)
    .addOption(new Option('--limit <n>', 'exit after n envelopes, including the welcome').argParser(whole(1)))
    .addOption(new Option('--timeout-seconds <n>', 'exit after n seconds, with exit code 1').argParser(seconds))
    .addOption(new Option('--raw, --json', 'print each envelope unchanged, as JSON on one line'))
    .addOption(new Option('--send <json>', 'send an envelope once connected'))
    .addOption(new Option('--since <seq[@epoch]>', 'replay events after this sequence').argParser(parseSince))
    .addOption(new Option('--type <type>', 'print only envelopes of these types').argParser(collectList));
  withExamples(
    verb,
    'arqon tail science:general',
    'arqon tail science --type event',
    'arqon tail --limit 1 --raw',
    'arqon tail lab:results --since 42 --json | jq .payload',
    `arqon tail --limit 2 --send '{"type":"command","command":"status"}'`,
  );
  return verb.action(tail);
}

async function tail(targets: readonly string[], options: TailOptions): Promise<void> {
  const { since, send } = options;
  if (since !== undefined && targets.length !== 1) {
    throw new UsageError('--since needs one target, written ROOM:CHANNEL.');
  }
  if (since !== undefined) requireChannel(targets[0]!, '--since needs');
  const own = send === undefined ? undefined : prepare(parseObject(send, 'the envelope of --send'));
  const printer = new Printer(options, own?.id);
  const socket = new TappedSocket((text) => printer.take(text), trustedCertificates(options));
  await withBus(
    options,
    async ({ client, signal }) => {
      const follow = async (): Promise<never> => {
        client.on('reconnecting', ({ delayMs, error }) =>
          remark(`${sentence(error.message)} Trying again in ${Math.round(delayMs)} ms.`),
        );
        for (const at of targets) await subscribe(client, at, since);
        if (own !== undefined) socket.send(own.text);
        return ended(client);
      };
      await Promise.race([follow(), printer.full, aborted(signal), expired(options, printer)]);
    },
    { stays: true, socket: socket.open },
  );
}

async function subscribe(client: ArqonBusClient, at: string, since: SinceOption | undefined): Promise<void> {
  await client.subscribe(at, {
    ...(await sinceAt(client, at, since)),
    echo: true,
    presence: true,
    onMessage: () => {},
    onReset: ({ reason }) => remark(`${at}: envelopes may be missing here (${reason}).`),
  });
}

/** Adds the required fields to an envelope; its answer is recognized by the id. */
function prepare(envelope: JsonObject): { id: string; text: string } {
  const id = typeof envelope.id === 'string' ? envelope.id : newId();
  return { id, text: JSON.stringify({ version: PROTOCOL_VERSION, ...envelope, id }) };
}

/** Rejects when the client has given up reconnecting. */
function ended(client: ArqonBusClient): Promise<never> {
  return new Promise((_, reject) => {
    client.on('state', ({ state }) => {
      if (state === 'closed') reject(new Error('the connection ended, and connecting again would not help.'));
    });
  });
}

function expired({ timeoutSeconds, limit }: TailOptions, printer: Printer): Promise<never> {
  return new Promise((_, reject) => {
    if (timeoutSeconds === undefined) return;
    const of = limit === undefined ? '' : ` of ${limit}`;
    const tell = (): void =>
      reject(new Error(`the ${timeoutSeconds} s of --timeout-seconds are over; ${printer.printed}${of} printed.`));
    setTimeout(tell, timeoutSeconds * 1000).unref();
  });
}

/** Prints the frames of a connection up to the limit. */
class Printer {
  printed = 0;
  /** Resolves at the limit. */
  readonly full: Promise<void>;
  private readonly options: TailOptions;
  private readonly ownId: string | undefined;
  private readonly growing: GrowingTexts = new GrowingTexts();
  private tellFull: () => void = () => {};

  constructor(options: TailOptions, ownId: string | undefined) {
    this.options = options;
    this.ownId = ownId;
    this.full = new Promise((resolve) => {
      this.tellFull = resolve;
    });
  }

  take(text: string): Promise<void> | undefined {
    const { limit = Number.POSITIVE_INFINITY, json } = this.options;
    const envelope = read(text);
    // The client reports frames that are not envelopes.
    if (envelope === undefined || this.printed >= limit || !this.wants(envelope)) return undefined;
    if (json === true) return this.print(StyledText.receivedJson(text));
    const ofStream = process.stdout.isTTY ? this.growing.take(envelope, columnsOf(process.stdout)) : null;
    if (ofStream === null) return this.print(envelopeLine(envelope));
    if ('whole' in ofStream) return this.print(envelopeLine(ofStream.whole));
    drawStatus(ofStream.growing);
    return undefined;
  }

  private print(line: StyledText): Promise<void> | undefined {
    this.printed += 1;
    if (this.printed === this.options.limit) this.tellFull();
    return print(line);
  }

  /** Answers to this program's own commands, for joining and for keeping the connection alive, are not printed. */
  private wants({ type, request_id }: Envelope): boolean {
    if (this.options.type !== undefined && !this.options.type.includes(type)) return false;
    return type !== 'command_response' || request_id === this.ownId;
  }
}

function read(frame: string): Envelope | undefined {
  try {
    const envelope = Object(JSON.parse(frame)) as Envelope;
    return typeof envelope.type === 'string' ? envelope : undefined;
  } catch {
    return undefined;
  }
}
