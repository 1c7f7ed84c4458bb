import { BusError, type JsonObject, type Position, WILDCARD } from '@arqonbus/protocol';
import type { FakeConnection } from './fake-connection.ts';
import type { FakeStream } from './fake-stream.ts';

/** What the built-in commands need of the server. */
export interface FakeState {
  stream(room: string, channel: string): FakeStream;
  streams(): Iterable<FakeStream>;
  connections: readonly FakeConnection[];
}

/**
 * Answers a command: with the payload of its result, by throwing a BusError, or with undefined not at all (the test may
 * send the `command_response` itself). What has to follow the answer goes through `later`.
 *
 * ```ts
 * const busy: FakeCommand = () => {
 *   throw new BusError('STORAGE_UNAVAILABLE', 'Not now.');
 * };
 * server.answer('op.store.get', busy);
 * ```
 */
export type FakeCommand = (
  args: JsonObject,
  connection: FakeConnection,
  later: (run: () => void) => void,
) => JsonObject | undefined;

/** The commands that a client needs to stay connected, as the real server answers them. */
export function builtInCommands(state: FakeState): Map<string, FakeCommand> {
  return new Map<string, FakeCommand>([
    ['ping', (args) => ({ pong: true, ...args, timestamp: new Date().toISOString() })],
    ['identify', (args, connection) => record(args, connection)],
    ['refresh_token', () => ({ role: 'user', expires_at: null, left: [] })],
    ['join_channel', (args, connection, later) => join(state, args, connection, later)],
    ['leave_channel', (args, connection) => ({ left: connection.memberships.delete(nameOf(args)) })],
    ['history', (args) => history(state, args)],
  ]);
}

function record(args: JsonObject, { query, clientId }: FakeConnection): JsonObject {
  const of = (name: string): unknown => args[name] ?? query.get(name);
  return {
    client_id: clientId,
    client_type: of('client_type') ?? 'service',
    screen_name: of('screen_name'),
    avatar: of('avatar'),
    personality: of('personality'),
  };
}

function join(
  state: FakeState,
  args: JsonObject,
  connection: FakeConnection,
  later: (run: () => void) => void,
): JsonObject {
  const {
    room,
    channel = WILDCARD,
    since,
    history,
  } = args as {
    room: string;
    channel?: string;
    since?: Position | Record<string, Position>;
    history?: number;
  };
  const name = `${room}:${channel}`;
  connection.memberships.set(name, { echo: args.echo === true, presence: args.presence === true });
  const joined = state.stream(room, channel);
  const wide = state.stream(room, WILDCARD);
  const streams = channel === WILDCARD ? [...state.streams()].filter((stream) => stream.room === room) : [joined, wide];
  const map = typeof since?.sequence === 'number' ? { [channel]: since as Position } : since;
  const isWhole = channel === WILDCARD && map !== undefined && WILDCARD in map;
  const missed: [FakeStream, number][] = [];
  let recovered = true;
  for (const stream of streams) {
    const position = (map as Record<string, Position> | undefined)?.[stream.channel];
    if (map === undefined) {
      if (history !== undefined && (stream === joined || channel === WILDCARD)) {
        missed.push([stream, stream.sequence - history]);
      }
    } else if (position === undefined) {
      if (isWhole) missed.push([stream, 0]);
    } else if (stream.recovers(position)) missed.push([stream, position.sequence]);
    else recovered = false;
  }
  later(() => {
    for (const [stream, after] of missed) for (const envelope of stream.after(after)) connection.send(envelope);
  });
  const members = state.connections.filter(({ memberships }) => memberships.has(name)).length;
  return {
    room,
    channel,
    ...joined.position,
    members,
    ...(since === undefined ? {} : { recovered }),
    positions: Object.fromEntries(streams.map((stream) => [stream.channel, stream.position])),
  };
}

function history(state: FakeState, args: JsonObject): JsonObject {
  const {
    room,
    channel = WILDCARD,
    limit = 50,
    before = Infinity,
    after,
  } = args as {
    room: string;
    channel?: string;
    limit?: number;
    before?: number;
    after?: number;
  };
  if (limit > 500) throw new BusError('VALIDATION_ERROR', '"limit" is at most 500.', { field: 'limit' });
  const { kept } = state.stream(room, channel);
  const sequenceOf = (envelope: (typeof kept)[number]): number => envelope.metadata?.sequence ?? 0;
  const found = kept.filter((envelope) => sequenceOf(envelope) > (after ?? 0) && sequenceOf(envelope) < before);
  const messages = after === undefined ? found.slice(-limit) : found.slice(0, limit);
  const [first, last] = [messages[0], messages[messages.length - 1]];
  const hasNewer = last !== undefined && kept.some((envelope) => sequenceOf(envelope) > sequenceOf(last));
  const hasOlder = first !== undefined && kept.some((envelope) => sequenceOf(envelope) < sequenceOf(first));
  return { messages, next: hasNewer ? sequenceOf(last) : null, previous: hasOlder ? sequenceOf(first) : null };
}

function nameOf({ room, channel = WILDCARD }: JsonObject): string {
  return `${room}:${channel}`;
}
