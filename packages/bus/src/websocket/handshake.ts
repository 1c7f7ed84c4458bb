import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { BusError, type ErrorCode, SUBPROTOCOL } from '@arqonbus/protocol';
import { type WebSocket, WebSocketServer } from 'ws';
import type { Awaitable } from '../engine/engine.ts';
import { HookUnanswered } from '../hooks/hooks.ts';
import type { Principal } from '../principal.ts';
import { type ConnectionRefusal, Connections } from './connections.ts';
import type { Gate } from './gate.ts';
import { answerPings } from './pings.ts';
import { serveWithoutUpgrade } from './plain.ts';
import { DRAINING_S, isWebSocket, RETRY_AFTER_S, refuseMalformed, refuseUpgrade } from './refusal.ts';

export interface HandshakeOptions {
  readonly gate: Gate;
  readonly maxConnections: number;
  /** 0: no limit of its own. */
  readonly maxConnectionsPerAddress: number;
  /** 0: no limit of its own. */
  readonly maxConnectionsPerSubject: number;
  readonly maxMessageBytes: number;
  readonly compression: boolean;
  /** Why no new connection is taken just now; null when one is. */
  readonly closedFor: () => 'draining' | 'memory' | null;
  /** Something failed that no client can be told of. */
  readonly onFault: (error: unknown) => void;
}

/** What a handshake leads to: `A` is who arrives, as far as its request tells. */
export interface Behind<A extends { readonly principal: Principal }> {
  /**
   * Reads a request; throws or rejects with a BusError to refuse it: answered 400, 401 and 403 for who may not come in,
   * 503 for whom nobody answers about.
   */
  read(request: IncomingMessage, principal: Principal): Awaitable<A>;
  /** Takes over a socket that has just opened. */
  open(ws: WebSocket, socket: Duplex, arrival: A): void;
}

/** The listeners of all buses that answer upgrades which nobody takes: a server may have several buses. */
const unclaimedListeners: WeakSet<object> = new WeakSet();

const STATUS: Readonly<Partial<Record<ErrorCode, 401 | 403>>> = {
  AUTHENTICATION_FAILED: 401,
  AUTHORIZATION_ERROR: 403,
};

/** Handshakes that are looked at in one turn of the event loop; the others wait for the next ones. */
const HANDSHAKES_A_TURN = 16;
/** Messages smaller than this are not worth compressing, in bytes. */
const COMPRESSION_THRESHOLD = 1_024;

const SENTENCES: Readonly<Record<ConnectionRefusal | 'draining' | 'memory', string>> = {
  draining: 'the server is shutting down',
  memory: 'the server is out of memory for now',
  total: 'the server has as many connections as it takes',
  address: 'your address has as many connections as it may',
  subject: 'this subject has as many connections as it may',
};

/** Why a connection of another transport is not taken. */
export interface HeldRefusal {
  readonly status: 429 | 503;
  readonly details: string;
  /** After how many seconds it may be tried again. */
  readonly retryAfter: number;
}

/**
 * From an HTTP upgrade request to an open WebSocket: gate, who it is, limits, handshake (PROTOCOL section 1). A request
 * counts as a connection from the moment that it comes until its socket is gone, refused ones included.
 */
export class UpgradeHandler<A extends { readonly principal: Principal }> {
  private readonly options: HandshakeOptions;
  private readonly behind: Behind<A>;
  private readonly counter: Connections;
  private readonly wss: WebSocketServer;
  private readonly sockets: Set<Duplex> = new Set();
  private waiting: (() => void)[] = [];
  /** Handshakes that wait for their turn, oldest first, and how many had theirs in this one. */
  private queue: (() => void)[] = [];
  private begun = 0;

  constructor(options: HandshakeOptions, behind: Behind<A>) {
    this.options = options;
    this.behind = behind;
    this.counter = new Connections(options);
    this.wss = new WebSocketServer({
      noServer: true,
      clientTracking: false,
      // answerPings does that.
      autoPong: false,
      maxPayload: options.maxMessageBytes,
      perMessageDeflate: options.compression ? { threshold: COMPRESSION_THRESHOLD } : false,
      handleProtocols: selectProtocol,
    });
    this.wss.on('wsClientError', ({ message }, socket, request) =>
      this.countRefusal(refuseMalformed(socket, request, message)),
    );
  }

