import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { BusError, type JsonObject, MAX_NESTING, parseJson } from '@arqonbus/protocol';
import { HttpRefusal } from './reply.ts';

const JSON_TYPE = /^application\/(?:[a-z0-9.+-]+\+)?json\s*(?:;|$)/i;

/** Refuses with 415 bodies that are not JSON, such as HTML forms, and compressed ones. */
export function assertBodyType(headers: IncomingHttpHeaders): void {
  if (!JSON_TYPE.test(headers['content-type']?.trim() ?? '')) {
    throw new HttpRefusal(415, 'VALIDATION_ERROR', 'Send the header "Content-Type: application/json".', {
      field: 'Content-Type',
      expected: 'application/json',
    });
  }
  const coding = headers['content-encoding']?.trim() ?? '';
  if (coding === '' || coding.toLowerCase() === 'identity') return;
  const sentence = 'Send the body as it is, without the header Content-Encoding: no compression is taken.';
  const details = { field: 'Content-Encoding', expected: 'identity' };
  throw new HttpRefusal(415, 'VALIDATION_ERROR', sentence, details, { 'Accept-Encoding': 'identity' });
}

/**
 * Reads a request body, with a content length or chunked.
 *
 * @param limit bytes; larger bodies get a 413
 */
export async function readBody(request: Request, incoming: IncomingMessage, limit: number): Promise<ArrayBuffer> {
  const { headers } = incoming;
  if (Number(headers['content-length'] ?? 0) > limit) throw tooLarge(limit);
  try {
    if (headers['transfer-encoding'] === undefined) return await request.arrayBuffer();
    return await readChunks(request.body ?? NO_CHUNKS, limit);
  } catch (error) {
    if (error instanceof BusError || !incoming.destroyed || incoming.complete) throw error;
    // The client has disconnected, which is not a server error.
    throw new BusError('INVALID_JSON', 'The body broke off; send all of it.');
  }
}

const NO_CHUNKS: readonly Uint8Array[] = [];
/** Initial buffer for a body of unknown length, in bytes. */
const FIRST_BYTES = 4_096;

async function readChunks(
  chunks: ReadableStream<Uint8Array> | readonly Uint8Array[],
  limit: number,
): Promise<ArrayBuffer> {
  // Copied into one buffer: as a list, a body in one-byte chunks would take a hundred times its size.
  let bytes = new Uint8Array(Math.min(limit, FIRST_BYTES));
  let size = 0;
  for await (const chunk of chunks) {
    const end = size + chunk.length;
    if (end > limit) throw tooLarge(limit);
    if (end > bytes.length) {
      const larger = new Uint8Array(Math.min(limit, Math.max(2 * bytes.length, end)));
      larger.set(bytes.subarray(0, size));
      bytes = larger;
    }
    bytes.set(chunk, size);
    size = end;
  }
  return bytes.buffer.slice(0, size);
}

function tooLarge(limit: number): HttpRefusal {
  // The rest of the body is not read, so the connection cannot be reused.
  const headers = { Connection: 'close' };
  const details = { field: 'body', limit };
  return new HttpRefusal(413, 'LIMIT_EXCEEDED', `The body is larger than ${limit} bytes.`, details, headers);
}

/** Nesting limit of a body: that of a frame, plus what a request may wrap around it. */
const MAX_LEVELS = MAX_NESTING + 4;

/** Parses one JSON object, by the same rules as a frame; `{}` for an empty body. */
export function readJson(bytes: ArrayBuffer): JsonObject {
  if (bytes.byteLength === 0) return {};
  const value = parseBody(bytes);
  if (isObject(value)) return value;
  throw new BusError('INVALID_JSON', 'The body must be one JSON object.');
}

/** Parses one JSON object, or an array of them. */
export function readObjects(bytes: ArrayBuffer): JsonObject[] {
  const value = parseBody(bytes);
  const list: unknown[] = Array.isArray(value) ? value : [value];
  if (list.every(isObject)) return list;
  throw new BusError('INVALID_JSON', 'The body must be one JSON object, or an array of them.');
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function parseBody(bytes: ArrayBuffer): unknown {
  try {
    return parseJson(new TextDecoder('utf-8', { fatal: true }).decode(bytes), 'body', MAX_LEVELS);
  } catch (error) {
    if (error instanceof BusError) throw error;
    throw new BusError('INVALID_JSON', 'The body is not valid JSON in UTF-8; send one JSON object.');
  }
}
