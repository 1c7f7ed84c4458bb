import { createServer as createHttpServer, type RequestListener, type Server } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { answerAndClose, answerUnreadable, HANDSHAKE_LIMITS, type Tls } from '@arqonbus/bus';
import { getRequestListener, RequestError } from '@hono/node-server';
import type { App } from './app.ts';
import { HttpRefusal, problem } from './reply.ts';

/** Time for a caller to send its whole request, in milliseconds. */
const REQUEST_TIMEOUT_MS = 30_000;
/** How long an answered connection may wait for its next request; Node adds a second to what it tells callers. */
const KEEP_ALIVE_MS = 4_000;
/** How long requests under way may take to end once the server stops. */
const GRACE_MS = 1_000;

/** What a server hands its requests to. */
export function listenerOf(app: App): RequestListener {
  return getRequestListener(app.fetch, {
    overrideGlobalObjects: false,
    // Stands in where a request names no host, which the app then judges.
    hostname: 'localhost',
    errorHandler: refuseUnreadable,
  });
}

/** The HTTP server around an app; it does not listen yet. */
export function createAppServer(listener: RequestListener, tls: Tls | null): Server {
  const options = { ...HANDSHAKE_LIMITS, requestTimeout: REQUEST_TIMEOUT_MS, keepAliveTimeout: KEEP_ALIVE_MS };
  const server =
    tls === null ? createHttpServer(options, listener) : createHttpsServer({ ...options, ...tls }, listener);
  // Without a listener of its own Node answers with an empty body.
  server.on('checkExpectation', (request, response) => {
    const sentence = 'Send the header "Expect: 100-continue", or none.';
    const { status, body } = problem(new HttpRefusal(417, 'VALIDATION_ERROR', sentence, { field: 'Expect' }));
    response.writeHead(status, { 'Content-Type': 'application/json', Connection: 'close' });
    response.end(JSON.stringify(body));
    request.resume();
  });
  answerUnreadable(server, (socket, status, code, sentence) => {
    const { body, headers } = problem(new HttpRefusal(status, code, sentence));
    const all = { ...headers, 'Content-Type': 'application/json', ...(status === 426 ? { Upgrade: 'HTTP/1.1' } : {}) };
    answerAndClose(socket, status, all, JSON.stringify(body));
  });
  return server;
}

/** The app answers its own faults; what is left is a request that no URL can be made of. */
function refuseUnreadable(error: unknown): Response {
  if (!(error instanceof RequestError)) throw error;
  const sentence = 'The Host header and the request target do not make a valid address.';
  const { status, body } = problem(new HttpRefusal(400, 'VALIDATION_ERROR', sentence, { field: 'Host' }));
  return Response.json(body, { status });
}

/** Takes no more requests, lets those under way end, and cuts what then is still open. */
export function closeAppServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    const overdue = setTimeout(() => server.closeAllConnections(), GRACE_MS);
    server.close(() => {
      clearTimeout(overdue);
      resolve();
    });
    server.closeIdleConnections();
  });
}
