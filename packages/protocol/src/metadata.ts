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

/** Matches a whole W3C trace context. */
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
  const own = withoutServers(metadata);
  if (timestamp !== undefined) return { ...own, client_timestamp: timestamp };
  return isEmpty(own) ? undefined : (own as Metadata);
}

/** The same without the server's keys. Returns the object itself if it has none, because copying is expensive. */
function withoutServers(metadata: JsonObject): JsonObject {
  if (!hasServers(metadata)) return metadata;
  // fromEntries defines properties, so that a "__proto__" key stays a key; assignment would set the prototype.
  return Object.fromEntries(Object.entries(metadata).filter(([key, value]) => !isServers(key, value)));
}

function hasServers(metadata: JsonObject): boolean {
  for (const key of SERVER_KEYS) if (Object.hasOwn(metadata, key) && isServers(key, metadata[key])) return true;
  return false;
}

function isEmpty(metadata: JsonObject): boolean {
  for (const _key in metadata) return false;
  return true;
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
  if (!hasServers(metadata as JsonObject))
    return { own: isEmpty(metadata as JsonObject) ? undefined : metadata, server: undefined };
  const entries = Object.entries(metadata);
  const server = entries.filter(([key, value]) => isServers(key, value));
  if (server.length === entries.length) return { own: undefined, server: metadata };
  const own = entries.filter(([key, value]) => !isServers(key, value));
  return { own: Object.fromEntries(own), server: Object.fromEntries(server) };
}

function isVectorClock(value: unknown): boolean {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  for (const node in value) {
    const tick = (value as JsonObject)[node];
    if (!Number.isSafeInteger(tick) || (tick as number) < 0) return false;
  }
  return true;
}

function invalid(field: string, rule: string, expected: string): BusError {
  return new BusError('VALIDATION_ERROR', `"${field}" ${rule}.`, { field, expected });
}
