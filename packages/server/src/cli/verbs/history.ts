import { createWriteStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import type { ArqonBusClient, Message } from '@arqonbus/client';
import type { Position } from '@arqonbus/protocol';
import { Command, Option } from 'commander';
import { given, whole } from '../arguments.ts';
import { UsageError } from '../exit.ts';
import { type Session, withBus } from '../remote/bus.ts';
import { type BusOptions, withAnswerOptions } from '../remote/options.ts';
import { parseSince, positionAt, requireChannel, type SinceOption } from '../remote/position.ts';
import { envelopeLine } from '../terminal/envelope-line.ts';
import { print, printJsonLine, remark } from '../terminal/output.ts';
import { Progress } from '../terminal/progress.ts';
import { StyledText } from '../terminal/styled-text.ts';
import { withExamples } from '../verb.ts';

interface HistoryOptions extends BusOptions {
  readonly limit?: number;
  readonly since?: SinceOption;
  readonly follow?: boolean;
  readonly export?: string;
}

const DEFAULT_LIMIT = 50;
const PAGE_SIZE = 500;

/** `arqon history`: the stored events of a channel. */
export function historyVerb(): Command {
  const verb = new Command('history')
    .description(`Print the stored events of a channel, oldest first: the last ${DEFAULT_LIMIT}, or all after --since.`)
    .argument('<channel>', 'ROOM:CHANNEL');
  withAnswerOptions(verb)
    .addOption(new Option('--limit <n>', 'at most n envelopes').argParser(whole(1)))
    .addOption(new Option('--since <seq[@epoch]>', 'only events after this sequence').argParser(parseSince))
    .option('--follow', 'continue with new events, without a gap')
    .addOption(
      new Option('--export <file>', 'write all events to a file, as JSON lines').conflicts(['follow', 'json']),
    );
  withExamples(
    verb,
    'arqon history science:general',
    'arqon history science:general --since 42 --json',
    'arqon history lab:results --follow',
    'arqon history lab:results --export results.jsonl',
  );
  return verb.action(history);
}

async function history(at: string, options: HistoryOptions): Promise<void> {
  requireChannel(at, 'history needs');
  await withBus(
    options,
    async (session) => {
      const { client } = session;
      const since = options.since === undefined ? undefined : await positionAt(client, at, options.since);
      await requireEpoch(client, at, options.since);
      if (options.export !== undefined) await exportTo(client, at, since, { ...options, export: options.export });
      else await show(session, at, since, options);
    },
    { stays: options.follow === true || options.export !== undefined },
  );
}

/** A sequence is only meaningful in its own epoch. */
async function requireEpoch(client: ArqonBusClient, at: string, since: SinceOption | undefined): Promise<void> {
  if (since?.epoch === undefined) return;
  const { epoch } = await client.channelInfo(at);
  if (epoch !== since.epoch)
    throw new Error(
      `${at} has been created again since then: its epoch is ${epoch} now, not ${since.epoch} as in --since.`,
    );
}

async function show(session: Session, at: string, since: Position | undefined, options: HistoryOptions): Promise<void> {
  const { client } = session;
  const write = ({ envelope }: Message): Promise<void> | undefined =>
    options.json === true ? printJsonLine(envelope) : print(envelopeLine(envelope));
  let last = since;
  for await (const message of await kept(client, at, since, options)) {
    await write(message);
    last = message.position ?? last;
  }
  if (options.follow !== true) return;
  last ??= await positionAt(client, at, { sequence: 0, epoch: undefined });
  const subscription = await client.subscribe(at, {
    ...given({ since: last }),
    echo: true,
    signal: session.signal,
    onReset: ({ reason }) => remark(`${at}: envelopes may be missing here (${reason}).`),
  });
  for await (const message of subscription) await write(message);
}

/** The messages to print, oldest first. */
async function kept(
  client: ArqonBusClient,
  at: string,
  since: Position | undefined,
  { limit }: HistoryOptions,
): Promise<AsyncIterable<Message> | Message[]> {
  if (since !== undefined)
    return client.history(at, { pageSize: PAGE_SIZE, after: since.sequence, ...given({ limit }) });
  const last: Message[] = [];
  const order = 'newest-first';
  for await (const message of client.history(at, { order, pageSize: PAGE_SIZE, limit: limit ?? DEFAULT_LIMIT })) {
    last.push(message);
  }
  return last.reverse();
}

async function exportTo(
  client: ArqonBusClient,
  at: string,
  since: Position | undefined,
  { limit, export: file }: HistoryOptions & { readonly export: string },
): Promise<void> {
  const { sequence } = await client.channelInfo(at);
  const progress = new Progress('exported', Math.min(limit ?? sequence, sequence - (since?.sequence ?? 0)));
  let count = 0;
  const lines = async function* (): AsyncGenerator<string> {
    const options = { pageSize: PAGE_SIZE, ...given({ limit, after: since?.sequence }) };
    for await (const { envelope } of client.history(at, options)) {
      yield `${StyledText.json(envelope).render(false)}\n`;
      count += 1;
      progress.advance();
    }
  };
  try {
    await pipeline(lines, createWriteStream(file));
  } catch (error) {
    const { code, path } = error as NodeJS.ErrnoException;
    if (path !== undefined) throw new UsageError(`--export names ${file}, which cannot be written (${code}).`);
    throw error;
  } finally {
    progress.end();
  }
  remark(`${count.toLocaleString('en')} envelopes of ${at} written to ${file}.`);
}
