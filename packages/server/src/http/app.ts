import type { IncomingMessage, ServerResponse } from 'node:http';
import { checkOrigin } from '@arqonbus/bus';
import { BusError, type ErrorCode } from '@arqonbus/protocol';
import type { HttpBindings } from '@hono/node-server';
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response';
import { OpenAPIHono } from '@hono/zod-openapi';
import type { Context, MiddlewareHandler } from 'hono';
import { cors } from 'hono/cors';
import { secureHeaders } from 'hono/secure-headers';
import type { ContentfulStatusCode } from 'hono/utils/http-status';
import { TOKEN_PARAMETERS } from '../auth/credentials.ts';
import { assertBodyType, readBody, readJson, readObjects } from './body.ts';
import type { Caller, Credentials } from './credentials.ts';
import { describeRoute, ERROR_SCHEMA } from './openapi.ts';
import { HttpRefusal, problem, Reply, Takeover } from './reply.ts';
import { type AnyRoute, listsOf, readTexts, type Texts } from './route.ts';

export interface AppRules {
  readonly credentials: Credentials;
  /** Checks origin and host: returns the reason to refuse the request, or null. */
  readonly checkOrigin: (request: IncomingMessage) => string | null;
  /** Whether a page of this origin could open a WebSocket; if so, it may also read responses of `user` routes. */
  readonly allowsOrigin: (request: IncomingMessage) => boolean;
  /** Origins, or globs of their hosts, whose pages may read responses. */
  readonly corsOrigins: readonly string[];
  readonly maxBodyBytes: number;
  /** Whether `/metrics` is public. */
  readonly openMetrics: boolean;
  /** The part of an internal error shown to the caller; the rest is logged. */
  readonly internal: (error: unknown) => BusError;
  /** Called for every response, and for every error with its code. */
  readonly onAnswered: (status: number) => void;
  readonly onFailed: (code: ErrorCode) => void;
}

/** Results of the steps before a route. */
interface Found {
  caller: Caller;
  /** The query, without the tenant. */
  texts: Texts;
}

interface AppTypes {
  Bindings: HttpBindings;
  Variables: Found;
}

export type App = OpenAPIHono<AppTypes>;
type AppContext = Context<AppTypes>;
type Step = MiddlewareHandler<AppTypes>;

/** How long a browser may cache a preflight response, in seconds. */
const PREFLIGHT_SECONDS = 600;

/** Serves the routes. Every request passes the same steps: CORS, host, origin, credentials, form, body, the route. */
export function createApp(routes: readonly AnyRoute[], rules: AppRules): App {
  const app: App = new OpenAPIHono<AppTypes>();
  const at = lookUp(routes);
  // HSTS applies to a host name with all its ports, so the owner of the name has to decide about it.
  app.use(secureHeaders({ strictTransportSecurity: false }));
  app.use(corsStep(rules, at));
  app.use(async (c, next) => {
    await next();
    rules.onAnswered(c.res.status);
  });
  app.use(async (c, next) => {
    const isOpen = at(c.req.path).some(({ access }) => access === 'open' || access === 'metrics');
    assertHost(c.env.incoming, isOpen);
    if (!isOpen) assertOrigin(c.env.incoming, rules);
    await next();
  });
  const error = app.openAPIRegistry.register('Error', ERROR_SCHEMA);
  for (const one of routes) {
    app.openAPIRegistry.registerPath(describeRoute(one, error));
    const answer = async (c: AppContext): Promise<Response> => respond(c, await run(c, one, rules.maxBodyBytes));
    // OpenAPI's `{name}` is `:name` in Hono.
    const path = one.path.replaceAll(/\{(\w+)\}/g, ':$1');
    if (one.method === 'get') app.get(path, identify(one, rules), answer);
    else if (one.method === 'delete') app.delete(path, identify(one, rules), answer);
    else app.post(path, identify(one, rules), assertJson, answer);
  }
  app.notFound((c) => send(c, elsewhere(c, at(c.req.path))));
  app.onError((failed, c) => {
    const refused = failed instanceof BusError ? failed : rules.internal(failed);
    rules.onFailed(refused.code);
    return send(c, problem(refused));
  });
  return app;
}

/** Finds the routes for a path; parameters match one segment. */
function lookUp(routes: readonly AnyRoute[]): (path: string) => AnyRoute[] {
  const patterns = routes.map((route) => {
    const parts = route.path.split('/').map((part) => (part.startsWith('{') ? '[^/]+' : part.replaceAll('.', '\\.')));
    return { pattern: new RegExp(`^${parts.join('/')}$`), route };
  });
  return (path) => patterns.filter(({ pattern }) => pattern.test(path)).map(({ route }) => route);
}

/** The methods of a path, for the `Allow` header. */
function methodsOf(routes: readonly AnyRoute[]): string[] {
  const methods = new Set(routes.map(({ method }) => method.toUpperCase()));
  if (methods.has('GET')) methods.add('HEAD');
  return [...methods, 'OPTIONS'];
}

/** Lets pages of listed origins read responses, never with browser credentials. */
function corsStep({ corsOrigins, allowsOrigin }: AppRules, at: (path: string) => AnyRoute[]): Step {
  const forUsers = (c: Context): boolean => at(c.req.path).some(({ access }) => access === 'user');
  const mayRead = (origin: string, c: Context): boolean =>
    isListed(origin, corsOrigins) || (origin !== '' && forUsers(c) && allowsOrigin((c as AppContext).env.incoming));
  const answer = cors({
    origin: (origin, c) => (mayRead(origin, c) ? origin : null),
    allowMethods: (_origin, c) => methodsOf(at(c.req.path)),
    allowHeaders: ['Authorization', 'Content-Type', 'X-API-Key', 'Last-Event-ID'],
    maxAge: PREFLIGHT_SECONDS,
  });
  return (c, next) => {
    if (corsOrigins.length === 0 && !forUsers(c)) return next();
    const isPlainQuestion = c.req.method === 'OPTIONS' && c.req.header('access-control-request-method') === undefined;
    return isPlainQuestion ? next() : answer(c, next);
  };
}

