import type { ArqonBusClient, Since } from '@arqonbus/client';
import type { Position } from '@arqonbus/protocol';
import { InvalidArgumentError } from 'commander';
import { UsageError } from '../exit.ts';

/** The position to resume after: a sequence, in the given or the current epoch. */
export interface SinceOption {
  readonly sequence: number;
  readonly epoch: string | undefined;
}

/** A commander parser: `SEQ` or `SEQ@EPOCH`. */
export function parseSince(text: string): SinceOption {
  const [sequence = '', epoch] = text.split('@', 2);
  if (!/^\d+$/.test(sequence) || !Number.isSafeInteger(Number(sequence)) || epoch === '') {
    throw new InvalidArgumentError('Write a sequence, or a sequence and its epoch: 42 or 42@EPOCH.');
  }
  return { sequence: Number(sequence), epoch };
}

/** The position of `--since` in a channel; undefined if the channel does not exist yet. */
export async function positionAt(
  client: ArqonBusClient,
  at: string,
  { sequence, epoch }: SinceOption,
): Promise<Position | undefined> {
  if (epoch !== undefined) return { sequence, epoch };
  try {
    return { sequence, epoch: (await client.channelInfo(at)).epoch };
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'NOT_FOUND') return undefined;
    throw error;
  }
}

/** The subscription option for {@link positionAt}. */
export async function sinceAt(
  client: ArqonBusClient,
  at: string,
  since: SinceOption | undefined,
): Promise<{ since?: Since }> {
  const position = since === undefined ? undefined : await positionAt(client, at, since);
  return position === undefined ? {} : { since: position };
}

/** Throws unless `at` names one channel. `why` starts the sentence, such as `--since needs`. */
export function requireChannel(at: string, why: string): void {
  if (/^[^:*]+:[^:*]+$/.test(at)) return;
  throw new UsageError(`${why} one channel, written ROOM:CHANNEL, and "${at}" does not name one.`);
}
