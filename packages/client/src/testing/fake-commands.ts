import {
  BusError,
  compilePattern,
  isChannelPattern,
  type JsonObject,
  type Position,
  WILDCARD,
} from '@arqonbus/protocol';
import type { FakeConnection } from './fake-connection.ts';
import type { FakeGroups } from './fake-groups.ts';
import type { FakeLeases } from './fake-leases.ts';
import type { FakePresence } from './fake-presence.ts';
import type { FakeStream } from './fake-stream.ts';

/** What the built-in commands need from the server. */
export interface FakeState {
  stream(room: string, channel: string): FakeStream;
  streams(): Iterable<FakeStream>;
  connections: readonly FakeConnection[];
  groups: FakeGroups;
  leases: FakeLeases;
  presence: FakePresence;
}

/**
 * Answers a command: with the payload of its result, by throwing a BusError, or with undefined for no answer (the test
 * may send the `command_response` itself). `later` runs its callback after the answer.
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

/** The commands that a client needs to stay connected, answered as by the real server. */
export function builtInCommands(state: FakeState): Map<string, FakeCommand> {
  return new Map<string, FakeCommand>([
    ['ping', (args) => ({ pong: true, ...args, timestamp: new Date().toISOString() })],
    ['identify', (args, connection) => record(args, connection)],
    ['refresh_token', () => ({ role: 'user', expires_at: null, left: [] })],
    [
      'join_channel',
      (args, connection, later) =>
        args.group === undefined ? join(state, args, connection, later) : state.groups.join(connection, args),
    ],
    [
      'leave_channel',
      (args, connection) => {
        if (args.group !== undefined) return state.groups.leave(connection, args);
        state.presence.leave(nameOf(args), connection, 'left');
        return { left: connection.memberships.delete(nameOf(args)) };
      },
    ],
    ['history', (args) => history(state, args)],
    ['presence_update', (args, connection) => state.presence.update(nameOf(args), connection, args.state)],
    ...['ack', 'nack', 'extend', 'reject'].map((verb): [string, FakeCommand] => [
      `delivery.${verb}`,
      (args) => state.groups.settle(verb, args),
    ]),
    ['op.lease.acquire', (args, connection) => state.leases.acquire(args, connection)],
    ['op.lease.renew', (args) => state.leases.renew(args)],
    ['op.lease.release', (args) => state.leases.release(args)],
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
  const wantsPresence = args.presence !== undefined && args.presence !== false;
  connection.memberships.set(name, { echo: args.echo === true, presence: wantsPresence });
  const { state: shown } = (typeof args.presence === 'object' ? args.presence : {}) as { state?: unknown };
  const presence = wantsPresence ? state.presence.join(name, connection, shown) : undefined;
  const wide = state.stream(room, WILDCARD);
  // A pattern has no stream of its own.
  const joined = isChannelPattern(channel) ? wide : state.stream(room, channel);
  const matches = isChannelPattern(channel) ? compilePattern(channel) : () => channel === WILDCARD;
  const isMany = channel === WILDCARD || isChannelPattern(channel);
  const streams = isMany
    ? [...state.streams()].filter((stream) => stream.room === room && matches(stream.channel))
    : [joined, wide];
  const map = typeof since?.sequence === 'number' ? { [channel]: since as Position } : since;
  const isWhole = channel === WILDCARD && map !== undefined && WILDCARD in map;
  const missed: [FakeStream, number][] = [];
  let recovered = true;
  for (const stream of streams) {
    const position = (map as Record<string, Position> | undefined)?.[stream.channel];
    if (map === undefined) {
      if (history !== undefined && (stream === joined || isMany)) {
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
    ...(presence === undefined ? {} : { presence }),
    positions: Object.fromEntries(streams.map((stream) => [stream.channel, stream.position])),
  };
}

function history(state: FakeState, args: JsonObject): JsonObject {
  const {
    room,
    channel = WILDCARD,
    limit = 50,
    before = Infinity,
    since,
    after = since?.sequence,
  } = args as {
    room: string;
    channel?: string;
    limit?: number;
    before?: number;
    after?: number;
    since?: Position;
  };
  if (limit > 500) throw new BusError('VALIDATION_ERROR', '"limit" is at most 500.', { field: 'limit' });
  const stream = state.stream(room, channel);
  const { kept } = stream;
  const sequenceOf = (envelope: (typeof kept)[number]): number => envelope.metadata?.sequence ?? 0;
  const found = kept.filter((envelope) => sequenceOf(envelope) > (after ?? 0) && sequenceOf(envelope) < before);
  const messages = after === undefined ? found.slice(-limit) : found.slice(0, limit);
  const [first, last] = [messages[0], messages[messages.length - 1]];
  const hasNewer = last !== undefined && kept.some((envelope) => sequenceOf(envelope) > sequenceOf(last));
  const hasOlder = first !== undefined && kept.some((envelope) => sequenceOf(envelope) < sequenceOf(first));
  const position = last === undefined ? (since ?? stream.position) : { ...stream.position, sequence: sequenceOf(last) };
  const recovered = since === undefined ? {} : { recovered: stream.recovers(since) };
  return {
    messages,
    position,
    ...recovered,
    next: hasNewer ? sequenceOf(last) : null,
    previous: hasOlder ? sequenceOf(first) : null,
  };
}

function nameOf({ room, channel = WILDCARD }: JsonObject): string {
  return `${room}:${channel}`;
}
