import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { BusError, SUBPROTOCOL } from '@arqonbus/protocol';
import { type WebSocket, WebSocketServer } from 'ws';
import type { Bus } from '../bus/bus.ts';
import type { Arrival } from '../bus/session.ts';
import { readArrival } from './arrival.ts';
import type { Gate } from './gate.ts';
import { ConnectionCounter, SubjectBuckets, TokenBucket } from './rate.ts';
import { refuseUpgrade } from './refusal.ts';
import { Connection, type SocketRules } from './socket.ts';

export interface UpgradeOptions extends SocketRules {
  readonly maxConnections: number;
  readonly maxConnectionsPerAddress: number;
  readonly maxMessageBytes: number;
  readonly compression: boolean;
  readonly rateLimitPerSecond: number;
  readonly rateLimitBurst: number;
  readonly subjectRateLimitPerSecond: number;
}

/** Messages smaller than this are not worth compressing, in bytes. */
const COMPRESSION_THRESHOLD = 1_024;

/** Turns HTTP upgrade requests into sessions of the bus: limits, gate, who the client is, the socket (PROTOCOL section 1). */
export class Upgrades {
  private readonly bus: Bus;
  private readonly gate: Gate;
  private readonly options: UpgradeOptions;
  private readonly wss: WebSocketServer;
  private readonly counter: ConnectionCounter;
  private readonly subjects: SubjectBuckets;

  constructor(bus: Bus, gate: Gate, options: UpgradeOptions) {
    this.bus = bus;
    this.gate = gate;
    this.options = options;
    this.counter = new ConnectionCounter(options.maxConnections, options.maxConnectionsPerAddress);
    const rate = options.subjectRateLimitPerSecond;
    this.subjects = new SubjectBuckets(rate, rate * 2);
    this.wss = new WebSocketServer({
      noServer: true,
      clientTracking: false,
      maxPayload: options.maxMessageBytes,
      perMessageDeflate: options.compression ? { threshold: COMPRESSION_THRESHOLD } : false,
      handleProtocols: selectProtocol,
    });
  }

  /** Takes over the upgrade requests of a server. */
  listenTo(server: Server): void {
    server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
      // Until `ws` takes over, a reset by the peer would otherwise end the process.
      socket.on('error', destroy);
      this.upgrade(request, socket, head).catch((error: unknown) => {
        this.bus.options.onFault(error);
        socket.destroy();
      });
    });
  }

  private async upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    const decided = this.gate.admit(request);
    const admission = decided instanceof Promise ? await decided : decided;
    if (!admission.ok) {
      refuseUpgrade(socket, admission.status, admission.details);
      return;
    }
    let arrival: Arrival;
    try {
      arrival = readArrival(request.url ?? '/', admission.principal);
    } catch (error) {
      if (!(error instanceof BusError)) throw error;
      refuseUpgrade(socket, 400, error.message);
      return;
    }
    const address = request.socket.remoteAddress ?? '';
    const full = this.bus.isDraining ? 'draining' : this.counter.add(address);
    if (full !== null) {
      refuseUpgrade(socket, 503, FULL[full]);
      return;
    }
    const release = (): void => this.counter.remove(address);
    // The handshake may fail after this point without a socket ever opening.
    socket.once('close', release);
    this.wss.handleUpgrade(request, socket, head, (ws) => this.open(ws, socket, arrival));
  }

  private open(ws: WebSocket, socket: Duplex, arrival: Arrival): void {
    socket.off('error', destroy);
    const { rateLimitPerSecond: rate, rateLimitBurst: burst, subjectRateLimitPerSecond, now } = this.options;
    const { tenant, subject } = arrival.principal;
    const buckets: TokenBucket[] = [];
    if (rate > 0) buckets.push(new TokenBucket(rate, burst, now()));
    const shared = subjectRateLimitPerSecond > 0 && subject !== null;
    if (shared) buckets.push(this.subjects.acquire(tenant, subject, now()));
    const connection = new Connection(this.bus, ws, socket, arrival, buckets, this.options);
    ws.on('message', (data, isBinary) => connection.receive(data as Buffer, isBinary));
    ws.on('pong', () => {
      connection.lastSeen = now();
    });
    // ws closes the connection itself, with the fitting code, after every protocol error.
    ws.on('error', ignore);
    ws.on('close', (code) => {
      connection.ended(code);
      if (shared) this.subjects.release(tenant, subject, now());
    });
  }
}

const FULL = {
  draining: 'the server is shutting down',
  total: 'the server has as many connections as it takes',
  address: 'your address has as many connections as it may',
} as const;

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
