import { STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';

const ERROR_CODES: Readonly<Record<number, string>> = {
  400: 'VALIDATION_ERROR',
  401: 'AUTHENTICATION_FAILED',
  403: 'AUTHORIZATION_ERROR',
  426: 'VALIDATION_ERROR',
  503: 'LIMIT_EXCEEDED',
};

/** The body of every HTTP refusal of a handshake; without a code of its own, the status has one. */
export function refusalBody(status: number, details: string, code: string | undefined = ERROR_CODES[status]): string {
  return JSON.stringify({ error: STATUS_CODES[status], error_code: code, details });
}

export function refusalHeaders(status: number): Record<string, string> {
  return {
    'Content-Type': 'application/json',
    ...(status === 401 ? { 'WWW-Authenticate': 'Bearer realm="arqonbus"' } : {}),
    ...(status === 503 ? { 'Retry-After': '5' } : {}),
    ...(status === 426 ? { Upgrade: 'websocket' } : {}),
  };
}

/** Answers a WebSocket handshake with an HTTP refusal; the socket was never opened (PROTOCOL section 1). */
export function refuseUpgrade(socket: Duplex, status: number, details: string, code?: string): void {
  const body = refusalBody(status, details, code);
  const headers = {
    ...refusalHeaders(status),
    'Content-Length': String(Buffer.byteLength(body)),
    Connection: 'close',
  };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  // A peer that has gone away meanwhile is no fault of ours.
  socket.on('error', () => socket.destroy());
  socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${lines.join('')}\r\n${body}`);
}
