import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import {
  type Bus,
  type Gate,
  type Heartbeat,
  hasRole,
  type Principal,
  TokenBucket,
  UpgradeHandler,
} from '@arqonbus/bus';
import { BusError, CLOSE } from '@arqonbus/protocol';
import type { WebSocket } from 'ws';
import { TelemetryClient } from './client.ts';
import type { TelemetryFeed } from './feed.ts';
import type { TelemetryRequest } from './request.ts';

/** Telemetry has few clients; a separate limit bounds their cost for the bus. */
const MAX_CONNECTIONS = 1_000;

export interface TelemetryOptions {
  readonly gate: Gate;
  readonly heartbeat: Heartbeat;
  readonly maxConnections: number;
  readonly maxConnectionsPerAddress: number;
  readonly maxMessageBytes: number;
  readonly rateLimitPerSecond: number;
  readonly rateLimitBurst: number;
  /** Queue limits per client, beyond which its oldest events are dropped. */
  readonly maxQueuedEvents: number;
  readonly maxQueuedCharacters: number;
}

/** A connecting telemetry client. */
interface Watcher {
  readonly principal: Principal;
}

/** The telemetry port: a separate WebSocket that sends every event to clients allowed to see it (docs/http.md). */
export class TelemetryServer {
  private readonly bus: Bus;
  private readonly feed: TelemetryFeed;
  private readonly options: TelemetryOptions;
  private readonly upgrades: UpgradeHandler<Watcher>;
  private readonly clients: Set<TelemetryClient> = new Set();
  private readonly stopListening: () => void;
  /** Events dropped for slow clients since the start. */
  dropped = 0;

  constructor(bus: Bus, feed: TelemetryFeed, options: TelemetryOptions) {
    this.bus = bus;
    this.feed = feed;
    this.options = options;
    const maxConnections = Math.min(options.maxConnections, MAX_CONNECTIONS);
    const { onFault } = bus.options;
    const closedFor = () => (bus.isDraining ? 'draining' : null);
    const rules = { ...options, maxConnections, maxConnectionsPerSubject: 0, compression: false, closedFor, onFault };
    this.upgrades = new UpgradeHandler(rules, this);
    const stopOffering = feed.listen((event) => {
      for (const client of this.clients) client.offer(event);
    });
    const closeBarred = (): void => this.closeBarred();
    bus.accessList.added.add(closeBarred);
    this.stopListening = () => {
      bus.accessList.added.delete(closeBarred);
      stopOffering();
    };
  }

  get size(): number {
    return this.clients.size;
  }

  listenTo(server: Server): void {
    this.upgrades.attach(server);
  }

  /** Sends every client its queued events and closes. */
  close(): void {
    this.stopListening();
    for (const client of this.clients) client.close(CLOSE.GOING_AWAY, 'server shutting down');
  }

  private closeBarred(): void {
    for (const client of this.clients) {
      const barred = this.bus.accessList.barred(client.view);
      if (barred !== null) client.close(CLOSE.DISCONNECTED_BY_ADMIN, barred.reason);
    }
  }

  /** Allows admins, and tokens with the telemetry claim. Throws for others, and for subjects the tenant has barred. */
  read(request: IncomingMessage, principal: Principal): Watcher {
    this.bus.requireWelcome(principal);
    if (hasRole(principal, 'admin') || principal.telemetry) return { principal };
    const sentence = 'telemetry needs the role admin or the claim "telemetry"';
    this.options.gate.report(request, { status: 403, details: sentence, internal: 'role or claim does not suffice' });
    throw new BusError('AUTHORIZATION_ERROR', sentence);
  }

  open(ws: WebSocket, socket: Duplex, { principal }: Watcher): void {
    const { bus, options, feed } = this;
    const { heartbeat, rateLimitPerSecond: rate, rateLimitBurst: burst } = options;
    const client = new TelemetryClient(ws, socket, principal, {
      ...options,
      now: bus.options.now,
      node: bus.options.node,
      bucket: rate > 0 ? new TokenBucket(rate, burst, performance.now()) : null,
      act: (asking, request) => this.act(asking, request),
      internal: (error) => bus.internal(error),
      onDropped: (events) => {
        this.dropped += events;
      },
    });
    this.clients.add(client);
    heartbeat.add(client);
    ws.on('message', (data, isBinary) => client.receive(data as Buffer, isBinary));
    socket.on('data', () => {
      client.lastSeen = heartbeat.time;
    });
    ws.on('close', () => {
      this.clients.delete(client);
      heartbeat.remove(client);
      client.ended();
    });
    const { buffered, buffer_size } = feed.stats(client.view);
    const { node, version, pingIntervalMs } = bus.options;
    client.tell('telemetry_connected', {
      client_id: client.id,
      role: principal.role,
      tenant: principal.tenant,
      operator: principal.operator,
      server: { name: 'ArqonBus', version, node },
      buffered,
      buffer_size,
      ping_interval_ms: pingIntervalMs,
    });
  }

  private act(client: TelemetryClient, request: TelemetryRequest): void | Promise<void> {
    switch (request.type) {
      case 'ping':
        return client.reply({ type: 'pong' });
      case 'subscribe': {
        const subscriptions = client.subscribe(request.filter);
        const { events, room = null } = request.filter;
        return client.reply({ type: 'subscribed', events, room, subscriptions });
      }
      case 'unsubscribe':
        client.unsubscribe();
        return client.reply({ type: 'unsubscribed' });
      case 'replay':
        return this.replay(client, request.limit);
      case 'submit': {
        const submitted = this.bus.submissions.submit(client.sender, request.message);
        return submitted instanceof Promise ? submitted.then(() => undefined) : undefined;
      }
    }
  }

  /** Sends the buffered events this client may see and wants, each marked as replayed, then their number. */
  private replay(client: TelemetryClient, limit: number): void {
    const events = this.feed.recent(client.view, limit, (event) => client.wants(event));
    for (const { text } of events) client.enqueue(`${text.slice(0, -1)},"replayed":true}`);
    client.enqueue(JSON.stringify({ type: 'replay_complete', count: events.length }));
  }
}