  /** Sockets that are open, under way or still being refused. */
  get connections(): number {
    return this.counter.total;
  }

  /** Counts up to `maxConnections` from now on. */
  adjust(maxConnections: number): void {
    this.counter.maxConnections = maxConnections;
  }

  /** Resolves when all sockets that it counts are gone. */
  async empty(): Promise<void> {
    while (this.counter.total > 0) await new Promise<void>((resolve) => this.waiting.push(resolve));
  }

  /** Cuts all sockets that it counts. */
  destroy(): void {
    for (const socket of this.sockets) socket.destroy();
  }

  /** Handshakes refused since the start, by their HTTP status. */
  readonly refusals: Map<number, number> = new Map();

  /**
   * Takes the upgrades to WebSocket for `path` of a server, and no others: whoever else listens for upgrades, before or
   * after, sees all the rest and none of these. Without a path it takes them all. Upgrades to something else that nobody
   * listens for are served as requests without one. Returns the way to leave again.
   * Throws when `path` is none: it begins with "/" and has no query.
   */
  attach(server: Server, path?: string): () => void {
    const own = path === undefined ? undefined : checkPath(path);
    // Node hands an upgrade to nobody unless somebody listens for upgrades.
    const unclaimed = (request: IncomingMessage, socket: Duplex, head: Buffer): void => {
      const listeners = server.listeners('upgrade');
      // One answer, of the bus that was attached first, and only if all who listen are buses.
      if (listeners[0] !== unclaimed || !listeners.every((listener) => unclaimedListeners.has(listener))) return;
      if (isWebSocket(request)) refuseUpgrade(socket, 404, `nothing listens here; the bus is at ${own}`);
      else if (server.listenerCount('request') > 0) serveWithoutUpgrade(server, request, socket, head);
      else refuseMalformed(socket, request, '');
    };
    unclaimedListeners.add(unclaimed);
    server.on('upgrade', unclaimed);
    const emit = server.emit;
    const hadOwnEmit = Object.hasOwn(server, 'emit');
    let hasLeft = false;
    const intercept = (event: string | symbol, ...args: unknown[]): boolean => {
      const [request, socket, head] = args as [IncomingMessage, Duplex, Buffer];
      const isOurs = event === 'upgrade' && !hasLeft && isWebSocket(request);
      if (!isOurs || (own !== undefined && pathOf(request) !== own)) {
        return Reflect.apply(emit, server, [event, ...args]);
      }
      this.take(request, socket, head);
      return true;
    };
    server.emit = intercept as Server['emit'];
    return () => {
      hasLeft = true;
      server.off('upgrade', unclaimed);
      // Whoever wrapped it after this one keeps its wrap; it then only passes through here.
      if (server.emit !== intercept) return;
      if (hadOwnEmit) server.emit = emit;
      else Reflect.deleteProperty(server, 'emit');
    };
  }

  private take(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    // Until `ws` takes over, a reset by the peer would otherwise end the process.
    socket.on('error', destroy);
    const full = this.count(socket, request.socket.remoteAddress ?? '');
    if (full !== null) {
      this.refuse(socket, full.status, full.details, undefined, full.retryAfter);
      return;
    }
    this.inTurn(() => {
      this.upgrade(request, socket, head).catch((error: unknown) => {
        this.options.onFault(error);
        socket.destroy();
      });
    });
  }

  /** Counts a connection of another transport until its socket is gone; or says why not, and counts nothing. */
  hold(socket: Duplex, address: string, principal: Principal): HeldRefusal | null {
    // Its subject first, since that is taken back by no socket yet.
    const full = this.options.closedFor() ?? this.counter.full(address);
    if (full !== null) return refusal(full);
    return this.countSubject(socket, principal) ?? this.count(socket, address);
  }

