import { type IncomingMessage, type Server, type ServerResponse, STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import type { ErrorCode } from '@arqonbus/protocol';

/** How long a refused peer may take to close its side before the connection is cut, in milliseconds. */
const LINGER_MS = 1_000;

/** `Retry-After` in seconds: of a full node, and of one shutting down, since other nodes can accept at once. */
export const RETRY_AFTER_S = 5;
export const DRAINING_S = 1;

const ERROR_CODES: Readonly<Record<number, ErrorCode>> = {
  404: 'NOT_FOUND',
  400: 'VALIDATION_ERROR',
  401: 'AUTHENTICATION_FAILED',
  403: 'AUTHORIZATION_ERROR',
  405: 'VALIDATION_ERROR',
  408: 'VALIDATION_ERROR',
  413: 'LIMIT_EXCEEDED',
  426: 'VALIDATION_ERROR',
  429: 'LIMIT_EXCEEDED',
  431: 'LIMIT_EXCEEDED',
  503: 'LIMIT_EXCEEDED',
};

export const NO_WEBSOCKET = 'This port speaks WebSocket over HTTP/1.1; connect with a WebSocket client.';

/** The body of an HTTP refusal of a handshake; the default code depends on the status. */
export function refusalBody(status: number, details: string, code: string | undefined = ERROR_CODES[status]): string {
  return JSON.stringify({ error: STATUS_CODES[status], error_code: code, details });
}

/** `retryAfter` in seconds applies to statuses that allow a retry. */
export function refusalHeaders(status: number, retryAfter: number = RETRY_AFTER_S): Record<string, string> {
  return {
    'Content-Type': 'application/json',
    ...(status === 401 ? { 'WWW-Authenticate': 'Bearer realm="arqonbus"' } : {}),
    ...(status === 405 ? { Allow: 'GET' } : {}),
    ...(status === 503 || status === 429 ? { 'Retry-After': `${retryAfter}` } : {}),
    ...(status === 426 ? { Upgrade: 'websocket', 'Sec-WebSocket-Version': '13' } : {}),
  };
}

/** Answers a WebSocket handshake with an HTTP refusal, without opening the socket (PROTOCOL section 1). */
export function refuseUpgrade(
  socket: Duplex,
  status: number,
  details: string,
  code?: string,
  retryAfter?: number,
): void {
  answerAndClose(socket, status, refusalHeaders(status, retryAfter), refusalBody(status, details, code));
}

/** Writes an HTTP response to a socket that is not (or no longer) handled by an HTTP server, and ends it. */
export function answerAndClose(
  socket: Duplex,
  status: number,
  headers: Readonly<Record<string, string>>,
  body: string,
): void {
  const all = { ...headers, 'Content-Length': String(Buffer.byteLength(body)), Connection: 'close' };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  // The peer may already have disconnected.
  socket.on('error', () => socket.destroy());
  socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${lines.join('')}\r\n${body}`);
  // Closing while the peer still sends would reset the connection, and the response could be lost.
  socket.resume();
  const overdue = setTimeout(() => socket.destroy(), LINGER_MS).unref();
  socket.once('close', () => clearTimeout(overdue));
}

/** Refuses an upgrade that is not a valid WebSocket handshake (RFC 6455 section 4.2.1); returns the status. */
export function refuseMalformed(socket: Duplex, request: IncomingMessage, fault: string): number {
  const [status, details] = explain(request, fault);
  refuseUpgrade(socket, status, details);
  return status;
}

/** Whether an upgrade is to WebSocket, and not to HTTP/2 or anything else. */
export function isWebSocket({ headers }: IncomingMessage): boolean {
  return headers.upgrade?.toLowerCase() === 'websocket';
}

/** @param fault the error message of `ws`, which names the header */
function explain(request: IncomingMessage, fault: string): [status: number, details: string] {
  if (!isWebSocket(request)) return [426, NO_WEBSOCKET];
  if (request.method !== 'GET') return [405, 'A WebSocket handshake is a GET request.'];
  if (fault.includes('Version')) return [426, 'Send the header "Sec-WebSocket-Version: 13".'];
  if (fault.includes('Key')) return [400, 'Send the header Sec-WebSocket-Key with 16 random bytes in base64.'];
  if (fault.includes('Protocol')) {
    return [400, 'The header Sec-WebSocket-Protocol must name each subprotocol once, separated by commas.'];
  }
  if (fault.includes('Extensions')) return [400, 'The header Sec-WebSocket-Extensions cannot be read; leave it out.'];
  return [400, fault];
}

/**
 * Answers requests that are not valid HTTP/1.1, or time out. Only for our own servers: another program's server handles
 * such peers itself.
 */
export function answerUnreadable(
  server: Server,
  answer: (socket: Duplex, status: number, code: ErrorCode, sentence: string) => void,
): void {
  const responses = new WeakMap<Duplex, ServerResponse>();
  server.on('request', (request, response) => responses.set(request.socket, response));
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    // The parser reports an error for every further chunk while the socket closes.
    if (socket.writableEnded) return;
    const response = responses.get(socket);
    const isMidway = response?.headersSent === true && !response.writableFinished;
    if (!socket.writable || isMidway) {
      socket.destroy();
      return;
    }
    const [status, sentence] = explainUnreadable(error.code);
    answer(socket, status, ERROR_CODES[status] ?? 'VALIDATION_ERROR', sentence);
  });
}

function explainUnreadable(code: string | undefined): [status: number, details: string] {
  switch (code) {
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return [408, 'The request did not arrive in time; send it without delay.'];
    case 'HPE_HEADER_OVERFLOW':
      return [431, 'The request line and headers are larger than 16 KiB; send less in them.'];
    case 'HPE_CHUNK_EXTENSIONS_OVERFLOW':
      return [413, 'The extensions of the chunks are larger than 16 KiB; send none.'];
    case 'HPE_PAUSED_H2_UPGRADE':
      return [426, 'This port speaks HTTP/1.1 and not HTTP/2.'];
    default:
      return [400, 'This is not a valid HTTP/1.1 request.'];
  }
}
