import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { CLOSE, newSecretId } from '@arqonbus/protocol';
import { Bus } from './bus/bus.ts';
import type { Inspector } from './bus/publish.ts';
import { type AnyCommand, CommandSet } from './commands/command.ts';
import { coreCommands } from './commands/core.ts';
import { CommandRunner } from './commands/run.ts';
import type { Config } from './config/config.ts';
import { type Addresses, type Edge, openEdge } from './edge.ts';
import type { Engine } from './engine/engine.ts';
import { createMemoryEngine } from './engine/memory.ts';
import type { Logger } from './log.ts';

/** Version of this package, as the wire, `/version` and `arqon --version` tell it. */
export const VERSION: string = (
  JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string }
).version;

export interface ServerOptions {
  readonly log: Logger;
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
  private readonly engine: Engine;
  private readonly config: Config;
  private readonly log: Logger;
  private edge: Edge | null = null;
  private readonly timers: NodeJS.Timeout[] = [];
  private stopping: Promise<void> | null = null;

  constructor(config: Config, engine: Engine, options: ServerOptions) {
    const { log, now = Date.now } = options;
    this.config = config;
    this.engine = engine;
    this.log = log;
    const all: AnyCommand[] = [];
    const { server, bus, storage, telemetry, auth } = config;
    const onFault = (error: unknown): void => log.error({ err: error }, 'unexpected fault');
    this.bus = new Bus(engine, UNINSPECTED, (session, inbound) => this.runner.answer(session, inbound), {
      ...bus,
      node: server.nodeId === '' ? newSecretId('node_').slice(0, 17) : server.nodeId,
      version: VERSION,
      retention: { size: storage.maxHistorySize, ttlMs: storage.historyTtlSeconds * 1000 },
      channelIdleMs: bus.channelIdleSeconds * 1000,
      maxBacklogBytes: server.maxBacklogBytes,
      maxMessageBytes: server.maxMessageSize,
      pingIntervalMs: server.pingIntervalSeconds * 1000,
      telemetry: telemetry.enabled,
      telemetryRoom: telemetry.room,
      serverTenant: auth.enabled ? null : 'default',
      now,
      onFault,
    });
    all.push(...coreCommands(this.bus, () => all));
    this.commands = new CommandSet(all);
    this.runner = new CommandRunner(this.bus, this.commands);
  }

  async start(): Promise<Addresses> {
    await this.engine.open(this.bus.engineEvents);
    await this.bus.catalog.load();
    this.bus.rooms.tenant('default');
    this.every(SWEEP_INTERVAL_MS, () => this.bus.idle.run());
    this.edge = await this.openEdge(this.config);
    this.bus.events.emit('server_started', null, { version: VERSION, node: this.bus.options.node });
    return this.edge.addresses;
  }

  /** Tells the clients, flushes, closes every connection with 1001 and lets go of every resource. Idempotent. */
  stop(): Promise<void> {
    this.stopping ??= this.shutDown();
    return this.stopping;
  }

  /**
   * Closes the listeners and opens them as `config` says; clients are told to come back. Rooms, history and what is
   * set once (storage, limits of the bus) stay as they are.
   */
  async reopen(config: Config): Promise<Addresses> {
    await this.closeEdge(RESTART_SPREAD_MS, 'server restarting');
    this.edge = await this.openEdge(config);
    this.bus.isDraining = false;
    return this.edge.addresses;
  }

  private async shutDown(): Promise<void> {
    const { bus, config } = this;
    bus.events.emit('server_stopping', null, { node: bus.options.node });
    for (const timer of this.timers) clearInterval(timer);
    await this.closeEdge(config.server.shutdownSeconds * 1000, 'server shutting down');
    bus.expiry.stop();
    await this.engine.close();
  }

  /** Takes no more clients, tells those that are there, lets what they sent settle, and closes them. */
  private async closeEdge(spreadMs: number, reason: string): Promise<void> {
    const { bus } = this;
    bus.isDraining = true;
    bus.announceShutdown(spreadMs);
    await Promise.race([bus.settled(), delay(SETTLE_MS, undefined, { ref: false })]);
    bus.closeAll(CLOSE.GOING_AWAY, reason);
    await this.edge?.close();
    this.edge = null;
  }

  private openEdge(config: Config): Promise<Edge> {
    return openEdge(config, this.bus, this.log);
  }

  private every(ms: number, run: () => void): void {
    this.timers.push(setInterval(run, ms).unref());
  }
}

const SWEEP_INTERVAL_MS = 1_000;
/** How long answers that wait for storage may still take once the server stops. */
const SETTLE_MS = 5_000;
const RESTART_SPREAD_MS = 1_000;
const UNINSPECTED: Inspector = { enabled: false, inspect: ({ payload }) => ({ payload, metadata: undefined }) };

/** Opens a server; rejects with one clear sentence, and nothing half-started, when it cannot. */
export async function startServer(
  config: Config,
  options: ServerOptions,
): Promise<{ server: Server; addresses: Addresses }> {
  const engine = createMemoryEngine();
  const server = new Server(config, engine, options);
  try {
    return { server, addresses: await server.start() };
  } catch (error) {
    await server.stop();
    throw error;
  }
}
