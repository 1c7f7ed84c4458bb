import { readFileSync } from 'node:fs';
import type { Server as HttpServer } from 'node:http';
import { type Adjustable, Bus, checkRules, type Engine, loadEngine, type Principal, timeEngine } from '@arqonbus/bus';
import { type Casil, casil, EVERY_TENANT } from '@arqonbus/casil';
import { BusError, newSecretId } from '@arqonbus/protocol';
import { casilCommands } from './casil/commands.ts';
import { DecisionReporter } from './casil/reporting.ts';
import { changesBetween, withChanges } from './config/changes.ts';
import type { Config } from './config/config.ts';
import { storageOptions } from './config/storage-options.ts';
import { type Addresses, type Edge, type MayMove, type MovedTo, openEdge, readCredentials } from './edge.ts';
import type { OnRestart, Reloaded } from './http/admin-routes.ts';
import type { Redact } from './http/storage-history.ts';
import { createLog, type Logger, logFault } from './log.ts';
import { type GatherFigures, Metrics } from './metrics/metrics.ts';
import { Monitor, type MonitorRates } from './telemetry/monitor.ts';

/** Version of this package, reported on the wire, by `/version` and by `arqon --version`. */
export const VERSION: string = (
  JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string }
).version;

export interface ServerOptions {
  /** Default: standard error, at the configured level. */
  readonly log?: Logger;
  /** An existing HTTP server whose WebSocket upgrades the bus handles, instead of opening a port of its own. */
  readonly httpServer?: HttpServer;
  /** Called when a graceful stop, or a configuration reload, is requested over HTTP. */
  readonly onShutdown?: () => void;
  readonly onRestart?: OnRestart;
  /** Use the next free port when the default telemetry or HTTP port is taken. */
  readonly mayMove?: MayMove;
  readonly movedTo?: MovedTo;
  readonly now?: () => number;
  /** An engine opened under this node's name; default: the engine from the configuration. */
  readonly engine?: Engine;
  readonly node?: string;
  /** Collects the metrics of all processes of this server; takes those of this process. */
  readonly gather?: GatherFigures;
}

/** A running bus and its listeners: everything that {@link startServer} opened, and how to close it. */
export class Server {
  readonly bus: Bus;
  readonly monitor: Monitor;
  private readonly options: ServerOptions;
  private readonly guard: Casil;
  private readonly reporter: DecisionReporter;
  /** The configuration in force. */
  config: Config;
  private readonly log: Logger;
  private edge: Edge | null = null;
  /** Settles when the last {@link apply} or {@link reopen} has finished, successfully or not. */
  private reopening: Promise<unknown> = Promise.resolve();
  private stopping: Promise<void> | null = null;

