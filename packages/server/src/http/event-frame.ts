import { framePayload } from '@arqonbus/bus';
import type { Envelope, JoinResult, Position } from '@arqonbus/protocol';

/** One envelope as a server-sent event, and what it says about where its reader stands. */
export interface EventFrame {
  /** `data: …` with the empty line behind it. */
  readonly data: Buffer;
  /** The place in its stream, of an event that has one. */
  readonly at: { readonly room: string; readonly channel: string; readonly position: Position } | undefined;
  /** The request that it answers, if that was a command. */
  readonly answers: string | undefined;
  /** The answer to a join that succeeded. */
  readonly joined: JoinResult | undefined;
  /** Milliseconds after which to come back, as a notice of shutdown says. */
  readonly retryMs: number | undefined;
}

/** Events are framed once for all who receive them, and so they are made server-sent events once. */
const made: WeakMap<Buffer, EventFrame> = new WeakMap();

export function eventFrame(frames: Buffer): EventFrame {
  let known = made.get(frames);
  if (known === undefined) {
    known = make(framePayload(frames).toString());
    made.set(frames, known);
  }
  return known;
}

function make(text: string): EventFrame {
  const envelope = JSON.parse(text) as Envelope;
  // A line break ends a field, and JSON may have some between its parts.
  const line = /[\r\n]/.test(text) ? JSON.stringify(envelope) : text;
  return {
    data: Buffer.from(`data: ${line}\n\n`),
    at: placeOf(envelope),
    answers: envelope.type === 'command_response' ? envelope.request_id : undefined,
    joined: joinedOf(envelope),
    retryMs: retryOf(envelope),
  };
}

/** What stands in a stream: events and, of a mailbox, private messages. */
const STORED: ReadonlySet<string> = new Set(['event', 'telemetry', 'private']);

function placeOf({ type, room, channel, metadata }: Envelope): EventFrame['at'] {
  if (!STORED.has(type) || room === undefined || channel === undefined) return undefined;
  const { sequence, epoch, delivery } = metadata ?? {};
  // What a group hands out has a cursor of its own.
  if (typeof sequence !== 'number' || typeof epoch !== 'string' || delivery !== undefined) return undefined;
  return { room, channel, position: { sequence, epoch } };
}

function joinedOf({ type, command, status, payload }: Envelope): JoinResult | undefined {
  if (type !== 'command_response' || command !== 'join_channel' || status !== 'success') return undefined;
  return payload.group === undefined ? (payload as unknown as JoinResult) : undefined;
}

function retryOf({ type, payload }: Envelope): number | undefined {
  if (type !== 'system') return undefined;
  if (payload.event === 'welcome') return RETRY_MS;
  return payload.event === 'shutdown' && typeof payload.reconnect_after_ms === 'number'
    ? payload.reconnect_after_ms
    : undefined;
}

/** How long a reader whose line broke waits before it comes back. */
const RETRY_MS = 1_000;
