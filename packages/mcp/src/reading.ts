import { ArqonBusError } from '@arqonbus/client';
import { type Envelope, isChannelName, type Position } from '@arqonbus/protocol';
import { isPassing } from './agent.ts';
import { START, writeCursor } from './cursor.ts';
import { fit, type Shown, show } from './message.ts';
import { type ChannelPlace, type GroupPlace, INBOX, type Inbox, invalid } from './place.ts';
import type { Call } from './tool.ts';

/** A call with the time by which it has to be answered, of `performance.now()`. */
export interface TimedCall extends Call {
  readonly until: number;
}

/** Leases that one call takes. */
export const MAX_WORK = 10;

/** What a channel gave, and where to go on. */
export interface Page {
  readonly messages: readonly Shown[];
  readonly cursor: string;
  /** Something after the cursor is no longer kept. */
  readonly lost: boolean;
}

/** How long past its wait an answer may come, milliseconds. */
const GRACE_MS = 10_000;
/** Models think longer than programs do. */
const WORK_SECONDS = 300;

/** What the bus answers a question for history. */
interface WirePage {
  readonly messages: readonly Envelope[];
  readonly position?: Position;
  readonly recovered?: boolean;
}

/** The last messages of a channel. */
export async function readLast(call: TimedCall, { room, channel }: ChannelPlace, limit: number): Promise<Page> {
  const page = (await call.agent.persist('history', { room, channel, limit }, call)) as unknown as WirePage;
  const messages = page.messages.map((envelope) => show(envelope, `${room}:${channel}`));
  // Of what is too much for one answer the newest messages count.
  const fitting = [...fit([...messages].reverse())].reverse();
  return { messages: fitting, cursor: writeCursor(page.position ?? START), lost: false };
}

/** Where a channel stands now; that nobody has used it yet is no failure. */
export async function positionOf(call: TimedCall, { room, channel }: ChannelPlace): Promise<Position> {
  try {
    const page = (await call.agent.persist('history', { room, channel, limit: 1 }, call)) as unknown as WirePage;
    return page.position ?? START;
  } catch (error) {
    if (error instanceof ArqonBusError && error.code === 'NOT_FOUND') return START;
    throw error;
  }
}

/** What comes after a position; waits for it for at most `waitMs`. */
export async function readAfter(
  call: TimedCall,
  { room, channel }: ChannelPlace,
  since: Position,
  limit: number,
  waitMs: number,
): Promise<Page> {
  // What nobody has published to yet has no epoch to name.
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

/** Leases what a group or the agent's mailbox has; what comes after the caller has gone is given back. */
export async function takeFrom(
  call: TimedCall,
  queue: GroupPlace | Inbox,
  limit: number,
  waitMs: number,
): Promise<readonly Shown[]> {
  const { agent, signal } = call;
  const { place, ...group } = await groupOf(call, queue);
  const args = { ...group, limit, wait_ms: Math.max(0, Math.round(waitMs)) };
  // What was leased must not be lost with the caller, so the answer is waited for all the same.
  const pull = (): Promise<{ messages: readonly Envelope[] }> =>
    agent.client.command('group.pull', args, { timeoutMs: waitMs + GRACE_MS }) as unknown as Promise<{
      messages: readonly Envelope[];
    }>;
  let answered: { messages: readonly Envelope[] };
  try {
    answered = await pull();
  } catch (error) {
    if (!(error instanceof ArqonBusError && error.code === 'NOT_FOUND')) throw error;
    // All that is kept: work may be posted before the first worker is there.
    await agent.client.command('group.create', { ...group, start: 'all', ack_wait_seconds: WORK_SECONDS }, { signal });
    answered = await pull();
  }
  const messages = answered.messages.map((envelope) => show(envelope, place));
  if (!signal.aborted) return messages;
  const tokens = messages.flatMap(({ work }) => work ?? []);
  if (tokens.length > 0) await agent.client.command('delivery.nack', { tokens, delay_seconds: 0 });
  throw signal.reason;
}

/** {@link takeFrom}, once more when the line was away. */
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

/** The channel of a mailbox: a name that no channel may have is written in base64url. */
function mailboxName(subject: string): string {
  return isChannelName(subject) ? subject : `~${Buffer.from(subject).toString('base64url')}`;
}
