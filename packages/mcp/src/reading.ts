import { ArqonBusError } from '@arqonbus/client';
import { type Envelope, isChannelName, type Position } from '@arqonbus/protocol';
import { isPassing } from './agent.ts';
import { START, writeCursor } from './cursor.ts';
import { fit, type Shown, show } from './message.ts';
import { type ChannelPlace, type GroupPlace, INBOX, type Inbox, invalid } from './place.ts';
import type { Call } from './tool.ts';

/** A call with its deadline, a time of `performance.now()`. */
export interface TimedCall extends Call {
  readonly until: number;
}

/** Maximum leases of one call. */
export const MAX_WORK = 10;

/** Messages of a channel, and the next cursor. */
export interface Page {
  readonly messages: readonly Shown[];
  readonly cursor: string;
  /** Some messages after the cursor are no longer stored. */
  readonly lost: boolean;
}

/** Extra time for an answer beyond its wait, milliseconds. */
const GRACE_MS = 10_000;
/** Models need more time than programs. */
const WORK_SECONDS = 300;

/** The bus's answer to a history request. */
interface WirePage {
  readonly messages: readonly Envelope[];
  readonly position?: Position;
  readonly recovered?: boolean;
}

/** The last messages of a channel. */
export async function readLast(call: TimedCall, { room, channel }: ChannelPlace, limit: number): Promise<Page> {
  const page = (await call.agent.persist('history', { room, channel, limit }, call)) as unknown as WirePage;
  const messages = page.messages.map((envelope) => show(envelope, `${room}:${channel}`));
  // If not all fit into one answer, the newest are kept.
  const fitting = [...fit([...messages].reverse())].reverse();
  return { messages: fitting, cursor: writeCursor(page.position ?? START), lost: false };
}

/** The current position of a channel; a channel that does not exist yet is not an error. */
export async function positionOf(call: TimedCall, { room, channel }: ChannelPlace): Promise<Position> {
  try {
    const page = (await call.agent.persist('history', { room, channel, limit: 1 }, call)) as unknown as WirePage;
    return page.position ?? START;
  } catch (error) {
    if (error instanceof ArqonBusError && error.code === 'NOT_FOUND') return START;
    throw error;
  }
}

/** The messages after a position; waits up to `waitMs` for them. */
export async function readAfter(
  call: TimedCall,
  { room, channel }: ChannelPlace,
  since: Position,
  limit: number,
  waitMs: number,
): Promise<Page> {
  // A channel without events has no epoch.
  const from = since.epoch === '' ? { after: since.sequence } : { since };
  const args = { room, channel, limit, ...from, wait_ms: Math.max(1, Math.round(waitMs)) };
  const page = (await call.agent.persist('history', args, call, waitMs + GRACE_MS)) as unknown as WirePage;
  const messages = page.messages.map((envelope) => show(envelope, `${room}:${channel}`));
  const fitting = fit(messages);
  const last = page.messages[fitting.length - 1]?.metadata;
  const isCut = fitting.length < messages.length && last?.sequence !== undefined && last.epoch !== undefined;
  const position = isCut ? { sequence: last.sequence, epoch: last.epoch } : page.position;
  return {
    messages: fitting,
    cursor: writeCursor((position as Position | undefined) ?? since),
    lost: page.recovered === false,
  };
}

/** Leases messages from a group or the agent's mailbox; returns them if the caller has disconnected. */
export async function takeFrom(
  call: TimedCall,
  queue: GroupPlace | Inbox,
  limit: number,
  waitMs: number,
): Promise<readonly Shown[]> {
  const { agent, signal } = call;
  const { place, ...group } = await groupOf(call, queue);
  const args = { ...group, limit, wait_ms: Math.max(0, Math.round(waitMs)) };
  // Leased messages must not be lost if the caller disconnects, so the answer is awaited anyway.
  const pull = (): Promise<{ messages: readonly Envelope[] }> =>
    agent.client.command('group.pull', args, { timeoutMs: waitMs + GRACE_MS }) as unknown as Promise<{
      messages: readonly Envelope[];
    }>;
  let answered: { messages: readonly Envelope[] };
  try {
    answered = await pull();
  } catch (error) {
    if (!(error instanceof ArqonBusError && error.code === 'NOT_FOUND')) throw error;
    // Starts with all stored messages: work may be posted before there is a worker.
    await agent.client.command('group.create', { ...group, start: 'all', ack_wait_seconds: WORK_SECONDS }, { signal });
    answered = await pull();
  }
  const messages = answered.messages.map((envelope) => show(envelope, place));
  if (!signal.aborted) return messages;
  const tokens = messages.flatMap(({ work }) => work ?? []);
  if (tokens.length > 0) await agent.client.command('delivery.nack', { tokens, delay_seconds: 0 });
  throw signal.reason;
}

/** {@link takeFrom}, with retries after a lost connection. */
export async function takeSoon(call: TimedCall, queue: GroupPlace | Inbox, limit: number): Promise<readonly Shown[]> {
  for (;;) {
    const left = call.until - performance.now();
    try {
      return await takeFrom(call, queue, limit, Math.max(0, left));
    } catch (error) {
      if (!isPassing(error) || left <= 0) throw error;
      await call.agent.ready(call.signal).catch((failure: unknown) => {
        if (!isPassing(failure)) throw failure;
      });
    }
  }
}

async function groupOf(
  { agent }: Call,
  queue: GroupPlace | Inbox,
): Promise<{ room: string; channel: string; group: string; place: string }> {
  if (queue.kind === 'group') {
    const { room, channel, group } = queue;
    return { room, channel, group, place: `${room}:${channel}#${group}` };
  }
  const { subject } = await agent.identity();
  if (subject === undefined) {
    throw invalid('You have no mailbox: the bus does not know your subject. Connect with a token that names one.');
  }
  return { room: '@', channel: mailboxName(subject), group: INBOX, place: INBOX };
}

/** The channel of a mailbox; a subject that is not a valid channel name is encoded in base64url. */
function mailboxName(subject: string): string {
  return isChannelName(subject) ? subject : `~${Buffer.from(subject).toString('base64url')}`;
}
