import { readFileSync } from 'node:fs';
import type { Server as HttpServer } from 'node:http';
import { Bus, type Engine, loadEngine, type Principal, timeEngine } from '@arqonbus/bus';
import { type Casil, casil, EVERY_TENANT } from '@arqonbus/casil';
import { BusError, newSecretId } from '@arqonbus/protocol';
import { casilCommands } from './casil/commands.ts';
import { DecisionReporter } from './casil/reporting.ts';
import type { Config } from './config/config.ts';
import { storageOptions } from './config/storage-options.ts';
import { type Addresses, type Edge, openEdge } from './edge.ts';
import type { Redact } from './http/storage-history.ts';
import { createLog, type Logger } from './log.ts';
import { Metrics } from './metrics/metrics.ts';
import { Monitor } from './telemetry/monitor.ts';

/** Version of this package, as the wire, `/version` and `arqon --version` tell it. */
export const VERSION: string = (
  JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string }
).version;

export interface ServerOptions {
  /** Standard error, at the configured level, unless given. */
  readonly log?: Logger;
  /** A server of the program's own that the bus takes WebSocket upgrades from, instead of a port of its own. */
  readonly httpServer?: HttpServer;
  /** Somebody asked over HTTP for a graceful stop, or for the configuration to be read again. */
  readonly onShutdown?: () => void;
  readonly onRestart?: () => void;
  readonly now?: () => number;
}

/** A running bus with the listeners around it: everything that {@link startServer} opened, and the way to close it. */
export class Server {
  readonly bus: Bus;
  readonly monitor: Monitor;
  private readonly options: ServerOptions;
  private readonly guard: Casil;
  private readonly reporter: DecisionReporter;
  private readonly config: Config;
  private readonly log: Logger;
  private edge: Edge | null = null;
  /** What the listeners run with: the last configuration that they could be opened with. */
  private edgeConfig: Config;
  /** Settles when the last {@link reopen} asked for is over, however it ended. */
  private reopening: Promise<unknown> = Promise.resolve();
  private stopping: Promise<void> | null = null;

  /** Throws with everything that is wrong with the content policy. */
  constructor(config: Config, engine: Engine, node: string, options: ServerOptions) {
    const { log = createLog({ level: config.log.level }), now = Date.now } = options;
    this.config = config;
    this.edgeConfig = config;
    this.options = options;
    this.log = log;
    const { server, bus, storage, telemetry, auth } = config;
    const metrics = new Metrics();
    const guard = casil(config.casil, { now, onDecision: (decision) => this.reporter.tell(decision) });
    this.guard = guard;
    this.bus = new Bus({
      engine: timeEngine(engine, (operation, seconds) => metrics.observeStorage(engine.backend, operation, seconds)),
      refresh: (token) => this.refresh(token),
      hooks: { publish: [guard], http: { ...config.hooks, allowHosts: config.webhook.allowHosts } },
      operators: config,
      commands: (core) => casilCommands(core, guard, !auth.enabled),
      startDegraded: storage.mode === 'degraded',
      onFault: (error) => log.error({ err: error }, 'unexpected fault'),
      limits: {
        ...server,
        ...bus,
        node,
        version: VERSION,
        rules: config.rules,
        retention: {
          size: storage.maxHistorySize,
          ttlMs: storage.historyTtlSeconds * 1000,
          bytes: storage.maxHistoryBytes,
        },
        channelIdleMs: bus.channelIdleSeconds * 1000,
        presenceGraceMs: bus.presenceGraceSeconds * 1000,
        maxMessageBytes: server.maxMessageSize,
        pingIntervalMs: server.pingIntervalSeconds * 1000,
        subjectRateLimitPerSecond: auth.subjectRateLimitPerSecond,
        strictEnvelope: server.strictEnvelope,
        telemetry: telemetry.enabled,
        telemetryRoom: telemetry.room,
        serverTenant: auth.enabled ? null : 'default',
        httpUrl: () => this.edge?.urls.http ?? null,
        now,
        onWarning: (sentence) => log.warn(sentence),
      },
    });
    this.reporter = new DecisionReporter({
      events: this.bus.events,
      log: (level, fields, message) => log[level](fields, message),
      observe: (seconds) => metrics.observeInspection(seconds),
      now,
    });
    this.bus.sessionLeft.add((session) => guard.forget(session.id));
    this.monitor = new Monitor(this.bus, metrics, log, {
      telemetry: telemetry.enabled,
      bufferSize: telemetry.bufferSize,
      messageSampleRate: telemetry.messageSampleRate,
      statsIntervalMs: bus.statsIntervalSeconds * 1000,
      casilDecisions: () => guard.decisions(),
    });
  }

