import { ArqonBusError, type PublishOptions } from '@arqonbus/client';
import { newId } from '@arqonbus/protocol';
import { z } from 'zod';
import { NOTE, show } from '../message.ts';
import { readChannel } from '../place.ts';
import { readReplyTo } from '../reply-to.ts';
import { type Call, MESSAGE_ID, OBJECT, seconds, type Tool, tool, WAIT_SECONDS } from '../tool.ts';

/** Time limit for the bus to accept a message, including its restart, milliseconds. */
const SEND_MS = 30_000;
/** Errors after which the next target is tried. */
const UNREACHED = new Set(['TARGET_NOT_FOUND', 'FEATURE_MISSING', 'NOT_FOUND']);

/** publish, send, reply, request: send messages. */
export const TALK: readonly Tool[] = [
  tool(
    'publish',
    'Send to all in a channel. id: to repeat a call safely.',
    z.strictObject({ channel: z.string(), data: OBJECT, id: MESSAGE_ID }),
    async (call, { channel, data, id }) => publish(call, channel, data, id),
    { fields: { room: 'channel', payload: 'data' } },
  ),
  tool(
    'send',
    'Mail a subject. wait_seconds: until it is handled.',
    z.strictObject({
      to: z.string(),
      data: OBJECT,
      id: MESSAGE_ID,
      wait_seconds: WAIT_SECONDS,
    }),
    async (call, { to, data, id, wait_seconds: wait = 0 }) => {
      const target = readTarget(to);
      const options = wait > 0 ? { receipt: true } : {};
      const sent = await safely(call, id, (rest) => call.agent.client.send(target, data, { ...options, ...rest }));
      const { queued, pending, undelivered } = sent as { queued?: unknown; pending?: unknown; undelivered?: unknown };
      const told = { id: sent.id, queued, pending, undelivered };
      if (sent.handled === undefined) return told;
      return { ...told, handled: await within(sent.handled, seconds(wait), call.signal) };
    },
    { fields: { payload: 'data', 'options.receipt': 'wait_seconds' } },
  ),
  tool(
    'reply',
    'Answer a message; to is its reply_to.',
    z.strictObject({ to: z.string(), data: OBJECT, id: MESSAGE_ID }),
    async (call, { to, data, id }) => {
      const target = readReplyTo(to);
      if (target.kind === 'channel') {
        return publish(call, target.channel, data, id, { metadata: { causal_parent_id: target.id } });
      }
      return safely(call, id, (rest) => replyTo(call, target, data, rest));
    },
    { fields: { room: 'to', channel: 'to', payload: 'data' } },
  ),
  tool(
    'request',
    'Ask a subject or a channel, and wait for the reply.',
    z.strictObject({ to: z.string(), data: OBJECT, seconds: z.number().min(1).max(50).optional() }),
    async (call, { to, data, seconds: wait = 30 }) => {
      const target = to.includes(':') && !to.startsWith('sub:') ? channelOf(to) : readTarget(to);
      const { client } = call.agent;
      const reply = await client.request(target, data, { timeoutMs: seconds(wait), signal: call.signal });
      const { reply_to: _answered, place: _private, ...shown } = show(reply.envelope, '');
      return { note: NOTE, ...shown };
    },
    { fields: { room: 'to', channel: 'to', payload: 'data', 'options.request': 'seconds' } },
  ),
];

interface Rest extends Pick<PublishOptions, 'id' | 'metadata'> {
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

export async function publish(
  call: Call,
  channel: string,
  data: object,
  id?: string,
  options: Pick<PublishOptions, 'metadata'> = {},
): Promise<object> {
  const at = channelOf(channel);
  const sent = await safely(call, id, (rest) =>
    call.agent.client.publish(at, data, { ...options, ...rest, ack: true }),
  );
  const { sequence, epoch, delivered, duplicate } = sent;
  const stored = sequence > 0 ? { cursor: `${sequence}@${epoch}` } : {};
  return { id: sent.id, ...stored, delivered, ...(duplicate ? { duplicate } : {}) };
}

/** Sends with an id that is reported if the outcome is unknown: repeating the call with it has no further effect. */
async function safely<T>({ signal }: Call, given: string | undefined, send: (rest: Rest) => Promise<T>): Promise<T> {
  const id = given ?? newId();
  try {
    return await send({ id, timeoutMs: SEND_MS, signal });
  } catch (error) {
    if (!(error instanceof ArqonBusError) || !['TIMEOUT', 'OUTCOME_UNKNOWN', 'CONNECTION_LOST'].includes(error.code)) {
      throw error;
    }
    const advice = `It is not known whether the bus has it; repeat the call with "id": "${id}", and it counts once.`;
    throw new ArqonBusError('OUTCOME_UNKNOWN', advice, true, error);
  }
}

async function replyTo(
  { agent }: Call,
  { id: requestId, targets }: { id: string; targets: readonly string[] },
  data: object,
  rest: Rest,
): Promise<object> {
  const [target, ...others] = targets as [string, ...string[]];
  try {
    await agent.client.reply({ id: requestId, from: target }, data, rest);
    return { id: rest.id };
  } catch (error) {
    const isNext = others.length > 0 && error instanceof ArqonBusError && UNREACHED.has(error.code);
    if (!isNext) throw error;
    return replyTo({ agent } as Call, { id: requestId, targets: others }, data, rest);
  }
}

/** A subject's mailbox, or its live connections (`sub:NAME`). */
function readTarget(to: string): string {
  return to.startsWith('sub:') || to.startsWith('@') ? to : `@${to}`;
}

function channelOf(text: string): string {
  const { room, channel } = readChannel(text);
  return `${room}:${channel}`;
}

/** The result of a promise within a time limit; otherwise reports that it is not known yet. */
async function within(promise: Promise<object>, ms: number, signal: AbortSignal): Promise<object> {
  const over = AbortSignal.any([signal, AbortSignal.timeout(ms)]);
  return new Promise((resolve, reject) => {
    over.addEventListener('abort', () => resolve({ stage: 'not yet' }), { once: true });
    promise.then(resolve, reject);
  });
}
