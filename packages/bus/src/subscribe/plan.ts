import { BusError, type Position, WILDCARD } from '@arqonbus/protocol';
import type { StreamState } from '../engine/engine.ts';
import type { Channel } from '../rooms.ts';
import type { Missed } from './catch-up.ts';

/** Where a client resumes: a position, or a map of channels to positions. */
export type Since = Position | Readonly<Record<string, Position>>;

/** The known streams of a place. */
export interface Known {
  readonly states: ReadonlyMap<Channel, StreamState>;
  /** Whether the list is complete: false when the storage did not list the streams, or there were too many. */
  readonly isListed: boolean;
}

/** What to replay, and whether that is all that was missed. */
export function plan(
  channel: Channel,
  request: { readonly since?: Since | undefined; readonly history?: number | undefined },
  { states, isListed }: Known,
): { missed: Missed[]; recovered: boolean | undefined } {
  const { since, history } = request;
  const missed: Missed[] = [];
  if (since === undefined) {
    for (const [stream, state] of states) {
      // For a channel its own stream, for a room every stream.
      if (history === undefined || !(stream === channel || !channel.isConcrete)) continue;
      missed.push({ channel: stream, after: Math.max(state.oldest - 1, state.sequence - history) });
    }
    return { missed, recovered: undefined };
  }
  const positions = positionsOf(channel, since);
  // A map that includes the room-wide stream is complete: a channel it lacks is new to the client.
  const isWhole = !channel.isConcrete && Object.hasOwn(positions, WILDCARD);
  let recovered = isListed || !isWhole;
  for (const [stream, state] of states) {
    const position = Object.hasOwn(positions, stream.channel) ? positions[stream.channel] : undefined;
    if (position === undefined) {
      // Nothing is known of it while the storage is unavailable.
      if (isWhole && state.epoch === '') recovered = false;
      if (isWhole && state.sequence > 0) missed.push({ channel: stream, after: state.oldest - 1 });
      continue;
    }
    // An empty epoch means unknown, on either side: it is sent while the storage is unavailable.
    const isSameStream = position.epoch !== '' && position.epoch === state.epoch;
    const kept = isSameStream && position.sequence <= state.sequence;
    if (kept && position.sequence + 1 >= state.oldest) {
      missed.push({ channel: stream, after: position.sequence });
      continue;
    }
    recovered = false;
    // Its epoch is gone: the client has received nothing of the new one.
    const isGone = position.epoch !== '' && state.epoch !== '' && !isSameStream;
    if (isGone) missed.push({ channel: stream, after: state.oldest - 1 });
  }
  const known = new Set([...states.keys()].map((stream) => stream.channel));
  if (Object.keys(positions).some((name) => !known.has(name))) recovered = false;
  return { missed, recovered };
}

/** The positions in a join request, by channel. Throws VALIDATION_ERROR for those of other channels. */
export function positionsOf(channel: Channel, since: Since): Readonly<Record<string, Position>> {
  if (typeof since.sequence === 'number') {
    if (channel.matches === null) return { [channel.channel]: since as Position };
    throw invalid('"since" of a pattern is a map of channels to positions, with "*" for the room-wide stream.');
  }
  const map = since as Readonly<Record<string, Position>>;
  if (channel.isWide) return map;
  const isOwn = (name: string): boolean =>
    name === WILDCARD || (channel.matches === null ? name === channel.channel : channel.matches(name));
  const stranger = Object.keys(map).find((name) => !isOwn(name));
  if (stranger === undefined) return map;
  const of =
    channel.matches === null ? 'a channel is its position, or a map of it' : 'a pattern is a map of its channels';
  throw invalid(`"since" of ${of} and "*".`, stranger);
}

function invalid(sentence: string, value?: string): BusError {
  return new BusError('VALIDATION_ERROR', sentence, {
    field: 'since',
    expected: '{sequence, epoch}',
    ...(value === undefined ? {} : { value: value.slice(0, 140) }),
  });
}
