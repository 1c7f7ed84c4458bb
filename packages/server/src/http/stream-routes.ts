import type { IncomingMessage, ServerResponse } from 'node:http';
import {
  type Arrival,
  type Attached,
  arrivalOf,
  type Bus,
  HookUnanswered,
  type Principal,
  type Session,
} from '@arqonbus/bus';
import {
  BusError,
  CLIENT_TYPES,
  CLOSE,
  newSecretId,
  type PartialAddress,
  type Position,
  PROTOCOL_VERSION,
  parseAddress,
  WILDCARD,
} from '@arqonbus/protocol';
import { z } from 'zod';
import { EventStream } from './event-stream.ts';
import { type Resumed, readPositions, WIDE } from './positions.ts';
import { HttpRefusal, Reply, Takeover } from './reply.ts';
import { type AnyRoute, route } from './route.ts';

export interface StreamParts {
  readonly bus: Bus;
  /** Counts the connections of all transports. */
  readonly attached: Pick<Attached, 'hold'>;
}

const TEXT = z.string();
/** Maximum initial memberships of a stream, and envelopes of one post. */
const MAX_JOINS = 100;
const MAX_ENVELOPES = 1_000;
const ONE_POSITION = /^(\d{1,16})@([A-Za-z0-9_-]*)$/;

/** `/v1/stream` and `/v1/sessions/{id}`: a bus session without a WebSocket. */
export function streamRoutes({ bus, attached }: StreamParts): AnyRoute[] {
  return [
    route({
      method: 'get',
      path: '/v1/stream',
      tag: 'messages',
      summary: 'A session as server-sent events: the welcome, then an event for each envelope, and finally `close`.',
      access: 'user',
      takesQueryToken: true,
      query: z.strictObject({
        join: z
          .array(TEXT)
          .max(MAX_JOINS)
          .optional()
          .describe('room:channel, a pattern of channels, or a room; as often as needed.'),
        since: TEXT.optional().describe(
          'The last `id` of a stream before, or SEQUENCE@EPOCH of the one channel joined.',
        ),
        client_type: z.enum(CLIENT_TYPES).optional(),
        screen_name: TEXT.optional(),
        avatar: TEXT.optional(),
        personality: TEXT.optional(),
        subject: TEXT.optional().describe('Where authentication is off: who this is.'),
        client_key: TEXT.optional().describe('Kept by the client across connections: 16-64 random characters.'),
      }),
      answer: 'text/event-stream',
      run: async ({ caller, query, incoming }) => {
        if (incoming.method === 'HEAD') return new Reply(200, '', { 'Content-Type': 'text/event-stream' });
        // No name contains a space, so a space is an unescaped plus of the position.
        const since = lastEventId(incoming) ?? query.since?.replaceAll(' ', '+');
        const memberships = membershipsOf(query.join ?? [], since);
        const arrived = await admit(bus, arrivalOf(incoming, caller.principal, bus));
        const { principal } = arrived;
        for (const { room, channel } of memberships) {
          // A room or pattern yields what the grants cover; if that is nothing, the stream says so.
          if (!WIDE.test(channel)) bus.access.require(principal, 'subscribe', room, channel);
        }
        const arrival = { ...arrived, join: undefined };
        return new Takeover((response) => {
          hold(attached, incoming, principal);
          response.setHeader('Content-Type', 'text/event-stream');
          response.setHeader('Cache-Control', 'no-store');
          response.setHeader('Connection', 'close');
          // Prevents proxies from buffering the stream.
          response.setHeader('X-Accel-Buffering', 'no');
          response.writeHead(200);
          openStream(bus, arrival, response, memberships);
        });
      },
    }),
    route({
      method: 'post',
      path: '/v1/sessions/{id}',
      tag: 'messages',
      summary: 'Posts one envelope, or an array of them, into the session of a stream. Answers arrive in the stream.',
      access: 'user',
      params: z.object({ id: TEXT.max(256).describe('`session` of the welcome.') }),
      takesList: true,
      body: z.union([z.looseObject({}), z.array(z.looseObject({})).max(MAX_ENVELOPES)]),
      status: 202,
      answer: z.object({ accepted: z.number() }),
      run: async ({ caller: { principal }, params: { id }, list }) => {
        if (list.length > MAX_ENVELOPES) {
          throw new BusError('VALIDATION_ERROR', `Post at most ${MAX_ENVELOPES} envelopes at once.`, {
            field: 'body',
            limit: MAX_ENVELOPES,
          });
        }
        const texts = list.map((envelope) => JSON.stringify(envelope));
        await bus.posts.post(principal, id, texts);
        return new Reply(202, { accepted: texts.length });
      },
    }),
    route({
      method: 'delete',
      path: '/v1/sessions/{id}',
      tag: 'messages',
      summary: 'Ends the session of a stream, as closing a WebSocket does. Other clients are notified at once.',
      access: 'user',
      params: z.object({ id: TEXT.max(256).describe('`session` of the welcome.') }),
      status: 202,
      answer: z.object({ ended: z.literal(true) }),
      run: async ({ caller: { principal }, params: { id } }) => {
        await bus.posts.end(principal, id);
        return new Reply(202, { ended: true });
      },
    }),
  ];
}

