import { readFileSync } from 'node:fs';
import type { Server as HttpServer } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import {
  type AnyCommand,
  Bus,
  CommandRunner,
  CommandSet,
  coreCommands,
  createCronOperator,
  createOmegaOperator,
  createStoreOperator,
  createWebhookOperator,
  type Engine,
  loadEngine,
  type Operator,
  timeEngine,
  tokenCommands,
} from '@arqonbus/bus';
import { CasilLayer } from '@arqonbus/casil';
import { CLOSE, type JsonObject, newSecretId } from '@arqonbus/protocol';
import { casilCommands, reloadPolicy } from './casil/commands.ts';
import { PolicyInspector } from './casil/inspection.ts';
import type { Config } from './config/config.ts';
import { type Addresses, type Edge, openEdge } from './edge.ts';
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

/** A running bus: everything that {@link startServer} opened, and the way to close it again. */
export class Server {
  readonly bus: Bus;
  readonly commands: CommandSet;
  readonly runner: CommandRunner;
  private readonly operators: readonly Operator[];
  readonly monitor: Monitor;
  private readonly options: ServerOptions;
  private readonly engine: Engine;
  private readonly layer: CasilLayer;
  private readonly config: Config;
  private readonly log: Logger;
  private edge: Edge | null = null;
  /** What the listeners run with: the last configuration that they could be opened with. */
  private edgeConfig: Config;
  private readonly timers: NodeJS.Timeout[] = [];
  /** Settles when the last {@link reopen} asked for is over, however it ended. */
  private reopening: Promise<unknown> = Promise.resolve();
  private stopping: Promise<void> | null = null;

  constructor(config: Config, engine: Engine, layer: CasilLayer, node: string, options: ServerOptions) {
    const { log = createLog({ level: config.log.level, pretty: false }), now = Date.now } = options;
    this.layer = layer;
    this.config = config;
    this.edgeConfig = config;
    const metrics = new Metrics();
    this.engine = timeEngine(engine, (operation, seconds) =>
      metrics.observeStorage(engine.backend, operation, seconds),
    );
    this.options = options;
    this.log = log;
    const all: AnyCommand[] = [];
    const { server, bus, storage, telemetry, auth } = config;
    const onFault = (error: unknown): void => log.error({ err: error }, 'unexpected fault');
    const inspector = new PolicyInspector(layer, (level, fields, message) => log[level](fields, message), now);
    this.bus = new Bus(this.engine, inspector, (session, inbound) => this.runner.answer(session, inbound), {
      ...bus,
      node,
      version: VERSION,
      retention: { size: storage.maxHistorySize, ttlMs: storage.historyTtlSeconds * 1000, bytes: 16 * 1_048_576 },
      channelIdleMs: bus.channelIdleSeconds * 1000,
      maxBacklogBytes: server.maxBacklogBytes,
      maxMessageBytes: server.maxMessageSize,
      pingIntervalMs: server.pingIntervalSeconds * 1000,
      telemetry: telemetry.enabled,
      telemetryRoom: telemetry.room,
      serverTenant: auth.enabled ? null : 'default',
      now,
      onFault,
      onWarning: (sentence) => log.warn(sentence),
    });
    inspector.tellTo(this.bus.events);
    this.monitor = new Monitor(this.bus, metrics, log, {
      telemetry: telemetry.enabled,
      bufferSize: telemetry.bufferSize,
      messageSampleRate: telemetry.messageSampleRate,
      statsIntervalMs: bus.statsIntervalSeconds * 1000,
    });
    inspector.onInspected = (seconds) => metrics.observeInspection(seconds);
    this.monitor.casilDecisions = () => layer.tally.decisions();
    this.bus.sessionLeft.add((session) => layer.forget(session.id));
    this.operators = this.createOperators();
    all.push(
      ...coreCommands(this.bus, () => this.commands.all),
      ...tokenCommands(this.bus, () => {
        const verifier = this.edge?.verifier;
        return verifier == null ? null : (token) => verifier.verify(token);
      }),
      ...casilCommands(this.bus, layer),
      ...this.operators.flatMap((operator) => operator.commands),
    );
    this.commands = new CommandSet(all);
    this.runner = new CommandRunner(this.bus, this.commands);
  }

  async start(): Promise<Addresses> {
    await this.engine.open(this.bus.engineEvents);
    this.warnOfStorage();
    this.bus.rooms.tenant('default');
    this.bus.catalog.start();
    for (const operator of this.operators) operator.start();
    await this.loadState();
    this.every(SWEEP_INTERVAL_MS, () => this.bus.idle.run());
    // That the storage is away is told already.
    this.every(REPORT_INTERVAL_MS, () => void this.bus.directory.beat().catch(() => {}));
    this.edge = await this.openEdge(this.config);
    this.bus.events.emit('server_started', null, { version: VERSION, node: this.bus.options.node });
    return this.edge.addresses;
  }

