import { type Bus, type CommandRunner, receipt } from '@arqonbus/bus';
import {
  assertJson,
  BusError,
  decode,
  type Inbound,
  isRefusal,
  type JsonObject,
  MAX_NESTING,
  newId,
  PROTOCOL_VERSION,
} from '@arqonbus/protocol';
import { z } from 'zod';
import { type AnyRoute, route } from './route.ts';

export interface PublishParts {
  readonly bus: Bus;
  readonly runner: CommandRunner;
  /** Whether envelopes are judged strictly (PROTOCOL section 2); what HTTP fills in itself is never owed. */
  readonly strict: boolean;
}

const TEXT = z.string();

/** `/v1/publish` and `/v1/commands/{name}`: what a WebSocket client could send, judged by the same rules. */
export function publishRoutes({ bus, runner, strict }: PublishParts): AnyRoute[] {
  return [
    route({
      method: 'post',
      path: '/v1/publish',
      tag: 'messages',
      summary: 'Publishes an event, a private message or a telemetry event; answers the ack.',
      access: 'admin',
      body: z.object({
        room: TEXT.optional().describe('Room name, or room:channel.'),
        channel: TEXT.optional().describe('Channel name, or room:channel; without one the whole room.'),
        payload: z.looseObject({}).optional(),
        type: z.enum(['event', 'private', 'telemetry']).optional().describe('`event` unless it says otherwise.'),
        id: TEXT.optional().describe('The envelope’s id; sent again within 120 s it is delivered once.'),
        to: z
          .union([TEXT, z.array(TEXT)])
          .optional()
          .describe('Client ids, `sub:SUBJECT` and `@SUBJECT` of a private message.'),
        metadata: z.looseObject({}).optional(),
        options: z
          .looseObject({})
          .optional()
          .describe('`ttl_seconds`, `expect`, `ephemeral` … as the protocol has them; an unknown one is refused.'),
      }),
      answer: z.object({
        id: TEXT,
        room: TEXT.optional(),
        channel: TEXT.optional(),
        sequence: z.number().optional(),
        epoch: TEXT.optional(),
        delivered: z.number().describe('Connections that it was handed to.'),
        undelivered: z.array(TEXT).optional(),
        queued: z.array(TEXT).optional().describe('Mailboxes of `to`.'),
        pending: z.number().optional(),
        oldest_ms: z.number().optional(),
        job_id: TEXT.optional(),
        deliver_at: TEXT.optional(),
        duplicate: z.boolean(),
        stored: z.enum(['none', 'memory', 'disk', 'replicated']),
      }),
      run: async ({ caller: { sender }, body }) => {
        const { type = 'event' } = body;
        if (type === 'command') {
          throw new BusError('VALIDATION_ERROR', 'Send commands to /v1/commands/NAME.', { field: 'type' });
        }
        const inbound = judge({ ...body, type }, strict);
        bus.rooms.tenant(sender.principal.tenant).traffic.received += 1;
        const { payload, at } = receipt(await bus.ingress.post(sender, inbound));
        return { id: inbound.id, ...at, ...payload };
      },
    }),
    route({
      method: 'post',
      path: '/v1/commands/{name}',
      tag: 'messages',
      summary: 'Runs a command; the body holds its arguments, the answer is its result.',
      access: 'admin',
      params: z.object({ name: TEXT }),
      body: z.looseObject({}).describe('The arguments, as `help` describes them.'),
      answer: z.looseObject({}),
      run: ({ caller: { sender }, params, body }) => {
        const { id, command, args } = judge({ type: 'command', command: params.name, args: body }, strict);
        bus.rooms.tenant(sender.principal.tenant).traffic.received += 1;
        return runner.run({ sender, requestId: id, name: command, args });
      },
    }),
  ];
}

/** Has the wire's own rules decide over a request, as if it had been a frame. */
function judge(fields: JsonObject, strict: boolean): Inbound {
  // What is nested deeper than a frame may be cannot be written as one either.
  assertJson(fields, 'body', MAX_NESTING + 1);
  const decoded = decode(JSON.stringify({ version: PROTOCOL_VERSION, id: newId(), ...fields }), strict);
  if (isRefusal(decoded)) throw new BusError(decoded.code, decoded.message, decoded.details);
  return decoded;
}
