import { WebSocket } from 'ws';
import type { OpenSocket, SocketEnd } from './socket.ts';

/** Maximum size of a refusal's body that is read for its `error_code`. */
const MAX_REFUSAL_BYTES = 16_384;

/**
 * Uses `ws`, since Node.js 20 has no WebSocket. The token is sent in the `Authorization` header, so redirects are
 * refused: they could carry the token to another server.
 */
export const openSocket: OpenSocket = ({ url, protocols, token, headers }, events) => {
  const socket = new WebSocket(url, [...protocols], {
    headers: { ...headers, ...(token && { authorization: `Bearer ${token}` }) },
    followRedirects: false,
  });
  let line: { readonly bytesRead: number } | undefined;
  socket.on('upgrade', (response) => {
    line = response.socket;
  });
  let over = false;
  const end = (ending: SocketEnd): void => {
    if (over) return;
    over = true;
    events.ended(ending);
  };
  let failure = '';
  socket.on('error', (error: Error & { code?: string }) => {
    // A name with several addresses fails with an error that has a code but no message.
    failure = error.message || (error.code ?? 'unknown error');
  });
  socket.on('close', (code, reason) => end({ code, reason: reason.toString() || failure }));
  socket.on('message', (data, isBinary) => {
    events.alive();
    if (!isBinary) events.message(data.toString());
  });
  socket.on('ping', () => events.alive());
  socket.on('pong', () => events.alive());
  socket.on('unexpected-response', (_request, response) => {
    let body = '';
    const refuse = (): void => {
      const { error, details, error_code } = readRefusal(body);
      const wait = Number(response.headers['retry-after']);
      end({
        code: 1006,
        reason: [error, details].filter((part) => part !== undefined).join(': '),
        ...(response.statusCode === undefined ? {} : { status: response.statusCode }),
        ...(error_code === undefined ? {} : { errorCode: error_code }),
        ...(wait > 0 ? { retryAfterMs: wait * 1000 } : {}),
      });
      socket.terminate();
    };
    response.setEncoding('utf8');
    response.on('data', (chunk: string) => {
      body += chunk;
      if (body.length > MAX_REFUSAL_BYTES) refuse();
    });
    response.on('end', refuse);
    response.on('error', refuse);
  });
  return {
    get bufferedAmount() {
      return socket.bufferedAmount;
    },
    get bytesReceived() {
      return line?.bytesRead ?? 0;
    },
    send: (text) => socket.send(text),
    close: (code) => socket.close(code),
    terminate: () => socket.terminate(),
    pause: (paused) => {
      if (paused) socket.pause();
      else socket.resume();
    },
  };
};

function readRefusal(body: string): { error?: string; details?: string; error_code?: string } {
  let parsed: unknown;
  try {
    parsed = JSON.parse(body);
  } catch {
    return {};
  }
  if (typeof parsed !== 'object' || parsed === null) return {};
  const fields = Object.entries(parsed).filter(([, value]) => typeof value === 'string');
  return Object.fromEntries(fields) as { error?: string; details?: string; error_code?: string };
}
