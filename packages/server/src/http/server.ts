import { createServer as createHttpServer, type RequestListener, type Server } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { answerAndClose, answerUnreadable, HANDSHAKE_LIMITS, type Tls } from '@arqonbus/bus';
import { getRequestListener, RequestError } from '@hono/node-server';
import type { App } from './app.ts';
import { HttpRefusal, problem } from './reply.ts';

/** Time limit for receiving a whole request, in milliseconds. */
const REQUEST_TIMEOUT_MS = 30_000;
/** Idle timeout of a connection between requests; Node adds a second to the advertised value. */
const KEEP_ALIVE_MS = 4_000;
/** Time limit for open requests when the server stops. */
const GRACE_MS = 1_000;

/** The request listener of an app. */
export function listenerOf(app: App): RequestListener {
  return getRequestListener(app.fetch, {
    overrideGlobalObjects: false,
    // Used for requests without a host, which the app then checks.
    hostname: 'localhost',
    errorHandler: refuseUnreadable,
  });
}

/** Creates the HTTP server for an app; it does not listen yet. */
export function createAppServer(listener: RequestListener, tls: Tls | null): Server {
  const options = { ...HANDSHAKE_LIMITS, requestTimeout: REQUEST_TIMEOUT_MS, keepAliveTimeout: KEEP_ALIVE_MS };
  const server =
    tls === null ? createHttpServer(options, listener) : createHttpsServer({ ...options, ...tls }, listener);
  // Without this listener Node responds with an empty body.
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

/** The app handles its own errors; this covers requests whose URL cannot be parsed. */
function refuseUnreadable(error: unknown): Response {
  if (!(error instanceof RequestError)) throw error;
  const sentence = 'The Host header and the request target do not make a valid address.';
  const { status, body } = problem(new HttpRefusal(400, 'VALIDATION_ERROR', sentence, { field: 'Host' }));
  return Response.json(body, { status });
}

/** Stops accepting requests, waits for the open ones, then closes the remaining connections. */
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
