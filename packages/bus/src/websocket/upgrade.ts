import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import type { WebSocket } from 'ws';
import type { Bus } from '../bus.ts';
import type { Arrival } from '../connection/session.ts';
import type { Principal } from '../principal.ts';
import { inspectArrival } from '../profile.ts';
import { readArrival } from './arrival.ts';
import { Doorway } from './doorway.ts';
import type { Gate } from './gate.ts';
import { SubjectBuckets, TokenBucket } from './rate.ts';
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

/** Turns HTTP upgrade requests into sessions of the bus (PROTOCOL section 1). */
export class Upgrades {
  private readonly bus: Bus;
  private readonly options: UpgradeOptions;
  private readonly doorway: Doorway<Arrival>;
  private readonly subjects: SubjectBuckets;

  constructor(bus: Bus, gate: Gate, options: UpgradeOptions) {
    this.bus = bus;
    this.options = options;
    const rate = options.subjectRateLimitPerSecond;
    this.subjects = new SubjectBuckets(rate, rate * 2);
    const { onFault } = bus.options;
    this.doorway = new Doorway({ ...options, gate, isDraining: () => bus.isDraining, onFault }, this);
  }

  get connections(): number {
    return this.doorway.connections;
  }

  /** Takes over the upgrade requests of a server; returns the way to leave them again. */
  listenTo(server: Server): () => void {
    return this.doorway.listenTo(server);
  }

  read(request: IncomingMessage, principal: Principal): Arrival {
    const arrival = readArrival(request.url ?? '/', principal);
    return inspectArrival(this.bus.inspector, arrival, request.socket.remoteAddress ?? '');
  }

  open(ws: WebSocket, socket: Duplex, arrival: Arrival): void {
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
    ws.on('close', (code) => {
      connection.ended(code);
      if (shared) this.subjects.release(tenant, subject, now());
    });
  }
}
