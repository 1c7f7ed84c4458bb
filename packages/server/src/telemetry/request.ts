import { checkTelemetry, type TelemetryMessage } from '@arqonbus/bus';
import {
  BusError,
  compileGlobs,
  type Glob,
  isId,
  isRoomName,
  type JsonObject,
  MAX_NESTING,
  newId,
  parseJson,
} from '@arqonbus/protocol';
import type { Recorded } from './ring.ts';

/** Maximum events of one `replay` or request. */
export const MAX_REPLAY = 1_000;
const DEFAULT_REPLAY = 100;
const MAX_GLOBS = 100;
const EVENT_GLOB = /^[A-Za-z0-9._*-]{1,128}$/;

/** Which events a client wants. */
export interface Filter {
  readonly events: readonly string[];
  readonly matches: Glob;
  /** Only events about this room; undefined: all events, including those without a room. */
  readonly room: string | undefined;
}

/** A request from a telemetry client. */
export type TelemetryRequest =
  | { readonly type: 'subscribe'; readonly filter: Filter }
  | { readonly type: 'unsubscribe' }
  | { readonly type: 'ping' }
  | { readonly type: 'replay'; readonly limit: number }
  | { readonly type: 'submit'; readonly message: TelemetryMessage };

/** Parses one frame from a telemetry client; throws the BusError to reply with. */
export function readRequest(text: string): TelemetryRequest {
  const frame = parse(text);
  const { type } = frame;
  if (type === undefined) return { type: 'submit', message: readSubmission(frame) };
  switch (type) {
    case 'subscribe':
      return { type: 'subscribe', filter: readFilter(frame) };
    case 'unsubscribe':
      return { type: 'unsubscribe' };
    case 'ping':
      return { type: 'ping' };
    case 'replay':
      return { type: 'replay', limit: readLimit(frame.limit) };
    default:
      throw new BusError(
        'UNKNOWN_TYPE',
        'Send "type" subscribe, unsubscribe, ping or replay; or an event, with "eventType" and without "type".',
        { field: 'type', expected: 'subscribe | unsubscribe | ping | replay' },
      );
  }
}

/** Parses a filter from `events` (globs) and `room`, as used in frames and queries. */
export function readFilter({ events = ['*'], room }: JsonObject): Filter {
  const globs: unknown[] = Array.isArray(events) ? events : [events];
  const valid = globs.every((glob) => typeof glob === 'string' && EVENT_GLOB.test(glob));
  if (globs.length === 0 || globs.length > MAX_GLOBS || !valid) {
    throw invalid('events', `is a list of 1-${MAX_GLOBS} event types, with "*" for any run of characters`);
  }
  if (room !== undefined && !(typeof room === 'string' && isRoomName(room))) throw invalid('room', 'is a room’s name');
  return { events: globs as string[], matches: compileGlobs(globs as string[]), room };
}

/** Whether an event matches a filter. */
export function matchesFilter({ eventType, room }: Recorded, filter: Filter): boolean {
  return filter.matches(eventType) && (filter.room === undefined || filter.room === room);
}

function parse(text: string): JsonObject {
  let frame: unknown;
  try {
    // The payload of an event is one level down.
    frame = parseJson(text, 'payload', MAX_NESTING + 1);
  } catch (error) {
    if (error instanceof BusError) throw error;
    throw new BusError('INVALID_JSON', 'The frame is not valid JSON; send one JSON object per text frame.');
  }
  if (typeof frame !== 'object' || frame === null || Array.isArray(frame)) {
    throw new BusError('INVALID_JSON', 'The frame must be one JSON object.');
  }
  return frame as JsonObject;
}

function readSubmission(frame: JsonObject): TelemetryMessage {
  const { id, ...fields } = frame;
  if (id !== undefined && !isId(id)) throw invalid('id', 'is "arq_" and 1-124 letters, digits, "_" or "-"');
  const event = checkTelemetry(fields, '');
  return { id: id ?? newId(), room: undefined, channel: undefined, payload: { ...event } };
}

function readLimit(limit: unknown = DEFAULT_REPLAY): number {
  if (Number.isInteger(limit) && Number(limit) >= 1 && Number(limit) <= MAX_REPLAY) return Number(limit);
  throw invalid('limit', `is a whole number of 1-${MAX_REPLAY}`);
}

function invalid(field: string, rule: string): BusError {
  return new BusError('VALIDATION_ERROR', `"${field}" ${rule}.`, { field });
}
