import type { ArqonBusClient, Delivery, GroupSubscription } from '@arqonbus/client';
import { type Envelope, INBOX, MAIL_ROOM, mailboxChannel, type Position, type SenderRecord } from '@arqonbus/protocol';
import { Command, Option } from 'commander';
import { given, parseObject, seconds, textOrStdin, whole } from '../arguments.ts';
import { UsageError } from '../exit.ts';
import { type Session, withBus } from '../remote/bus.ts';
import { type BusOptions, withAnswerOptions } from '../remote/options.ts';
import { requireSubject } from '../remote/subject.ts';
import { envelopeLine } from '../terminal/envelope-line.ts';
import { print, printJsonLine, printResult, remark } from '../terminal/output.ts';
import { StyledText, text } from '../terminal/styled-text.ts';
import { table } from '../terminal/table.ts';
import { withExamples } from '../verb.ts';

interface BoxOptions extends BusOptions {
  readonly subject?: string;
  readonly limit?: number;
}

interface ReadOptions extends BoxOptions {
  readonly follow?: boolean;
}

interface SendOptions extends BusOptions {
  readonly receipt?: boolean;
  readonly ttlSeconds?: number;
}

const DEFAULT_LIMIT = 50;
const PAGE_SIZE = 500;
/** Time without a message before the group's pending count is checked, milliseconds. */
const QUIET_MS = 300;

/** `arqon mail`: the mailbox of a subject. */
export function mailVerb(): Command {
  const verb = new Command('mail').description('List and read your mail, and send mail to others.');
  verb.addCommand(listVerb(), { isDefault: true });
  for (const child of [readVerb(), sendVerb()]) verb.addCommand(child);
  return withExamples(verb, 'arqon mail', 'arqon mail read', `arqon mail send @ada '{"text":"when you are back"}'`);
}

function withBox(verb: Command): Command {
  return withAnswerOptions(verb)
    .option('--subject <name>', "whose mailbox (default: the token's subject, or ?subject= of the address)")
    .addOption(new Option('--limit <n>', 'at most n messages').argParser(whole(1)));
}

function listVerb(): Command {
  const verb = withBox(
    new Command('list').description(
      `List mail from the oldest unhandled message on, without handling it: ${DEFAULT_LIMIT} messages unless --limit is set.`,
    ),
  );
  withExamples(verb, 'arqon mail list', 'arqon mail list --json');
  return verb.action(async (options: BoxOptions) => {
    const channel = mailboxChannel(requireSubject(options));
    const messages = await withBus(options, ({ client }) => waiting(client, channel, options.limit ?? DEFAULT_LIMIT));
    await printResult(options.json, { messages }, () => rows(messages));
  });
}

function readVerb(): Command {
  const verb = withBox(
    new Command('read').description(
      'Print mail, oldest first. Printed mail counts as handled: it is removed from the mailbox, and its sender gets a receipt if requested.',
    ),
  ).option('--follow', 'continue with new messages, until Ctrl-C');
  withExamples(verb, 'arqon mail read', 'arqon mail read --limit 1 --json', 'arqon mail read --follow');
  return verb.action(async (options: ReadOptions) => {
    const subject = requireSubject(options);
    await withBus(options, (session) => read(session, subject, options), { stays: options.follow === true });
  });
}

function sendVerb(): Command {
  const verb = new Command('send')
    .description('Send a message to a mailbox, and print the number of waiting messages.')
    .argument('<name>', '@NAME, the mailbox of the subject NAME')
    .argument('<payload>', 'JSON object, or "-" for standard input');
  withAnswerOptions(verb)
    .option('--receipt', 'wait until it is handled; exit code 1 if it was rejected or expired')
    .addOption(new Option('--ttl-seconds <n>', 'not delivered after n seconds').argParser(seconds));
  withExamples(
    verb,
    `arqon mail send @ada '{"text":"when you are back"}'`,
    `arqon mail send @ada '{"text":"please sign"}' --receipt`,
  );
  return verb.action(send);
}

/** The mailbox's messages from the position of its group on. */
async function waiting(client: ArqonBusClient, channel: string, limit: number): Promise<Envelope[]> {
  const place = { room: MAIL_ROOM, channel };
  const messages: Envelope[] = [];
  for (let after: unknown = (await floorOf(client, channel)).sequence; typeof after === 'number'; ) {
    const page = await client.command('history', {
      ...place,
      after,
      limit: Math.min(PAGE_SIZE, limit - messages.length),
    });
    messages.push(...(page.messages as unknown as Envelope[]));
    after = messages.length < limit ? page.next : null;
  }
  return messages;
}

