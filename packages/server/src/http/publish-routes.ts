import { BusError, type JsonObject, newId, parseAddress } from '@arqonbus/protocol';
import { z } from 'zod';
import type { Caller } from './credentials.ts';
import { inOrder, outcomeOf, type Publishing, publish, runCommand } from './publishing.ts';
import { type AnyRoute, route } from './route.ts';

const TEXT = z.string();
const MAX_CHANNELS = 1_000;

/** A message of `/v1/publish`, for the OpenAPI document. */
export const MESSAGE: z.ZodObject = z.object({
  room: TEXT.optional().describe('Room name, or room:channel.'),
  channel: TEXT.optional().describe('Channel name, or room:channel; without one the whole room.'),
  payload: z.looseObject({}).optional(),
  type: z.enum(['event', 'private', 'telemetry']).optional().describe('`event` unless it says otherwise.'),
  id: TEXT.optional().describe('The envelope’s id; sent again within 120 s it is delivered once.'),
  to: z
    .union([TEXT, z.array(TEXT)])
    .optional()
    .describe('Client ids, `sub:SUBJECT` and mailboxes `@SUBJECT` of a private message.'),
  metadata: z.looseObject({}).optional(),
  options: z
    .looseObject({})
    .optional()
    .describe('`ttl_seconds`, `expect`, `ephemeral` … as the protocol has them; an unknown one is refused.'),
});

const ACK = {
  id: TEXT,
  room: TEXT.optional(),
  channel: TEXT.optional(),
  sequence: z.number().optional(),
  epoch: TEXT.optional(),
  delivered: z.number().describe('Connections that it was handed to.'),
  undelivered: z.array(TEXT).optional(),
  queued: z.array(TEXT).optional().describe('Mailboxes of `to`: they keep it.'),
  pending: z.number().optional().describe('The number of waiting messages in the fullest of them.'),
  oldest_ms: z.number().optional().describe('For how long the oldest of that has waited.'),
  job_id: TEXT.optional(),
  deliver_at: TEXT.optional(),
  duplicate: z.boolean(),
  stored: z.enum(['none', 'memory', 'disk', 'replicated']),
};

/** The result of one item of several. */
export const OUTCOME: z.ZodType = z.union([
  z.looseObject({ ok: z.literal(true) }),
  z.looseObject({ ok: z.literal(false), error: TEXT, error_code: TEXT, details: z.looseObject({}) }),
]);

/** `/v1/publish` and `/v1/commands/{name}`: what a WebSocket client could send, under the same rules. */
export function publishRoutes(publishing: Publishing): AnyRoute[] {
  return [
    route({
      method: 'post',
      path: '/v1/publish',
      tag: 'messages',
      summary:
        'Publishes an event, a private message or a telemetry event and returns the ack. Can publish to many channels.',
      access: 'user',
      body: MESSAGE.extend({
        channels: z
          .array(TEXT)
          .max(MAX_CHANNELS)
          .optional()
          .describe('Instead of `channel`: where an event goes, each a room:channel, or a channel of `room`.'),
      }),
      answer: z.union([z.object(ACK), z.object({ results: z.array(OUTCOME) })]),
      run: ({ caller, body }) =>
        body.channels === undefined ? publish(publishing, caller, body) : publishToMany(publishing, caller, body),
    }),
    route({
      method: 'post',
      path: '/v1/commands/{name}',
      tag: 'messages',
      summary: 'Runs a command. The body contains its arguments, the answer is its result.',
      access: 'user',
      params: z.object({ name: TEXT }),
      body: z.looseObject({}).describe('The arguments, as `help` describes them.'),
      answer: z.looseObject({}),
      run: ({ caller, params, body, signal }) =>
        runCommand(publishing, caller, { name: params.name, args: body, signal }),
    }),
  ];
}

/** Publishes one event to each of many channels, with one result each; every channel counts as a request. */
async function publishToMany(publishing: Publishing, caller: Caller, body: JsonObject): Promise<object> {
  const { channels, room, channel, to, ...event } = body;
  if (!Array.isArray(channels) || channels.length === 0 || channels.length > MAX_CHANNELS) {
    throw new BusError('VALIDATION_ERROR', `"channels" is a list of 1 to ${MAX_CHANNELS} channels.`, {
      field: 'channels',
      limit: MAX_CHANNELS,
    });
  }
  if (channel !== undefined || to !== undefined || (event.type !== undefined && event.type !== 'event')) {
    throw new BusError('VALIDATION_ERROR', '"channels" only goes with an event that has no "channel" and no "to".', {
      field: 'channels',
    });
  }
  const addresses = channels.map((one: unknown) => {
    if (typeof one !== 'string') {
      throw new BusError('VALIDATION_ERROR', 'Each entry of "channels" must be a string.', { field: 'channels' });
    }
    const isWhole = one.includes(':') || room === undefined;
    return isWhole ? parseAddress(one, undefined) : { room, channel: one };
  });
  // The same id in every channel: a repeated request is a duplicate in each of them.
  const id = event.id ?? newId();
  let isFirst = true;
  const results = await inOrder(addresses, async (at) => ({
    ...at,
    ...(await outcomeOf(publishing, async () => {
      if (!isFirst) caller.charge();
      isFirst = false;
      return publish(publishing, caller, { ...event, id, ...at } as JsonObject);
    })),
  }));
  return { results };
}
