import type { Address } from './address.ts';
import { type Envelope, type JsonObject, type Metadata, PROTOCOL_VERSION, SERVER } from './envelope.ts';
import { type BusError, ERRORS, type ErrorCode, type ErrorDetails } from './errors.ts';
import { newId } from './id.ts';

let stampMs = -1;
let stamp = '';

/** The accept time as RFC 3339 UTC with milliseconds; the text is built once per millisecond. */
export function timestamp(now: number = Date.now()): string {
  if (now !== stampMs) {
    stampMs = now;
    stamp = new Date(now).toISOString();
  }
  return stamp;
}

/**
 * An envelope whose text is complete except its position in a stream: the engine that assigns the sequence completes it
 * with {@link seal}. The payload is thus serialized once, before the order is known.
 */
export interface Draft {
  readonly id: string;
  /** The client id, or another name of PROTOCOL section 2. It gets no copy unless it requested its echo. */
  readonly from: string;
  /** Accept time in milliseconds since 1970; the same instant as the text's `timestamp`. */
  readonly time: number;
  /** JSON text up to and inside the open `metadata` object. */
  readonly open: string;
}

/** The input of {@link openDraft}. All names are already validated, so none needs escaping. */
export interface DraftSource {
  readonly id: string;
  readonly type: 'event' | 'telemetry' | 'private' | 'system';
  readonly room: string;
  readonly channel: string;
  readonly from: string;
  /** Of a private message. */
  readonly to?: string | readonly string[] | undefined;
  /** The object, or its JSON text. */
  readonly payload: JsonObject | string;
  readonly requestId?: string | undefined;
  readonly metadata?: Metadata | undefined;
  /** The server's part of the metadata, as members of JSON text: `"sender":{…},"expires_at":"…"`. */
  readonly marks?: string | undefined;
}

/** The last {@link headOf}, and what it was made of: messages of one sender come in bursts. */
const lastHead = { type: '', room: '', channel: '', from: '', stamp: '', text: '' };

/** The part of an event's text that all events of one sender to one channel have in common within a millisecond. */
function headOf({ type, room, channel, from }: DraftSource, stamp: string): string {
  const last = lastHead;
  if (
    last.stamp !== stamp ||
    last.channel !== channel ||
    last.room !== room ||
    last.from !== from ||
    last.type !== type
  ) {
    last.type = type;
    last.room = room;
    last.channel = channel;
    last.from = from;
    last.stamp = stamp;
    last.text = `","type":"${type}","room":"${room}","channel":"${channel}","from":"${from}","timestamp":"${stamp}",`;
  }
  return last.text;
}

/** Serializes an event up to its metadata, with one `JSON.stringify` for any number of subscribers. */
export function openDraft(source: DraftSource, now: number = Date.now()): Draft {
  const { id, from, payload, metadata, marks, requestId } = source;
  let head = headOf(source, timestamp(now));
  if (source.to !== undefined) head += `"to":${JSON.stringify(source.to)},`;
  if (requestId !== undefined) head += `"request_id":"${requestId}",`;
  const body = typeof payload === 'string' ? payload : JSON.stringify(payload);
  let open = `{"version":"1.0","id":"${id}${head}"payload":${body},"metadata":{`;
  if (metadata !== undefined) {
    const members = JSON.stringify(metadata);
    if (members.length > 2) open += `${members.slice(1, -1)},`;
  }
  // Last: if two members have the same name, a reader uses the later one.
  if (marks !== undefined) open += `${marks},`;
  return { id, from, time: now, open };
}

/** Completes a draft with its position in the stream. */
export function seal(open: string, sequence: number, epoch: string): string {
  return `${open}"sequence":${sequence},"epoch":"${epoch}"}}`;
}

/** Completes a draft that is not stored: degraded traffic has no sequence. */
export function sealUnstored(open: string): string {
  return `${open.endsWith(',') ? open.slice(0, -1) : open}}}`;
}

/** The same envelope, marked as the value that its channel retains. `text` is a sealed one. */
export function markRetained(text: string): string {
  return `${text.slice(0, -2)},"retained":true}}`;
}

/** The same envelope, marked as replayed. `text` is a sealed one. */
export function markReplayed(text: string): string {
  return `${text.slice(0, -2)},"replayed":true}}`;
}

/** Serializes an envelope from the server itself, with version, id, from and timestamp. */
export function encode(envelope: Partial<Envelope> & Pick<Envelope, 'type' | 'payload'>): string {
  const { type, payload, metadata, ...rest } = envelope;
  return JSON.stringify({
    version: PROTOCOL_VERSION,
    id: newId(),
    type,
    from: SERVER,
    timestamp: timestamp(),
    ...rest,
    payload,
    // Last, as in events: marks are searched at the end of a text.
    metadata,
  });
}

/**
 * The `ack` of a message. Most messages get one, and this costs half of {@link encode}. All names are already validated,
 * so none needs escaping.
 *
 * @param at the address of the message, if it has one
 */
export function encodeAck(requestId: string, at: Address | undefined, payload: JsonObject): string {
  const place = at === undefined ? '' : `"room":"${at.room}","channel":"${at.channel}",`;
  return `{"version":"1.0","id":"${newId()}","type":"ack","from":"${SERVER}","timestamp":"${timestamp()}","request_id":"${requestId}",${place}"payload":${JSON.stringify(payload)}}`;
}

/** The `error` envelope or, when `command` is given, the failed `command_response` (PROTOCOL sections 3 and 8). */
export function encodeError(
  error: Pick<BusError, 'code' | 'message' | 'details'>,
  requestId: string | undefined,
  command?: string | undefined,
): string {
  return encode({
    ...(command === undefined ? { type: 'error' } : { type: 'command_response', command, status: 'error' }),
    ...(requestId === undefined ? {} : { request_id: requestId }),
    error: error.message,
    error_code: error.code,
    ...placeOfBlock(error),
    payload: errorPayload(error.code, error.details),
  } as Partial<Envelope> & Pick<Envelope, 'type' | 'payload'>);
}

/** A refusal by the content policy also has its room and channel at the top level, where clients look first. */
function placeOfBlock({ code, details }: Pick<BusError, 'code' | 'details'>): Pick<Envelope, 'room' | 'channel'> {
  if (!code.startsWith('CASIL_')) return {};
  const { room, channel } = details;
  return { ...(typeof room === 'string' && { room }), ...(typeof channel === 'string' && { channel }) };
}

/** The details of every refusal, on the wire and over HTTP. */
export function errorPayload(code: ErrorCode, details: ErrorDetails): JsonObject {
  return { ...details, retryable: ERRORS[code].retryable };
}