/** As in a WebSocket handshake: the hook gave no answer about this client, so it may retry. */
async function admit(bus: Bus, arrival: Arrival): Promise<Arrival> {
  try {
    return await bus.admit(arrival);
  } catch (error) {
    if (!(error instanceof HookUnanswered)) throw error;
    throw new HttpRefusal(503, error.code, error.message, error.details, { 'Retry-After': '5' });
  }
}

function hold(attached: Pick<Attached, 'hold'>, { socket }: IncomingMessage, principal: Principal): void {
  const full = attached.hold(socket, socket.remoteAddress ?? '', principal);
  if (full === null) return;
  const headers = { 'Retry-After': `${full.retryAfter}` };
  throw new HttpRefusal(full.status, 'LIMIT_EXCEEDED', `No stream for now: ${full.details}.`, {}, headers);
}

function openStream(bus: Bus, arrival: Arrival, response: ServerResponse, memberships: readonly Resumed[]): void {
  const joins = new Map(memberships.map((one, index) => [`arq_join_${index}`, one]));
  const stream = new EventStream(response, joins, {
    stalled: () => bus.closeSession(session, CLOSE.HEARTBEAT_MISSED, 'heartbeat missed'),
    ended: () => {
      session.outbox.abandon();
      bus.disconnect(session, 'lost (1006)');
    },
  });
  const session: Session = bus.connect({ ...arrival, postId: newSecretId('arq_session_') }, stream);
  stream.open(session);
  for (const [id, { room, channel, since }] of joins) {
    const args = { room, channel, ...(since === undefined ? {} : { since }) };
    const join = { version: PROTOCOL_VERSION, id, type: 'command', command: 'join_channel', args };
    bus.receive(session, JSON.stringify(join));
  }
}

/** Sent automatically by the stream's reader when it reconnects, so it overrides the query. */
function lastEventId({ headers }: IncomingMessage): string | undefined {
  const id = headers['last-event-id'];
  return typeof id === 'string' && id !== '' ? id : undefined;
}

/** The memberships and their positions: those requested, plus later joins recorded in the position. */
function membershipsOf(joins: readonly string[], position: string | undefined): Resumed[] {
  const asked = joins.map(readJoin);
  if (position === undefined) return asked;
  const one = ONE_POSITION.exec(position);
  if (one !== null) return asked.length === 1 ? [withPosition(asked[0] as Resumed, one)] : notOne();
  const resumed = readPositions(position);
  if (resumed === null) throw malformed('since', 'is the `id` of an event of a stream, as it came');
  const found = new Map(resumed.map((one) => [`${one.room}:${one.channel}`, one]));
  for (const one of asked) if (!found.has(`${one.room}:${one.channel}`)) found.set(`${one.room}:${one.channel}`, one);
  for (const { room, channel } of found.values()) readJoin(`${room}:${channel}`);
  return [...found.values()];
}

function readJoin(text: string): Resumed {
  const { room, channel = WILDCARD } = addressOf(text);
  if (room === undefined) throw malformed('join', 'is "room:channel", or a room alone');
  return { room, channel, since: undefined };
}

function addressOf(text: string): PartialAddress {
  try {
    return parseAddress(text, undefined, true, true);
  } catch {
    return {};
  }
}

function withPosition({ room, channel }: Resumed, [, sequence, epoch = '']: RegExpExecArray): Resumed {
  const position: Position = { sequence: Number(sequence), epoch };
  return { room, channel, since: { [channel]: position } };
}

function notOne(): never {
  throw malformed('since', 'is one position, and takes one "join"; of several give the `id` of their last event');
}

function malformed(field: string, rule: string): BusError {
  return new BusError('VALIDATION_ERROR', `Parameter "${field}" ${rule}.`, { field });
}