/** The position up to which all mail is handled. */
async function floorOf(client: ArqonBusClient, channel: string): Promise<Position> {
  try {
    return (await client.command('group.info', { room: MAIL_ROOM, channel, group: INBOX })).position;
  } catch (error) {
    // This mailbox has not been read yet.
    if (error instanceof Error && 'code' in error && error.code === 'NOT_FOUND') return { sequence: 0, epoch: '' };
    throw error;
  }
}

async function read({ client, signal }: Session, subject: string, options: ReadOptions): Promise<void> {
  const { limit = Number.POSITIVE_INFINITY, follow = false } = options;
  const prefetch = Math.min(limit, 16);
  // The mailbox also contains receipts for the subject's own messages.
  const told: (Promise<void> | undefined)[] = [];
  client.on('receipt', (receipt) => {
    const { id, stage, by } = receipt;
    const line = text`receipt: ${id} was ${stage}${by === undefined ? '' : text` by ${by}`}`;
    told.push(options.json === true ? printJsonLine(receipt) : print(line));
  });
  const mail = await client.mailbox({ subject, manualAck: true, prefetch, ...(follow ? { signal } : {}) });
  for (let count = 0; count < limit; count += 1) {
    const message = await nextOf(mail, client, subject, { follow, signal });
    if (message === undefined) break;
    await (options.json === true ? printJsonLine(message.envelope) : print(envelopeLine(message.envelope)));
    // A printed message without an ack would be redelivered.
    await message.ack();
  }
  await client.drain();
  await Promise.all(told);
}

/** The next message; undefined if there is none or the program is stopped. */
async function nextOf(
  mail: GroupSubscription,
  client: ArqonBusClient,
  subject: string,
  { follow, signal }: { readonly follow: boolean; readonly signal: AbortSignal },
): Promise<Delivery | undefined> {
  for (;;) {
    if (signal.aborted) return undefined;
    try {
      return await mail.next(follow ? {} : { timeoutMs: QUIET_MS });
    } catch (error) {
      if (signal.aborted) return undefined;
      if (!(error instanceof Error && 'code' in error && error.code === 'TIMEOUT')) throw error;
      const place = { room: MAIL_ROOM, channel: mailboxChannel(subject), group: INBOX };
      const { pending } = await client.command('group.info', place);
      if (!(pending > 0)) return undefined;
    }
  }
}

async function send(name: string, payload: string, options: SendOptions): Promise<void> {
  if (!/^@.+/.test(name)) throw new UsageError('write the mailbox as @NAME, such as @ada.');
  const object = parseObject(textOrStdin(payload), 'the argument <payload>');
  const { receipt, ttlSeconds } = options;
  await withBus(
    options,
    async ({ client, signal }) => {
      const sent = await client.send(name, object, given({ receipt, ttlSeconds }));
      const { id, pending, duplicate } = sent;
      if (receipt !== true) {
        await printResult(
          options.json,
          { id, pending, duplicate },
          () => text`${id}: ${pending ?? '?'} wait for ${name}`,
        );
        return;
      }
      remark(text`${id}: ${pending ?? '?'} wait for ${name}; waiting for the receipt.`);
      const stopped = new Promise<undefined>((resolve) => signal.addEventListener('abort', () => resolve(undefined)));
      const outcome = await Promise.race([sent.handled, stopped]);
      if (outcome === undefined) return;
      const { stage, by, attempts } = outcome;
      await printResult(
        options.json,
        outcome,
        () => text`${stage}${by === undefined ? '' : text` by ${by}`}, attempt ${attempts}`,
      );
      if (stage !== 'handled')
        throw new Error(`the message was ${stage === 'rejected' ? 'rejected' : 'not read in time'}.`);
    },
    { stays: receipt === true },
  );
}

function rows(messages: readonly Envelope[]): StyledText {
  return table(
    ['MESSAGE', 'FROM', 'NAME', 'SENT', 'PAYLOAD'],
    messages.map(({ id, from, metadata, timestamp, payload }) => {
      const { subject, name } = Object(metadata?.sender) as Partial<SenderRecord>;
      return [id, subject ?? from, name, timestamp, StyledText.json(payload)];
    }),
  );
}
