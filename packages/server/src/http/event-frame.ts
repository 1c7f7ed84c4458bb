import type { Frame } from '@arqonbus/bus';
import type { Envelope, JoinResult } from '@arqonbus/protocol';
import type { Stored } from './positions.ts';

/** One envelope as a server-sent event, with the facts that affect the reader's position. */
export interface EventFrame {
  /** `data: …` with the trailing empty line. */
  readonly data: Buffer;
  /** The stream position of a stored event. */
  readonly at: Stored | undefined;
  /** The id of the command that it answers, if any. */
  readonly answers: string | undefined;
  /** The result of a successful join. */
  readonly joined: JoinResult | undefined;
  /** Reconnect delay from a shutdown notice, in milliseconds. */
  readonly retryMs: number | undefined;
}

/** An event has the same frame for all its recipients, so it is converted only once. */
const made: WeakMap<Frame, EventFrame> = new WeakMap();

export function eventFrame(frame: Frame): EventFrame {
  let known = made.get(frame);
  if (known === undefined) {
    known = make(frame.text);
    made.set(frame, known);
  }
  return known;
}

function make(text: string): EventFrame {
  const envelope = JSON.parse(text) as Envelope;
  // A line break ends a field, and JSON may contain some as whitespace.
  const line = /[\r\n]/.test(text) ? JSON.stringify(envelope) : text;
  return {
    data: Buffer.from(`data: ${line}\n\n`),
    at: placeOf(envelope),
    answers: envelope.type === 'command_response' ? envelope.request_id : undefined,
    joined: joinedOf(envelope),
    retryMs: retryOf(envelope),
  };
}

/** Types that are stored in a stream: events and, in a mailbox, private messages. */
const STORED: ReadonlySet<string> = new Set(['event', 'telemetry', 'private']);

function placeOf({ type, room, channel, metadata }: Envelope): EventFrame['at'] {
  if (!STORED.has(type) || room === undefined || channel === undefined) return undefined;
  const { sequence, epoch, delivery } = metadata ?? {};
  // Deliveries of a consumer group have a cursor of their own.
  if (typeof sequence !== 'number' || typeof epoch !== 'string' || delivery !== undefined) return undefined;
  return { room, channel, name: `${room}:${channel}`, position: { sequence, epoch } };
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

/** Reconnect delay after a lost connection, in milliseconds. */
const RETRY_MS = 1_000;
