import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { BusError, type ErrorCode, SUBPROTOCOL } from '@arqonbus/protocol';
import { type WebSocket, WebSocketServer } from 'ws';
import { andThen, attempt } from '../awaitable.ts';
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
  /** 0: no separate limit. */
  readonly maxConnectionsPerAddress: number;
  /** 0: no separate limit. */
  readonly maxConnectionsPerSubject: number;
  readonly maxMessageBytes: number;
  readonly compression: boolean;
  /** Why new connections are refused now; null when they are accepted. */
  readonly closedFor: () => 'draining' | 'memory' | null;
  /** Called with faults that cannot be reported to a client. */
  readonly onFault: (error: unknown) => void;
}

/** The handler of accepted handshakes: `A` is the client as described by its request. */
export interface Behind<A extends { readonly principal: Principal }> {
  /**
   * Reads a request; throws or rejects with a BusError to refuse it: 400, 401 and 403 for clients that are not
   * admitted, 503 when the backend that decides does not answer.
   */
  read(request: IncomingMessage, principal: Principal): Awaitable<A>;
  /** Takes over a newly opened socket. */
  open(ws: WebSocket, socket: Duplex, arrival: A): void;
}

/** The listeners of all buses for unclaimed upgrades: a server may have several buses. */
const unclaimedListeners: WeakSet<object> = new WeakSet();

const STATUS: Readonly<Partial<Record<ErrorCode, 401 | 403>>> = {
  AUTHENTICATION_FAILED: 401,
  AUTHORIZATION_ERROR: 403,
};

/** Handshakes started in one turn of the event loop; others wait for later turns. */
const HANDSHAKES_A_TURN = 16;
/** Smaller messages are not compressed, in bytes. */
const COMPRESSION_THRESHOLD = 1_024;

const SENTENCES: Readonly<Record<ConnectionRefusal | 'draining' | 'memory', string>> = {
  draining: 'the server is shutting down',
  memory: 'the server is out of memory for now',
  total: 'the server has as many connections as it takes',
  address: 'your address has as many connections as it may',
  subject: 'this subject has as many connections as it may',
};

/** Why a connection of another transport is refused. */
export interface HeldRefusal {
  readonly status: 429 | 503;
  readonly details: string;
  /** Seconds after which it may be retried. */
  readonly retryAfter: number;
}

/**
 * From an HTTP upgrade request to an open WebSocket: gate, authentication, limits, handshake (PROTOCOL section 1). A
 * request counts as a connection from its arrival until its socket closes, including refused ones.
 */
export class UpgradeHandler<A extends { readonly principal: Principal }> {
  private readonly options: HandshakeOptions;
  private readonly behind: Behind<A>;
  private readonly counter: Connections;
  private readonly wss: WebSocketServer;
  private readonly sockets: Set<Duplex> = new Set();
  private waiting: (() => void)[] = [];
  /** Handshakes waiting for their turn, oldest first, and the number started in this turn. */
  private queue: (() => void)[] = [];
  private begun = 0;

  constructor(options: HandshakeOptions, behind: Behind<A>) {
    this.options = options;
    this.behind = behind;
    this.counter = new Connections(options);
    this.wss = new WebSocketServer({
      noServer: true,
      clientTracking: false,
      // Done by answerPings.
      autoPong: false,
      maxPayload: options.maxMessageBytes,
      perMessageDeflate: options.compression ? { threshold: COMPRESSION_THRESHOLD } : false,
      handleProtocols: selectProtocol,
    });
    this.wss.on('wsClientError', ({ message }, socket, request) =>
      this.countRefusal(refuseMalformed(socket, request, message)),
    );
  }

  /** Sockets that are open, in a handshake or being refused. */
  get connections(): number {
    return this.counter.total;
  }

  /** Changes the connection limit. */
  adjust(maxConnections: number): void {
    this.counter.maxConnections = maxConnections;
  }

  /** Resolves when all its sockets have closed. */
  async empty(): Promise<void> {
    while (this.counter.total > 0) await new Promise<void>((resolve) => this.waiting.push(resolve));
  }

  /** Destroys all its sockets. */
  destroy(): void {
    for (const socket of this.sockets) socket.destroy();
  }

  /** Handshakes refused since the start, by HTTP status. */
  readonly refusals: Map<number, number> = new Map();

  /**
   * Handles a server's WebSocket upgrades for `path`, and no others: other upgrade listeners, added before or after,
   * see all the rest and none of these. Without a path it handles all. Other kinds of upgrades without a listener are
   * served as plain requests. Returns a function that detaches.
   * Throws when `path` is invalid: it starts with "/" and has no query.
   */
  attach(server: Server, path?: string): () => void {
    const own = path === undefined ? undefined : checkPath(path);
    // Node only emits upgrades when there is an upgrade listener.
    const unclaimed = (request: IncomingMessage, socket: Duplex, head: Buffer): void => {
      const listeners = server.listeners('upgrade');
      // Answer once, from the bus attached first, and only if all listeners are buses.
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
      // Wrappers added after this one stay; their calls then just pass through here.
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
    const failed = (error: unknown): void => {
      this.options.onFault(error);
      socket.destroy();
    };
    this.inTurn(() => void attempt(() => this.upgrade(request, socket, head), failed));
  }

  /** Counts a connection of another transport until its socket closes, or returns why not and counts nothing. */
  hold(socket: Duplex, address: string, principal: Principal): HeldRefusal | null {
    // The subject is counted first, since `count` cannot be undone.
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

  /** Limits handshakes per turn, so that a burst of them does not delay connected clients. */
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

  private upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Awaitable<void> {
    // The peer may have disconnected while waiting for its turn.
    if (socket.destroyed) return;
    return andThen(this.options.gate.admit(request), (admission) => {
      // The peer may have disconnected during authentication.
      if (socket.destroyed) return;
      if (!admission.ok) {
        this.refuse(socket, admission.status, admission.details);
        return;
      }
      const refused = (error: unknown): null => {
        if (!(error instanceof BusError)) throw error;
        if (!socket.destroyed) this.refuse(socket, statusOf(error), error.message, error.code);
        return null;
      };
      const read = attempt<A | null>(() => this.behind.read(request, admission.principal), refused);
      return andThen(read, (arrival) => {
        if (arrival !== null) this.open(request, socket, head, arrival);
      });
    });
  }

  private open(request: IncomingMessage, socket: Duplex, head: Buffer, arrival: A): void {
    if (socket.destroyed) return;
    const full = this.countSubject(socket, arrival.principal);
    if (full !== null) {
      this.refuse(socket, full.status, full.details, undefined, full.retryAfter);
      return;
    }
    // The answer to the handshake and the first frames of this turn leave in one write.
    socket.cork();
    this.wss.handleUpgrade(request, socket, head, (ws) => {
      socket.off('error', destroy);
      // ws closes the connection itself, with the right code, after every protocol error.
      ws.on('error', ignore);
      answerPings(ws);
      this.behind.open(ws, socket, arrival);
    });
    // After the outbox, which writes the frames in an immediate too.
    setImmediate(uncork, socket);
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

/** Our subprotocol if offered; else a lone `bearer.T`, which browsers need echoed. */
function selectProtocol(offered: Set<string>): string | false {
  if (offered.has(SUBPROTOCOL)) return SUBPROTOCOL;
  for (const entry of offered) if (entry.startsWith('bearer.')) return entry;
  return false;
}

function destroy(this: Duplex): void {
  this.destroy();
}

function uncork(socket: Duplex): void {
  socket.uncork();
}

function ignore(): void {}
