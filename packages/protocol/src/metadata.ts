import type { JsonObject, Metadata } from './envelope.ts';
import { BusError } from './errors.ts';
import { isId } from './id.ts';

/** Keys that only the server writes; a client's are dropped (PROTOCOL section 2). */
const SERVER_KEYS: ReadonlySet<string> = new Set([
  'sequence',
  'epoch',
  'replayed',
  'casil',
  'cron_job_id',
  'iteration',
  'client_timestamp',
  'sender',
  'expires_at',
  'request',
  'receipt',
  'delivery',
  'dead',
  'retained',
  'clear',
  'hops',
  'stream',
]);

/** Whether only the server may set this key. Clients may set `request: true` to mark requests between them. */
function isServers(key: string, value: unknown): boolean {
  return SERVER_KEYS.has(key) && !(key === 'request' && value === true);
}

/** A W3C trace context, whole. */
export const TRACEPARENT: RegExp = /^(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/;

/**
 * The part of a client's metadata that is passed on: everything except the server's keys. Throws VALIDATION_ERROR if
 * `vector_clock`, `causal_parent_id` or `traceparent` is malformed.
 */
export function checkMetadata(metadata: JsonObject, timestamp: string | undefined): Metadata | undefined {
  const { vector_clock: clock, causal_parent_id: parent, traceparent } = metadata;
  if (clock !== undefined && !isVectorClock(clock)) {
    throw invalid('metadata.vector_clock', 'must be an object of non-negative integers', 'object of integers >= 0');
  }
  if (parent !== undefined && !isId(parent)) {
    throw invalid('metadata.causal_parent_id', 'must be the id of an envelope', 'id');
  }
  if (traceparent !== undefined && !(typeof traceparent === 'string' && TRACEPARENT.test(traceparent))) {
    throw invalid('metadata.traceparent', 'must be a W3C trace context', '00-<32 hex>-<16 hex>-<2 hex>');
  }
  // fromEntries defines properties, so that a "__proto__" key stays a key; assignment would set the prototype.
  const entries = Object.entries(metadata).filter(([key, value]) => !isServers(key, value));
  if (timestamp !== undefined) entries.push(['client_timestamp', timestamp]);
  return entries.length === 0 ? undefined : (Object.fromEntries(entries) as Metadata);
}

/** An envelope's metadata, split into the sender's part and the server's part. */
export interface MetadataParts {
  /** Undefined if the sender set none. */
  readonly own: JsonObject | undefined;
  /** Undefined if the server set none. */
  readonly server: Metadata | undefined;
}

/** Splits metadata by the owner of its keys; copies it only if both are present. */
export function splitMetadata(metadata: Metadata): MetadataParts {
  const entries = Object.entries(metadata);
  const server = entries.filter(([key, value]) => isServers(key, value));
  if (server.length === 0) return { own: entries.length === 0 ? undefined : metadata, server: undefined };
  if (server.length === entries.length) return { own: undefined, server: metadata };
  const own = entries.filter(([key, value]) => !isServers(key, value));
  return { own: Object.fromEntries(own), server: Object.fromEntries(server) };
}

function isVectorClock(value: unknown): boolean {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  return Object.values(value).every((tick) => Number.isSafeInteger(tick) && (tick as number) >= 0);
}

function invalid(field: string, rule: string, expected: string): BusError {
  return new BusError('VALIDATION_ERROR', `"${field}" ${rule}.`, { field, expected });
}