/** With no own host to compare with, only the list of origins applies. */
function isListed(origin: string, allowedOrigins: readonly string[]): boolean {
  const rule = { listeningOnLoopback: false, allowedOrigins, allowedHosts: [] };
  return origin !== '' && checkOrigin({ origin, host: undefined }, rule) === null;
}

/** HTTP/1.0 has no Host header, and some load balancer health checks still use it. */
function assertHost({ headers: { host = '' }, httpVersion }: IncomingMessage, isOpen: boolean): void {
  if (host !== '' || (isOpen && httpVersion === '1.0')) return;
  throw new HttpRefusal(400, 'VALIDATION_ERROR', 'The request has no Host header; send one.', { field: 'Host' });
}

function assertOrigin(request: IncomingMessage, rules: AppRules): void {
  const reason = rules.checkOrigin(request);
  if (reason !== null) throw new HttpRefusal(403, 'AUTHORIZATION_ERROR', reason, { field: 'Origin' });
}

function identify(one: AnyRoute, rules: AppRules): Step {
  const access = one.access === 'metrics' && rules.openMetrics ? 'open' : one.access;
  const { takesQueryToken = false } = one;
  const lists = listsOf(one);
  const tokens = new Set<string>(takesQueryToken ? TOKEN_PARAMETERS : []);
  return async (c, next) => {
    // Probes and scrapers may add any query parameters.
    const { tenant = null, ...texts } = access === 'open' ? {} : queryTexts(c.req.url, lists, tokens);
    c.set('texts', texts);
    const how = { access, takesQueryToken };
    c.set('caller', await rules.credentials.identify(c.env.incoming, how, tenant as string | null));
    await next();
  };
}

/** Repeated parameters are refused unless they are lists. Tokens are left out; they are read with the credentials. */
function queryTexts(url: string, lists: ReadonlySet<string>, tokens: ReadonlySet<string>): Texts {
  const texts: Record<string, string | string[]> = Object.create(null);
  for (const [name, value] of new URL(url).searchParams) {
    if (tokens.has(name)) continue;
    if (lists.has(name)) {
      texts[name] = [...(texts[name] ?? []), value];
      continue;
    }
    if (name in texts) {
      const field = name.slice(0, 140);
      throw new BusError('VALIDATION_ERROR', `Parameter "${field}": send it once.`, { field });
    }
    texts[name] = value;
  }
  return texts;
}

/** Checked before the parameters, so that HTML forms get no details about them. */
const assertJson: Step = async (c, next) => {
  assertBodyType(c.env.incoming.headers);
  await next();
};

async function run(c: AppContext, one: AnyRoute, maxBodyBytes: number): Promise<Reply | Takeover> {
  const query = readTexts(one.query, c.get('texts'));
  const params = readTexts(one.params, c.req.param() as Record<string, string>);
  const sent = one.method === 'post' ? await readBody(c.req.raw, c.env.incoming, maxBodyBytes) : NOTHING;
  const list = one.takesList === true ? readObjects(sent) : [];
  const body = one.takesList === true ? {} : readJson(sent);
  const { incoming } = c.env;
  const { signal } = c.req.raw;
  const answer = await one.run({ caller: c.get('caller'), query, params, body, list, incoming, signal });
  return answer instanceof Reply || answer instanceof Takeover ? answer : new Reply(one.status ?? 200, answer);
}

const NOTHING = new ArrayBuffer(0);

function respond(c: AppContext, answer: Reply | Takeover): Response {
  if (answer instanceof Reply) return send(c, answer);
  const { outgoing } = c.env;
  // The caller has disconnected: nothing would ever end what is opened now.
  if (outgoing.closed) return RESPONSE_ALREADY_SENT;
  // Headers set by earlier steps, mainly CORS.
  for (const [name, value] of c.res.headers) outgoing.setHeader(name, value);
  outgoing.setHeader('X-Content-Type-Options', 'nosniff');
  answer.open(outgoing as ServerResponse);
  return RESPONSE_ALREADY_SENT;
}

/** The response to a request that matches no route. */
function elsewhere(c: AppContext, routes: readonly AnyRoute[]): Reply {
  if (routes.length === 0) {
    const path = c.req.path.slice(0, 256);
    throw new HttpRefusal(404, 'NOT_FOUND', 'There is no such route; GET /openapi.json lists them.', { path });
  }
  const allowed = methodsOf(routes);
  const headers = { Allow: allowed.join(', ') };
  if (c.req.method === 'OPTIONS') return new Reply(204, '', headers);
  throw new HttpRefusal(405, 'VALIDATION_ERROR', `This route takes ${headers.Allow}.`, { allowed }, headers);
}

function send(c: AppContext, reply: Reply): Response {
  const { status, body, headers, afterwards } = reply;
  const { outgoing } = c.env;
  if (afterwards !== undefined && outgoing.closed) setImmediate(afterwards);
  else if (afterwards !== undefined) outgoing.once('close', afterwards);
  for (const [name, value] of Object.entries(headers)) c.header(name, value);
  if (status === 204) return c.body(null, status);
  if (typeof body === 'string') return c.body(body, status as ContentfulStatusCode);
  c.header('Content-Type', 'application/json');
  return c.body(JSON.stringify(body), status as ContentfulStatusCode);
}