  async start(): Promise<Addresses> {
    await this.bus.start();
    this.warnOfStorage();
    this.bus.on('storage_recovered', () => this.warnOfStorage());
    this.edge = await this.openEdge(this.config);
    this.bus.announceStart();
    return this.edge.addresses;
  }

  private warnOfStorage(): void {
    for (const warning of this.bus.engine.warnings ?? []) this.log.warn(warning);
  }

  /** Says who the bearer of a token is, by the verifier of the listeners that are open now. */
  private async refresh(token: string): Promise<Principal> {
    const verifier = this.edge?.verifier ?? null;
    if (verifier === null) {
      throw new BusError('FEATURE_DISABLED', 'This server runs without authentication; there is nothing to renew.');
    }
    const verified = await verifier.verify(token);
    if (verified.ok) return verified.principal;
    throw new BusError('AUTHENTICATION_FAILED', verified.reason);
  }

  /** Tells the clients, flushes, closes every connection with 1001 and lets go of every resource. Idempotent. */
  stop(): Promise<void> {
    this.stopping ??= this.shutDown();
    return this.stopping;
  }

  /**
   * Closes the listeners and opens them as `config` says; clients are told to come back. Rooms, history and what is
   * set once (storage, limits of the bus) stay as they are. When they cannot be opened that way they are opened as
   * before, and this rejects with the reason. One is over before the next begins, and before the server stops.
   */
  reopen(config: Config): Promise<Addresses> {
    const reopened = this.reopening.then(() => this.openAnew(config));
    this.reopening = reopened.catch(() => {});
    return reopened;
  }

  private async openAnew(config: Config): Promise<Addresses> {
    if (this.stopping !== null) throw new Error('The server stops; it opens nothing any more.');
    await this.bus.drain(RESTART_MS, 'server restarting', RESTART_SPREAD_MS);
    await this.edge?.close();
    this.edge = null;
    try {
      this.edge = await this.openEdge(config);
      this.edgeConfig = config;
    } catch (error) {
      this.edge = await this.openEdge(this.edgeConfig);
      throw error;
    } finally {
      this.bus.isDraining = false;
    }
    return this.edge.addresses;
  }

  /**
   * Puts these settings in force as the content policy of all tenants that have none of their own, or rejects with all
   * that is wrong with them and changes nothing.
   */
  async reloadPolicy(settings: Config['casil']): Promise<void> {
    const { revision, mode, enabled } = await this.guard.reload(EVERY_TENANT, settings);
    this.bus.events.emit('casil_policy_reloaded', null, { revision, mode, enabled, tenant: EVERY_TENANT });
  }

  private async shutDown(): Promise<void> {
    await this.reopening;
    // New clients are turned away from now on; those that are there are sent away within the time that is left.
    const { shutdownSeconds } = this.config.server;
    this.edge?.leave();
    await this.bus.close({ withinMs: shutdownSeconds * 900 });
    await this.edge?.close();
    this.edge = null;
    this.monitor.stop();
  }

  private openEdge(config: Config): Promise<Edge> {
    const { bus, monitor, log, options, guard } = this;
    const { onShutdown, onRestart, httpServer } = options;
    const redact: Redact = (room, channel, content, { tenant, part }) => {
      const place = { type: 'event', tenant, room, channel } as const;
      if (part === 'payload') return guard.observe({ ...place, payload: content }).payload;
      return guard.observe({ ...place, payload: {}, metadata: content }).metadata ?? {};
    };
    return openEdge({ config, bus, monitor, log, httpServer, redact, onShutdown, onRestart });
  }
}

/** How long the clients of a server that restarts its listeners may take to go. */
const RESTART_MS = 5_000;
/** Over how long they come back. */
const RESTART_SPREAD_MS = 1_000;

/** Opens a server; rejects with one clear sentence, and nothing half-started, when it cannot. */
export async function startServer(
  config: Config,
  options: ServerOptions = {},
): Promise<{ server: Server; addresses: Addresses }> {
  const node = config.server.nodeId === '' ? newSecretId('node_').slice(0, 17) : config.server.nodeId;
  const engine = await loadEngine(storageOptions(config.storage, node));
  const server = new Server(config, engine, node, options);
  try {
    return { server, addresses: await server.start() };
  } catch (error) {
    await server.stop();
    throw error;
  }
}
