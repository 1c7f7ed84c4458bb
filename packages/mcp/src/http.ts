import { once } from 'node:events';
import { createServer as createHttpServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { ArqonBusError, AuthenticationError } from '@arqonbus/client';
import {
  localhostHostValidation,
  localhostOriginValidation,
  originValidation,
  toNodeHandler,
} from '@modelcontextprotocol/node';
import { type AuthInfo, createMcpHandler, type McpRequestContext } from '@modelcontextprotocol/server';
import type { Agent, AgentOptions } from './agent.ts';
import { Agents } from './agents.ts';
import { createServer, type ServerOptions } from './server.ts';
import { checkChannels } from './tools/channel-tool.ts';

const PATH = '/mcp';
const MAX_BODY = 1_048_576;
const MAX_TOKEN = 16_384;
const MAX_CONNECTIONS = 1_024;
const HEADERS_MS = 10_000;

export interface HttpOptions extends ServerOptions {
  /** The address of the bus; the identity comes from each caller's token. */
  readonly bus: Omit<AgentOptions, 'token' | 'subject'>;
  readonly port: number;
  /** Default: 127.0.0.1. */
  readonly host?: string;
  /** Maximum connected agents (default 256). */
  readonly maxAgents?: number;
  /** Maximum concurrent calls of one agent (default 32). */
  readonly maxCalls?: number;
  /** How long an unused connection to the bus stays open, milliseconds (default 600,000). */
  readonly idleMs?: number;
  readonly report: (error: Error) => void;
}

/** Serves agents over streamable HTTP at `/mcp`: each caller's bearer token is used on the bus. */
export class McpHttp {
  readonly url: string;
  private readonly server: Server;
  private readonly agents: Agents;
  private readonly closeHandler: () => Promise<void>;

  private constructor(server: Server, agents: Agents, host: string, closeHandler: () => Promise<void>) {
    this.server = server;
    this.agents = agents;
    this.closeHandler = closeHandler;
    const { port } = server.address() as AddressInfo;
    this.url = `http://${host.includes(':') ? `[${host}]` : host}:${port}${PATH}`;
  }

  /**
   * Resolves when it listens; rejects if the port is taken, and with INVALID_ARGUMENT for channels that cannot be
   * tools.
   */
  static async start(options: HttpOptions): Promise<McpHttp> {
    const { host = '127.0.0.1', port, bus, report, channels } = options;
    checkChannels(channels ?? []);
    const { maxAgents = 256, maxCalls = 32, idleMs = 600_000 } = options;
    const agents = new Agents({ bus, maxAgents, maxCalls, idleMs, report });
    const make = ({ authInfo }: McpRequestContext): ReturnType<typeof createServer> =>
      createServer(authInfo?.extra?.agent as Agent, channels === undefined ? {} : { channels });
    const handler = createMcpHandler(make, { onerror: report, maxRequestBodySize: MAX_BODY });
    const serve = toNodeHandler(handler, { onerror: report, maxRequestBodySize: MAX_BODY });
    const guards = isLoopback(host)
      ? [localhostHostValidation(), localhostOriginValidation()]
      : // What name it is reached by is not known here; a web page is no agent.
        [originValidation([])];
    const server = createHttpServer(
      { headersTimeout: HEADERS_MS, requestTimeout: 2 * HEADERS_MS },
      (request, response) => {
        if (!guards.every((guard) => guard(request, response))) return;
        respond(agents, serve, request, response).catch((error: Error) => {
          report(error);
          response.destroy();
        });
      },
    );
    server.maxConnections = MAX_CONNECTIONS;
    server.listen(port, host);
    await once(server, 'listening');
    return new McpHttp(server, agents, host, () => handler.close());
  }

  /** Ends open calls, and all connections to the bus. */
  async stop(): Promise<void> {
    const closed = once(this.server, 'close');
    this.server.close();
    await this.closeHandler();
    this.server.closeAllConnections();
    await closed;
    await this.agents.close();
  }
}

async function respond(
  agents: Agents,
  serve: ReturnType<typeof toNodeHandler>,
  request: IncomingMessage & { auth?: AuthInfo },
  response: ServerResponse,
): Promise<void> {
  const { pathname, searchParams } = new URL(request.url ?? '/', 'http://localhost');
  if (pathname !== PATH) return refuse(response, 404, 'NOT_FOUND', `Agents are served at ${PATH}.`);
  const token = bearerOf(request);
  if (token === undefined) {
    return refuse(
      response,
      401,
      'AUTHENTICATION_FAILED',
      'Write "Authorization: Bearer TOKEN", with the agent\'s token.',
    );
  }
  let used: Awaited<ReturnType<Agents['use']>>;
  try {
    used = await agents.use(token, searchParams.get('subject') ?? '');
  } catch (error) {
    if (!(error instanceof ArqonBusError)) throw error;
    return refuse(response, statusOf(error), error.code, error.message);
  }
  // The caller has already disconnected, so there will be no close event.
  if (response.closed) return used.release();
  response.once('close', used.release);
  request.auth = { token, clientId: 'agent', scopes: [], extra: { agent: used.agent } };
  await serve(request as never, response as never);
}

/** Empty if there is none; undefined if it is malformed. */
function bearerOf({ headers: { authorization } }: IncomingMessage): string | undefined {
  if (authorization === undefined) return '';
  const token = /^Bearer +([\w.~+/=-]+)$/i.exec(authorization)?.[1];
  return token !== undefined && token.length <= MAX_TOKEN ? token : undefined;
}

function statusOf(error: ArqonBusError): number {
  if (error instanceof AuthenticationError) return 401;
  const { status } = error as { status?: number };
  if (status === 403 || status === 429) return status;
  return error.code === 'LIMIT_EXCEEDED' ? 429 : 503;
}

function refuse(response: ServerResponse, status: number, code: string, message: string): void {
  const headers = {
    'content-type': 'application/json',
    ...(status === 401 ? { 'www-authenticate': 'Bearer' } : {}),
    ...(status === 503 || status === 429 ? { 'retry-after': '1' } : {}),
  };
  response.writeHead(status, headers);
  response.end(JSON.stringify({ error: message, error_code: code }));
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host);
}
