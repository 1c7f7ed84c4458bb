import { type CommandResult, parseAddress } from '@arqonbus/protocol';
import { z } from 'zod';
import { andThen } from '../awaitable.ts';
import type { Core } from '../core.ts';
import type { Awaitable } from '../engine/engine.ts';
import { COUNT, SENDER, SEQUENCE, STAMP } from '../schemas/fields.ts';
import type { ListedStream } from '../streams/streams.ts';
import { channelOf, limitUpTo, PLACE } from './arguments.ts';
import { type AnyCommand, command } from './command.ts';

const DEFAULT_TTL_SECONDS = 30;
const MAX_TTL_SECONDS = 3_600;
const MAX_PAGE = 500;

const NAME = z.string().min(1);
const STREAM_ID = z
  .string()
  .regex(/^[A-Za-z0-9_.-]{1,64}$/, 'is 1-64 letters, digits, ".", "_" or "-"')
  .describe('Id of the stream.');
const LENGTH = COUNT.describe('UTF-16 units.');

/** stream.*: texts that are read while they are being written. */
export function streamCommands({ streams }: Core): AnyCommand[] {
  return [
    command({
      name: 'stream.open',
      role: 'user',
      place: 'current',
      description:
        'Opens a token stream at a channel. Readers receive its text while it grows. Its writer may open it again to continue.',
      args: z.strictObject({
        ...PLACE,
        id: STREAM_ID.describe('Id of the stream. Default: an unguessable one.').exactOptional(),
        ttl_seconds: z
          .number()
          .int()
          .min(1)
          .max(MAX_TTL_SECONDS)
          .describe(`After so long without an append it ends as "orphaned" (default ${DEFAULT_TTL_SECONDS}).`)
          .exactOptional(),
      }),
      result: z.strictObject({
        stream_id: NAME,
        room: NAME,
        channel: NAME,
        offset: LENGTH.describe('Its current length, if it was open already.').exactOptional(),
      }),
      run: async ({ sender }, args): Promise<CommandResult<'stream.open'>> => {
        const { ttl_seconds = DEFAULT_TTL_SECONDS, id } = args;
        const { id: stream_id, ...opened } = await streams.open(sender, channelOf(args), ttl_seconds, id);
        return { stream_id, ...opened };
      },
    }),
    command({
      name: 'stream.append',
      role: 'user',
      description: 'Appends to a token stream that you opened. An empty text only keeps it open.',
      // Not inspected on its own: the channel's policy inspects it together with the preceding text.
      args: z.strictObject({ stream_id: STREAM_ID, text: z.string().meta({ secret: true }) }),
      result: z.strictObject({ offset: LENGTH.describe('Its current length, in UTF-16 units.') }),
      run: ({ sender }, { stream_id, text }): Awaitable<CommandResult<'stream.append'>> =>
        andThen(streams.append(sender, stream_id, text), (offset) => ({ offset })),
    }),
    command({
      name: 'stream.close',
      role: 'user',
      description: 'Ends a token stream that you opened, and stores its text as one event.',
      args: z.strictObject({
        stream_id: STREAM_ID,
        status: z.enum(['complete', 'cancelled', 'failed']).describe('How it ended.'),
      }),
      result: z.strictObject({
        stream_id: NAME,
        sequence: SEQUENCE.describe('The sequence of the event with the whole text; 0 if a rule stores none.'),
        epoch: z.string(),
        stored: z.enum(['none', 'memory', 'disk', 'replicated']),
        delivered: COUNT.describe('Connections that received its end.'),
        length: LENGTH,
      }),
      run: ({ sender }, { stream_id, status }): Awaitable<CommandResult<'stream.close'>> =>
        andThen(streams.close(sender, stream_id, status), (ended) => ({ stream_id, ...ended })),
    }),
    command({
      name: 'stream.cancel',
      aliases: ['cancel_stream'],
      role: 'guest',
      description: 'Asks the writer of a token stream to stop. The writer decides.',
      args: z.strictObject({ stream_id: STREAM_ID }),
      result: z.strictObject({ stream_id: NAME, told: COUNT.describe('Notified connections of the writer.') }),
      run: async ({ sender }, { stream_id }): Promise<CommandResult<'stream.cancel'>> => ({
        stream_id,
        told: await streams.cancel(sender, stream_id),
      }),
    }),
    command({
      name: 'stream.list',
      role: 'guest',
      description: 'Lists the open token streams that you may read.',
      args: z.strictObject({
        ...PLACE,
        limit: limitUpTo(MAX_PAGE),
        after: STREAM_ID.describe('The "next" of the previous answer.').exactOptional(),
      }),
      result: z.strictObject({
        streams: z.array(
          z
            .strictObject({
              stream_id: NAME,
              room: NAME,
              channel: NAME,
              sender: SENDER,
              opened_at: STAMP,
              length: LENGTH,
              state: z.literal('streaming'),
            })
            .meta({ id: 'StreamSummary', description: 'An open token stream.' }),
        ),
        next: z.string().nullable().describe('Pass as "after" for the next page; null at the end.'),
      }),
      run: async ({ sender }, args): Promise<CommandResult<'stream.list'>> => {
        const { limit = MAX_PAGE, after = '' } = args;
        const { room, channel } = parseAddress(args.room, args.channel);
        const { page, more } = await streams.list(sender, { room, channel, limit, after });
        return { streams: page.map(summaryOf), next: more ? (page.at(-1)?.id ?? null) : null };
      },
    }),
  ];
}

function summaryOf({ id, record, length }: ListedStream): CommandResult<'stream.list'>['streams'][number] {
  const { room, channel, sender, opened_at } = record;
  return {
    stream_id: id,
    room,
    channel,
    sender,
    opened_at: new Date(opened_at).toISOString(),
    length,
    state: 'streaming',
  };
}