  /** Throws with every error in the content policy. */
  constructor(config: Config, engine: Engine, node: string, options: ServerOptions) {
    const { log = createLog({ level: config.log.level }), now = Date.now } = options;
    this.config = config;
    this.options = options;
    this.log = log;
    const { storage, telemetry, auth } = config;
    const metrics = new Metrics(options.gather);
    const guard = casil(config.casil, { now, onDecision: (decision) => this.reporter.tell(decision) });
    this.guard = guard;
    this.bus = new Bus({
      engine: timeEngine(engine, (operation, seconds) => metrics.observeStorage(engine.backend, operation, seconds)),
      refresh: (token) => this.refresh(token),
      hooks: { publish: [guard], http: { ...config.hooks, allowHosts: config.webhook.allowHosts } },
      operators: config,
      commands: (core) => casilCommands(core, guard, !auth.enabled),
      startDegraded: storage.mode === 'degraded',
      onFault: (error) => logFault(log, error),
      limits: {
        ...adjustable(config),
        node,
        version: VERSION,
        bootstrapRooms: config.bus.bootstrapRooms,
        pingIntervalMs: config.server.pingIntervalSeconds * 1000,
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
      ...monitorRates(config),
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

  /** Resolves the principal of a token, using the verifier of the listeners that are open now. */
  private async refresh(token: string): Promise<Principal> {
    const verifier = this.edge?.verifier ?? null;
    if (verifier === null) {
      throw new BusError('FEATURE_DISABLED', 'This server runs without authentication; there is nothing to renew.');
    }
    const verified = await verifier.verify(token);
    if (verified.ok) return verified.principal;
    throw new BusError('AUTHENTICATION_FAILED', verified.reason);
  }

  /** Stops accepting clients: `/ready` answers 503 and new connections are refused; existing connections stay open. */
  leave(options?: { readonly unlisten: boolean }): void {
    this.bus.isDraining = true;
    this.edge?.leave(options);
  }

  /**
   * {@link leave}, then disconnects the clients in even slices over `overMs`, moving consumer groups to other nodes
   * first; see `Bus.retire`. With `unlisten`, new clients go to the other workers that share the ports.
   */
  async retire(overMs: number, options?: { readonly unlisten: boolean }): Promise<void> {
    this.leave(options);
    await this.bus.retire(overMs);
  }

  /** Notifies the clients, flushes, closes every connection with 1001 and releases all resources. Idempotent. */
  stop(): Promise<void> {
    this.stopping ??= this.shutDown();
    return this.stopping;
  }

  /**
   * Applies the changes that need no interruption, and returns what changed and what did not; `goOn` reopens the
   * listeners if needed and settles when that is done. Rejects with every error, and then changes nothing. Calls run
   * one at a time, and finish before the server stops.
   */
  apply(config: Config): Promise<Pending> {
    return this.inTurn(() => this.applyNow(config));
  }

  private async applyNow(wanted: Config): Promise<Pending> {
    this.requireRunning();
    const { now, reopened, start } = changesBetween(this.config, wanted);
    const settled = withChanges(this.config, wanted, ['now']);
    const later = withChanges(settled, wanted, ['reopened']);
    checkRules(settled.rules);
    const credentials = await readCredentials(settled);
    if (reopened.length > 0) await readCredentials(later);
    await this.reloadPolicy(settled.casil);
    this.edge?.adopt(settled, credentials);
    this.bus.adjust(adjustable(settled));
    this.bus.adjustOperators(settled);
    this.log.level = settled.log.level;
    this.monitor.adjust(monitorRates(settled));
    this.config = settled;
    return {
      reloaded: { changed: now, reopening: reopened, needs_new_process: start },
      goOn: async () => {
        if (reopened.length > 0) await this.reopen(later);
      },
    };
  }

  /**
   * Closes the listeners and reopens them with `config`; clients are told to reconnect. Rooms, history and fixed
   * settings (storage) are unaffected. If the listeners cannot be opened, the old ones are reopened and this rejects
   * with the reason. Calls run one at a time, and finish before the server stops.
   */
  reopen(config: Config): Promise<Addresses> {
    return this.inTurn(() => this.openAnew(config));
  }

  private inTurn<T>(act: () => Promise<T>): Promise<T> {
    const acted = this.reopening.then(act);
    this.reopening = acted.catch(() => {});
    return acted;
  }

  private requireRunning(): void {
    if (this.stopping !== null) throw new Error('The server stops; it opens nothing any more.');
  }

  private async openAnew(config: Config): Promise<Addresses> {
    this.requireRunning();
    await this.bus.drain(RESTART_MS, 'server restarting', RESTART_SPREAD_MS);
    await this.edge?.close();
    this.edge = null;
    try {
      this.bus.adjust(adjustable(config));
      this.edge = await this.openEdge(config);
      this.config = config;
    } catch (error) {
      this.bus.adjust(adjustable(this.config));
      this.edge = await this.openEdge(this.config);
      throw error;
    } finally {
      this.bus.isDraining = false;
    }
    return this.edge.addresses;
  }

  /**
   * Applies these settings as the content policy of all tenants without a policy of their own; rejects with every error
   * in them and then changes nothing.
   */
  async reloadPolicy(settings: Config['casil']): Promise<void> {
    const { revision, mode, enabled } = await this.guard.reload(EVERY_TENANT, settings);
    this.bus.events.emit('casil_policy_reloaded', null, { revision, mode, enabled, tenant: EVERY_TENANT });
  }

  private async shutDown(): Promise<void> {
    await this.reopening;
    // New clients are refused from here on; connected clients are disconnected within the remaining time.
    const { shutdownSeconds } = this.config.server;
    this.edge?.leave();
    await this.bus.close({ withinMs: shutdownSeconds * 900 });
    await this.edge?.close();
    this.edge = null;
    this.monitor.stop();
  }

  private openEdge(config: Config): Promise<Edge> {
    const { bus, monitor, log, options, guard } = this;
    const { onShutdown, onRestart, httpServer, mayMove, movedTo } = options;
    const redact: Redact = (room, channel, content, { tenant, part }) => {
      const place = { type: 'event', tenant, room, channel } as const;
      if (part === 'payload') return guard.observe({ ...place, payload: content }).payload;
      return guard.observe({ ...place, payload: {}, metadata: content }).metadata ?? {};
    };
    return openEdge({ config, bus, monitor, log, httpServer, redact, onShutdown, onRestart, mayMove, movedTo });
  }
}

/** Time allowed for clients to disconnect when the listeners restart. */
const RESTART_MS = 5_000;
/** Period over which those clients reconnect. */
const RESTART_SPREAD_MS = 1_000;

/** The result of a configuration reload, and the work still to do. */
export interface Pending {
  readonly reloaded: Reloaded;
  readonly goOn: () => Promise<void>;
}

/** The part of the configuration that can change while the bus runs. */
function adjustable({ server, bus, storage, auth, rules }: Config): Adjustable {
  return {
    ...server,
    ...bus,
    rules,
    retention: {
      size: storage.maxHistorySize,
      ttlMs: storage.historyTtlSeconds * 1000,
      bytes: storage.maxHistoryBytes,
    },
    channelIdleMs: bus.channelIdleSeconds * 1000,
    presenceGraceMs: bus.presenceGraceSeconds * 1000,
    maxMessageBytes: server.maxMessageSize,
    subjectRateLimitPerSecond: auth.subjectRateLimitPerSecond,
  };
}

function monitorRates({ telemetry, bus }: Config): MonitorRates {
  return { messageSampleRate: telemetry.messageSampleRate, statsIntervalMs: bus.statsIntervalSeconds * 1000 };
}

/** The node name: the configured one, or a random one. */
export function nodeName({ server }: Config): string {
  return server.nodeId === '' ? newSecretId('node_').slice(0, 17) : server.nodeId;
}

/** Starts a server. On failure, rejects with one clear sentence and leaves nothing running. */
export async function startServer(
  config: Config,
  options: ServerOptions = {},
): Promise<{ server: Server; addresses: Addresses }> {
  const node = options.node ?? nodeName(config);
  const engine = options.engine ?? (await loadEngine(storageOptions(config.storage, node)));
  const server = new Server(config, engine, node, options);
  try {
    return { server, addresses: await server.start() };
  } catch (error) {
    await server.stop();
    throw error;
  }
}