  private warnOfStorage(): void {
    for (const warning of this.engine.warnings ?? []) this.log.warn(warning);
  }

  /** Takes up what is kept in the store. Degraded mode starts without it, and takes it up once the store is there. */
  private async loadState(): Promise<void> {
    const { bus, engine, operators, log } = this;
    try {
      await bus.catalog.load();
      for (const operator of operators) await operator.load();
    } catch (error) {
      if (engine.healthy() || this.config.storage.mode === 'strict') throw error;
      const stop = bus.events.on(({ event }) => {
        if (event.eventType !== 'storage_recovered') return;
        stop();
        this.warnOfStorage();
        this.loadState().catch((fault: unknown) => log.error({ err: fault }, 'stored state could not be taken up'));
      });
    }
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
    await this.closeEdge(RESTART_SPREAD_MS, 'server restarting');
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

  /** The families of op.* commands. A new one joins this list. */
  private createOperators(): Operator[] {
    const { bus, config } = this;
    const webhooks = createWebhookOperator(bus, config.webhook);
    this.monitor.webhookDeliveries = () =>
      Object.entries(webhooks.outcomes).map(([outcome, value]) => ({ labels: { outcome }, value }));
    return [
      webhooks,
      createCronOperator(bus, config.cron),
      createStoreOperator(bus, config.store),
      createOmegaOperator(bus, config.omega),
    ];
  }

  /** Puts these settings of the content policy in force, or throws with all that is wrong with them and changes nothing. */
  reloadPolicy(settings: Config['casil']): void {
    const { revision, mode, enabled } = reloadPolicy(this.layer, settings);
    this.bus.events.emit('casil_policy_reloaded', null, { revision, mode, enabled });
  }

  private async shutDown(): Promise<void> {
    const { bus, config } = this;
    await this.reopening;
    // A server that could not start has nothing to stop, nor a storage to write it to.
    if (this.edge !== null) bus.events.emit('server_stopping', null, { node: bus.options.node });
    for (const timer of this.timers) clearInterval(timer);
    await this.closeEdge(config.server.shutdownSeconds * 1000, 'server shutting down');
    bus.expiry.stop();
    for (const operator of this.operators) await operator.stop();
    await this.engine.close();
    this.monitor.stop();
  }

  /** Takes no more clients, tells those that are there, lets what they sent settle, and closes them. */
  private async closeEdge(spreadMs: number, reason: string): Promise<void> {
    const { bus } = this;
    bus.isDraining = true;
    bus.announceShutdown(spreadMs);
    const patienceMs = this.config.server.shutdownSeconds * 250;
    await atMost(Math.min(SETTLE_MS, 2 * patienceMs), bus.settled());
    bus.closeAll(CLOSE.GOING_AWAY, reason);
    // A peer that does not answer the close frame is cut after a second; a shorter shutdown does not wait for that.
    if (this.edge !== null) await atMost(patienceMs, this.edge.close());
    this.edge = null;
  }

  private openEdge(config: Config): Promise<Edge> {
    const { bus, runner, monitor, log, options, layer } = this;
    const { onShutdown, onRestart, httpServer } = options;
    const redact = (room: string, channel: string, payload: JsonObject): JsonObject =>
      layer.redactForObservability({ type: 'event', room, channel, payload });
    return openEdge({ config, bus, runner, monitor, log, httpServer, redact, onShutdown, onRestart });
  }

  private every(ms: number, run: () => void): void {
    this.timers.push(setInterval(run, ms).unref());
  }
}

const SWEEP_INTERVAL_MS = 1_000;
const REPORT_INTERVAL_MS = 5_000;
/** How long answers that wait for storage may still take once the server stops. */
const SETTLE_MS = 5_000;
const RESTART_SPREAD_MS = 1_000;

/** Waits for `done`, but not longer than this. */
async function atMost(ms: number, done: Promise<void>): Promise<void> {
  await Promise.race([done, delay(ms, undefined, { ref: false })]);
}

/** Opens a server; rejects with one clear sentence, and nothing half-started, when it cannot. */
export async function startServer(
  config: Config,
  options: ServerOptions = {},
): Promise<{ server: Server; addresses: Addresses }> {
  const opened = CasilLayer.open(config.casil);
  if (!opened.ok)
    throw new Error(opened.faults.map(({ setting, message }) => `casil ${setting}: ${message}`).join('\n'));
  const node = config.server.nodeId === '' ? newSecretId('node_').slice(0, 17) : config.server.nodeId;
  const engine = await loadEngine({ ...config.storage, nodeId: node });
  const server = new Server(config, engine, opened.layer, node, options);
  try {
    return { server, addresses: await server.start() };
  } catch (error) {
    await server.stop();
    throw error;
  }
}
