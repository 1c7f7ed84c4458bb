import type { IncomingMessage } from 'node:http';
import { BusError, type ErrorCode } from '@arqonbus/protocol';
import type { HttpBindings } from '@hono/node-server';
import { OpenAPIHono } from '@hono/zod-openapi';
import type { Context } from 'hono';
import type { ContentfulStatusCode } from 'hono/utils/http-status';
import { isJson, readJson } from './body.ts';
import { corsHeaders, isPreflight, preflightHeaders } from './cors.ts';
import type { Credentials } from './credentials.ts';
import { describeRoute, ERROR_SCHEMA, honoPath } from './openapi.ts';
import { PathTable } from './paths.ts';
import { HttpRefusal, problem, Reply } from './reply.ts';
import { type AnyRoute, readTexts } from './route.ts';

export interface AppRules {
  readonly credentials: Credentials;
  /** The origin and host rule: why the request must not go on, or null. */
  readonly checkOrigin: (request: IncomingMessage) => string | null;
  /** Origins, or globs of their hosts, whose pages may read answers. */
  readonly corsOrigins: readonly string[];
  readonly maxBodyBytes: number;
  /** Whether `/metrics` is open to everybody. */
  readonly openMetrics: boolean;
  /** What a caller may know of a fault of the server's own; the rest goes to the log. */
  readonly internal: (error: unknown) => BusError;
  /** Told of every answer, and of every error by its code. */
  readonly onAnswered: (status: number) => void;
  readonly onFailed: (code: ErrorCode) => void;
}

export type App = OpenAPIHono<{ Bindings: HttpBindings }>;
type AppContext = Context<{ Bindings: HttpBindings }>;

/** Serves the routes. Every request passes the same steps: CORS, origin, credentials, form, body, the route itself. */
export function createApp(routes: readonly AnyRoute[], rules: AppRules): App {
  const app: App = new OpenAPIHono();
  const paths = new PathTable(routes);
  app.use('*', async (c, next) => {
    c.header('X-Content-Type-Options', 'nosniff');
    for (const [name, value] of corsHeaders(c.req.header('origin'), rules.corsOrigins)) c.header(name, value);
    await next();
    rules.onAnswered(c.res.status);
  });
  app.use('*', async (c, next) => {
    const isOpen = paths.isOpen(c.req.path);
    assertHost(c.env.incoming, isOpen);
    if (!isOpen) assertOrigin(c, rules);
    await next();
  });
  const error = app.openAPIRegistry.register('Error', ERROR_SCHEMA);
  for (const one of routes) {
    app.openAPIRegistry.registerPath(describeRoute(one, error));
    app.on(one.method.toUpperCase(), honoPath(one.path), async (c) => send(c, await serve(c, one, rules)));
  }
  app.notFound((c) => send(c, elsewhere(c, paths, rules)));
  app.onError((error, c) => {
    const refused = error instanceof BusError ? error : rules.internal(error);
    rules.onFailed(refused.code);
    return send(c, problem(refused));
  });
  return app;
}

/** HTTP/1.0 has no Host, and the plain checks of load balancers still speak it. */
function assertHost({ headers: { host = '' }, httpVersion }: IncomingMessage, isOpen: boolean): void {
  if (host !== '' || (isOpen && httpVersion === '1.0')) return;
  throw new HttpRefusal(400, 'VALIDATION_ERROR', 'The request has no Host header; send one.', { field: 'Host' });
}

function assertOrigin(c: AppContext, rules: AppRules): void {
  const reason = rules.checkOrigin(c.env.incoming);
  if (reason !== null) throw new HttpRefusal(403, 'AUTHORIZATION_ERROR', reason, { field: 'Origin' });
}

async function serve(c: AppContext, one: AnyRoute, rules: AppRules): Promise<Reply> {
  const access = one.access === 'metrics' && rules.openMetrics ? 'open' : one.access;
  // Probes and scrapers may add what they like to the addresses they poll.
  const { tenant = null, ...texts } = access === 'open' ? {} : queryTexts(c.req.url);
  const caller = await rules.credentials.identify(c.env.incoming, access, tenant);
  const changes = one.method === 'post';
  if (changes && !isJson(c.req.header('content-type'))) {
    throw new HttpRefusal(415, 'VALIDATION_ERROR', 'Send the header "Content-Type: application/json".', {
      field: 'Content-Type',
      expected: 'application/json',
    });
  }
  const query = readTexts(one.query, texts);
  const params = readTexts(one.params, c.req.param() as Record<string, string>);
  const body = changes ? await readJson(c.req.raw, rules.maxBodyBytes) : {};
  const answer = await one.run({ caller, query, params, body });
  return answer instanceof Reply ? answer : new Reply(one.status ?? 200, answer);
}

/** The answer to a request that no route takes. */
function elsewhere(c: AppContext, paths: PathTable, rules: AppRules): Reply {
  const allowed = paths.allowedAt(c.req.path);
  if (allowed === null) {
    const path = c.req.path.slice(0, 256);
    return problem(
      new HttpRefusal(404, 'NOT_FOUND', 'There is no such route; GET /openapi.json lists them.', { path }),
    );
  }
  const Allow = allowed.join(', ');
  if (c.req.method === 'OPTIONS') {
    const asked = isPreflight(c.req.raw.headers) && corsHeaders(c.req.header('origin'), rules.corsOrigins).length > 0;
    return new Reply(204, '', { Allow, ...(asked ? preflightHeaders(Allow) : {}) });
  }
  throw new HttpRefusal(405, 'VALIDATION_ERROR', `This route takes ${Allow}.`, { allowed }, { Allow });
}

/** Each parameter once: which of two values counts is nothing to guess about. */
function queryTexts(url: string): Record<string, string> {
  const texts: Record<string, string> = Object.create(null);
  for (const [name, value] of new URL(url).searchParams) {
    if (name in texts) {
      const field = name.slice(0, 140);
      throw new BusError('VALIDATION_ERROR', `Parameter "${field}": send it once.`, { field });
    }
    texts[name] = value;
  }
  return texts;
}

function send(c: AppContext, reply: Reply): Response {
  const { status, body, headers, afterwards } = reply;
  if (afterwards !== undefined) c.env.outgoing.once('close', afterwards);
  for (const [name, value] of Object.entries(headers)) c.header(name, value);
  if (status === 204) return c.body(null, status);
  if (typeof body === 'string') return c.body(body, status as ContentfulStatusCode);
  c.header('Content-Type', 'application/json');
  return c.body(JSON.stringify(body), status as ContentfulStatusCode);
}
