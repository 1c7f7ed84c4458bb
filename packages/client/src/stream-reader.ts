import type { Address, CommandResult } from '@arqonbus/protocol';
import { AsyncQueue } from './async-queue.ts';
import { ArqonBusError } from './errors.ts';
import type { StreamHost, StreamListener } from './token-stream.ts';

/** Maximum UTF-16 units of one stream; the bus allows fewer. */
const MOST_UNITS = 4_194_304;
/** Maximum events of a channel searched for an ended stream. */
const MOST_READ = 500;

/**
 * How a stream ended; `orphaned` if its writer was gone for too long.
 *
 * ```ts
 * if (error instanceof StreamError && error.state === 'orphaned') retry();
 * ```
 */
export type StreamState = 'complete' | 'cancelled' | 'failed' | 'orphaned';

/**
 * The stream ended as `failed` or `orphaned`: the text read so far is all there is.
 *
 * ```ts
 * await showAll(client.readStream(id)).catch((error) => {
 *   if (error instanceof StreamError) show(`… (${error.state})`);
 * });
 * ```
 */
export class StreamError extends ArqonBusError {
  override name = 'StreamError';
  readonly state: StreamState;

  constructor(state: StreamState) {
    super('STREAM_ENDED', `The stream ended as ${state}; its text may not be whole.`);
    this.state = state;
  }
}

/**
 * The location of a stream; the id alone is enough only while it is open.
 *
 * ```ts
 * client.readStream({ room: 'talk', channel: 'answers', id });
 * ```
 */
export type StreamPlace = Address & { readonly id: string };

/** Yields the text of a stream as it grows, until its end. */
export async function* readText(
  host: StreamHost,
  given: string | StreamPlace,
): AsyncGenerator<string, void, undefined> {
  const place = typeof given === 'string' ? await find(host, given) : given;
  if (place === undefined) {
    const message = `There is no open stream ${given} that you may read; one that has ended is found by its room and channel.`;
    throw new ArqonBusError('NOT_FOUND', message);
  }
  const { id, ...at } = place;
  const texts = new AsyncQueue<string>(host.clock);
  let read = '';
  /** Looks for the full text of a stream that may have ended. */
  const look = async (): Promise<void> => {
    if ((await find(host, id, at)) !== undefined) return;
    for await (const one of host.newest(at, MOST_READ)) message(one);
  };
  const lookAgain = (): void => void look().catch((error: unknown) => texts.end(error));
  const message: StreamListener['message'] = ({ payload, envelope }) => {
    const mark = envelope.metadata?.stream as Mark | undefined;
    if (mark?.id !== id) return;
    const text = String(payload.text);
    const { offset, state, revised } = mark;
    const isOver = state !== 'streaming';
    // The final event contains only the text since the last append: history has all of it.
    if (offset > read.length) return isOver ? lookAgain() : undefined;
    const from = revised === true ? commonLength(read, text) : read.length - offset;
    if (text.length > from) texts.push(text.slice(from));
    read += text.slice(from);
    if (read.length > MOST_UNITS) {
      texts.end(new ArqonBusError('INVALID_FRAME', `The stream is longer than ${MOST_UNITS} UTF-16 units.`));
      return;
    }
    if (isOver) texts.end(state === 'failed' || state === 'orphaned' ? new StreamError(state) : undefined);
  };
  const leave = await host.listen(at, { message, reset: lookAgain, end: (error) => texts.end(error) });
  try {
    await look();
    for (let text = await texts.next(); text !== undefined; text = await texts.next()) yield text;
  } finally {
    await leave();
  }
}

interface Mark {
  readonly id: string;
  readonly offset: number;
  readonly state: 'streaming' | StreamState;
  readonly revised?: true;
}

/** The location of an open stream; undefined if there is none. */
async function find({ ask }: StreamHost, id: string, at: Partial<Address> = {}): Promise<StreamPlace | undefined> {
  for (let after: string | null = ''; after !== null; ) {
    const page: CommandResult<'stream.list'> = await ask('stream.list', { ...at, ...(after !== '' && { after }) });
    const found = page.streams.find(({ stream_id }) => stream_id === id);
    if (found !== undefined) return { room: found.room, channel: found.channel, id };
    after = page.next;
  }
  return undefined;
}

function commonLength(one: string, other: string): number {
  let length = 0;
  while (length < one.length && one[length] === other[length]) length += 1;
  return length;
}