  private count(socket: Duplex, address: string): HeldRefusal | null {
    const full = this.options.closedFor() ?? this.counter.add(address);
    if (full !== null) return refusal(full);
    this.sockets.add(socket);
    socket.once('close', () => {
      this.sockets.delete(socket);
      this.counter.remove(address);
      if (this.counter.total > 0) return;
      for (const resolve of this.waiting.splice(0)) resolve();
    });
    return null;
  }

  private countSubject(socket: Duplex, { tenant, subject }: Principal): HeldRefusal | null {
    if (subject === null) return null;
    const owner = `${tenant}\n${subject}`;
    if (!this.counter.addSubject(owner)) return refusal('subject');
    socket.once('close', () => this.counter.removeSubject(owner));
    return null;
  }

  /** A thousand handshakes that come at once must not keep the clients that are there waiting for all of them. */
  private inTurn(begin: () => void): void {
    if (this.begun === 0) setImmediate(this.nextTurn);
    this.begun += 1;
    if (this.begun > HANDSHAKES_A_TURN) this.queue.push(begin);
    else begin();
  }

  private readonly nextTurn = (): void => {
    this.begun = 0;
    const { queue } = this;
    if (queue.length === 0) return;
    this.queue = queue.slice(HANDSHAKES_A_TURN);
    this.begun = HANDSHAKES_A_TURN;
    setImmediate(this.nextTurn);
    for (const begin of queue.slice(0, HANDSHAKES_A_TURN)) begin();
  };

  private async upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    // The peer may have given up while it waited for its turn.
    if (socket.destroyed) return;
    const admission = await this.options.gate.admit(request);
    // The peer may have given up while its credentials were looked at.
    if (socket.destroyed) return;
    if (!admission.ok) {
      this.refuse(socket, admission.status, admission.details);
      return;
    }
    let arrival: A;
    try {
      arrival = await this.behind.read(request, admission.principal);
    } catch (error) {
      if (!(error instanceof BusError)) throw error;
      if (!socket.destroyed) this.refuse(socket, statusOf(error), error.message, error.code);
      return;
    }
    if (socket.destroyed) return;
    const full = this.countSubject(socket, arrival.principal);
    if (full !== null) {
      this.refuse(socket, full.status, full.details, undefined, full.retryAfter);
      return;
    }
    this.wss.handleUpgrade(request, socket, head, (ws) => {
      socket.off('error', destroy);
      // ws closes the connection itself, with the fitting code, after every protocol error.
      ws.on('error', ignore);
      answerPings(ws);
      this.behind.open(ws, socket, arrival);
    });
  }

  private refuse(socket: Duplex, status: number, details: string, code?: string, retryAfter?: number): void {
    this.countRefusal(status);
    refuseUpgrade(socket, status, details, code, retryAfter);
  }

  private countRefusal(status: number): void {
    this.refusals.set(status, (this.refusals.get(status) ?? 0) + 1);
  }
}

function refusal(full: keyof typeof SENTENCES): HeldRefusal {
  const status = full === 'address' || full === 'subject' ? 429 : 503;
  return { status, details: SENTENCES[full], retryAfter: full === 'draining' ? DRAINING_S : RETRY_AFTER_S };
}

function statusOf(error: BusError): number {
  return error instanceof HookUnanswered ? 503 : (STATUS[error.code] ?? 400);
}

function pathOf({ url = '/' }: IncomingMessage): string {
  const end = url.indexOf('?');
  return withoutLastSlash(end < 0 ? url : url.slice(0, end));
}

function checkPath(path: string): string {
  if (/^\/[^?#\s]*$/.test(path)) return withoutLastSlash(path);
  throw new Error(`The path ${JSON.stringify(path)} cannot be attached to; it is like "/bus", without a query.`);
}

function withoutLastSlash(path: string): string {
  return path.length > 1 && path.endsWith('/') ? path.slice(0, -1) : path;
}

/** Our subprotocol when it is offered; else a lone `bearer.T`, which a browser needs to see echoed. */
function selectProtocol(offered: Set<string>): string | false {
  if (offered.has(SUBPROTOCOL)) return SUBPROTOCOL;
  for (const entry of offered) if (entry.startsWith('bearer.')) return entry;
  return false;
}

function destroy(this: Duplex): void {
  this.destroy();
}

function ignore(): void {}
