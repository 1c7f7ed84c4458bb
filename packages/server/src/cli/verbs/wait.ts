import { type ArqonBusClient, ArqonBusError, type HistoryPage, type Since } from '@arqonbus/client';
import type { Position } from '@arqonbus/protocol';
import { Command, InvalidArgumentError, Option } from 'commander';
import { seconds, whole } from '../arguments.ts';
import { EXIT, UsageError } from '../exit.ts';
import { withBus } from '../remote/bus.ts';
import { type BusOptions, withBusOptions } from '../remote/options.ts';
import { envelopeLine } from '../terminal/envelope-line.ts';
import { print, printDocument, remark } from '../terminal/output.ts';
import { text } from '../terminal/styled-text.ts';
import { withExamples } from '../verb.ts';

interface WaitOptions extends BusOptions {
  readonly since?: readonly Cursor[];
  readonly timeout: number;
  readonly limit?: number;
}

/** The position of a channel that does not exist yet: its cursor is `0@`. */
const UNBORN: Position = { sequence: 0, epoch: '' };

/** `SEQ@EPOCH` of one channel; `place` names the channel if there are several. */
interface Cursor {
  readonly place: string | undefined;
  readonly position: Position;
}

/** A place to wait at, and its position. */
interface Post {
  readonly place: string;
  since: Since | undefined;
}

/** `arqon wait`: waits for messages without joining. */
export function waitVerb(): Command {
  const verb = new Command('wait')
    .description(
      'Wait for messages after a cursor, then print them and the next cursor. Exit code 3 on timeout. ' +
        'Without --since, wait for new messages.',
    )
    .argument('<places...>', 'ROOM:CHANNEL, or ROOM for all its channels');
  withBusOptions(verb)
    .addOption(
      new Option(
        '--since <cursor>',
        'a cursor printed earlier: SEQ@EPOCH, or ROOM:CHANNEL=SEQ@EPOCH; repeatable',
      ).argParser(collectCursor),
    )
    .addOption(new Option('--timeout <n>', 'how long to wait, seconds').argParser(seconds).default(50))
    .addOption(new Option('--limit <n>', 'at most n messages of each place').argParser(whole(1)))
    .option('--json', 'print one JSON document: messages, cursors, recovered');
  withExamples(
    verb,
    'arqon wait lab:results',
    'arqon wait lab:results --since 42@EPOCH --json',
    'arqon wait lab:results desk:reviews --since lab:results=42@EPOCH --timeout 10',
  );
  return verb.action(wait);
}

async function wait(places: readonly string[], options: WaitOptions): Promise<void> {
  const posts = places.map((place): Post => ({ place, since: sinceOf(place, places, options.since ?? []) }));
  const pages = await withBus(options, ({ client }) => firstOf(client, posts, options));
  const messages = pages.flatMap(({ messages }) => messages.map(({ envelope }) => envelope));
  const recovered = pages.every((page) => page.recovered);
  const cursors = posts.flatMap(cursorsOf);
  const isPlain = posts.length === 1 && /^[^:]+:[^*]+$/.test(posts[0]!.place);
  const shown = cursors.map(({ place, position: { sequence, epoch } }) =>
    isPlain ? `${sequence}@${epoch}` : `${place}=${sequence}@${epoch}`,
  );
  if (options.json === true) {
    await printDocument({ messages, cursors: shown, recovered });
  } else {
    for (const envelope of messages) await print(envelopeLine(envelope));
    for (const cursor of shown) await print(text`cursor ${cursor}`);
    if (!recovered) remark('some of what came after the cursor is no longer kept.');
  }
  if (messages.length === 0) process.exitCode = EXIT.nothing;
}

/** Waits at all places until one has messages, or until the timeout. Updates the positions. */
async function firstOf(
  client: ArqonBusClient,
  posts: readonly Post[],
  { timeout, limit }: WaitOptions,
): Promise<readonly HistoryPage[]> {
  await Promise.all(
    posts.map(async (post) => {
      // Must be known before the first wait ends.
      post.since ??= await standing(client, post.place);
    }),
  );
  const enough = new AbortController();
  const pages: HistoryPage[] = [];
  const waits = posts.map(async (post) => {
    const since = post.since === undefined ? {} : { since: post.since };
    const page = await client.wait(post.place, {
      ...since,
      ...(limit === undefined ? {} : { limit }),
      timeoutMs: timeout * 1000,
      signal: enough.signal,
    });
    pages.push(page);
    post.since = page.position ?? post.since;
    if (page.messages.length > 0 || !page.recovered) enough.abort();
  });
  for (const outcome of await Promise.allSettled(waits)) {
    if (outcome.status === 'rejected' && !enough.signal.aborted) throw outcome.reason;
  }
  return pages;
}

/** The current position of a place; its start if the place does not exist yet. */
async function standing(client: ArqonBusClient, place: string): Promise<Since | undefined> {
  const history = client.history(place, { order: 'newest-first', limit: 1 });
  try {
    // The first page contains the position, even without messages.
    await history.pages().next();
  } catch (error) {
    if (!(error instanceof ArqonBusError) || error.code !== 'NOT_FOUND') throw error;
    // A map with the room-wide stream is complete: any further channel is new.
    return place.includes(':') ? UNBORN : { '*': UNBORN };
  }
  return history.position;
}

/** The cursors for a place: for a whole room, one per channel. */
function sinceOf(place: string, places: readonly string[], cursors: readonly Cursor[]): Since | undefined {
  const own = cursors.filter((cursor) => belongs(cursor, place, places));
  if (own.length === 0) return undefined;
  if (place.includes(':')) return own.at(-1)!.position;
  return Object.fromEntries(own.map(({ place: at = '', position }) => [at.slice(at.indexOf(':') + 1), position]));
}

function belongs({ place: at }: Cursor, place: string, places: readonly string[]): boolean {
  if (at !== undefined) return place.includes(':') ? at === place : at.startsWith(`${place}:`);
  if (places.length === 1 && place.includes(':')) return true;
  throw new UsageError('with a whole room, or with several places, write a cursor as ROOM:CHANNEL=SEQ@EPOCH.');
}

function cursorsOf({ place, since }: Post): { place: string; position: Position }[] {
  if (since === undefined) return [];
  if (isPosition(since)) return [{ place, position: since }];
  const room = place.split(':', 1)[0];
  return Object.entries(since).map(([channel, position]) => ({ place: `${room}:${channel}`, position }));
}

function isPosition(since: Since): since is Position {
  return typeof (since as Position).sequence === 'number';
}

/** A commander parser. */
function collectCursor(written: string, earlier: readonly Cursor[] | undefined): readonly Cursor[] {
  const [, place, sequence = '', epoch = ''] = /^(?:([^=]+)=)?(\d+)@(\S*)$/.exec(written) ?? [];
  const isWhole = epoch !== '' || sequence === '0';
  if (!isWhole || !Number.isSafeInteger(Number(sequence))) {
    throw new InvalidArgumentError('Write a cursor as it was printed: 42@EPOCH, or ROOM:CHANNEL=42@EPOCH.');
  }
  return [...(earlier ?? []), { place, position: { sequence: Number(sequence), epoch } }];
}
