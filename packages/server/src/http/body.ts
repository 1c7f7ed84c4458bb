import { BusError, type JsonObject, MAX_NESTING, parseJson } from '@arqonbus/protocol';
import { HttpRefusal } from './reply.ts';

const JSON_TYPE = /^application\/(?:[a-z0-9.+-]+\+)?json\s*(?:;|$)/i;

/** Whether a `Content-Type` says JSON: what no HTML form can send. */
export function isJson(contentType: string | undefined): boolean {
  return contentType !== undefined && JSON_TYPE.test(contentType.trim());
}

/** Levels of a body: those of a frame, and what a request may wrap around it. */
const MAX_LEVELS = MAX_NESTING + 4;

/**
 * The request's body, a JSON object as the bus takes it from a socket too; `{}` when it is empty. Reads no more than
 * `maxBytes`: 413.
 */
export async function readJson(request: Request, maxBytes: number): Promise<JsonObject> {
  const bytes = await readBytes(request, maxBytes);
  if (bytes.length === 0) return {};
  let value: unknown;
  try {
    value = parseJson(new TextDecoder('utf-8', { fatal: true }).decode(bytes), 'body', MAX_LEVELS);
  } catch (error) {
    if (error instanceof BusError) throw error;
    throw new BusError('INVALID_JSON', 'The body is not valid JSON in UTF-8; send one JSON object.');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new BusError('INVALID_JSON', 'The body must be one JSON object.');
  }
  return value as JsonObject;
}

async function readBytes(request: Request, maxBytes: number): Promise<Buffer> {
  if (Number(request.headers.get('content-length') ?? 0) > maxBytes) throw tooLarge(maxBytes);
  if (request.body === null) return Buffer.alloc(0);
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of request.body as unknown as AsyncIterable<Uint8Array>) {
    size += chunk.length;
    if (size > maxBytes) throw tooLarge(maxBytes);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function tooLarge(maxBytes: number): HttpRefusal {
  const details = { field: 'body', limit: maxBytes };
  // What is left of the body is not worth reading, so the connection cannot be used again.
  return new HttpRefusal(413, 'LIMIT_EXCEEDED', `The body is larger than ${maxBytes} bytes.`, details, {
    Connection: 'close',
  });
}
