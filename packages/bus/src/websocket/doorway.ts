import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { BusError, SUBPROTOCOL } from '@arqonbus/protocol';
import { type WebSocket, WebSocketServer } from 'ws';
import type { Principal } from '../principal.ts';
import type { Gate } from './gate.ts';
import { ConnectionCounter } from './rate.ts';
import { refuseUpgrade } from './refusal.ts';

export interface DoorwayOptions {
  readonly gate: Gate;
  readonly maxConnections: number;
  /** 0: no limit of its own. */
  readonly maxConnectionsPerAddress: number;
  readonly maxMessageBytes: number;
  readonly compression: boolean;
  readonly isDraining: () => boolean;
  /** Something failed that no client can be told of. */
  readonly onFault: (error: unknown) => void;
}

/** What a doorway leads to: `A` is who arrives, as far as its request tells. */
export interface Behind<A> {
  /** Reads a request; throws a BusError, answered 400 (or 403 for AUTHORIZATION_ERROR), to refuse it. */
  read(request: IncomingMessage, principal: Principal): A;
  /** Takes over a socket that has just opened. */
  open(ws: WebSocket, socket: Duplex, arrival: A): void;
}

/** Messages smaller than this are not worth compressing, in bytes. */
const COMPRESSION_THRESHOLD = 1_024;

/** From an HTTP upgrade request to an open WebSocket: gate, who it is, limits, handshake (PROTOCOL section 1). */
export class Doorway<A> {
  private readonly options: DoorwayOptions;
  private readonly behind: Behind<A>;
  private readonly counter: ConnectionCounter;
  private readonly wss: WebSocketServer;

  constructor(options: DoorwayOptions, behind: Behind<A>) {
    this.options = options;
    this.behind = behind;
    this.counter = new ConnectionCounter(options.maxConnections, options.maxConnectionsPerAddress);
    this.wss = new WebSocketServer({
      noServer: true,
      clientTracking: false,
      maxPayload: options.maxMessageBytes,
      perMessageDeflate: options.compression ? { threshold: COMPRESSION_THRESHOLD } : false,
      handleProtocols: selectProtocol,
    });
  }

  /** Open connections, and those whose handshake is under way. */
  get connections(): number {
    return this.counter.total;
  }

  /** Takes over the upgrade requests of a server; returns the way to leave them again. */
  listenTo(server: Server): () => void {
    const take = (request: IncomingMessage, socket: Duplex, head: Buffer): void => {
      // Until `ws` takes over, a reset by the peer would otherwise end the process.
      socket.on('error', destroy);
      this.upgrade(request, socket, head).catch((error: unknown) => {
        this.options.onFault(error);
        socket.destroy();
      });
    };
    server.on('upgrade', take);
    return () => server.off('upgrade', take);
  }

  private async upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    const decided = this.options.gate.admit(request);
    const admission = decided instanceof Promise ? await decided : decided;
    if (!admission.ok) {
      refuseUpgrade(socket, admission.status, admission.details);
      return;
    }
    let arrival: A;
    try {
      arrival = this.behind.read(request, admission.principal);
    } catch (error) {
      if (!(error instanceof BusError)) throw error;
      refuseUpgrade(socket, error.code === 'AUTHORIZATION_ERROR' ? 403 : 400, error.message, error.code);
      return;
    }
    const address = request.socket.remoteAddress ?? '';
    const full = this.options.isDraining() ? 'draining' : this.counter.add(address);
    if (full !== null) {
      refuseUpgrade(socket, 503, FULL[full]);
      return;
    }
    // The handshake may fail after this point without a socket ever opening.
    socket.once('close', () => this.counter.remove(address));
    this.wss.handleUpgrade(request, socket, head, (ws) => {
      socket.off('error', destroy);
      // ws closes the connection itself, with the fitting code, after every protocol error.
      ws.on('error', ignore);
      this.behind.open(ws, socket, arrival);
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
