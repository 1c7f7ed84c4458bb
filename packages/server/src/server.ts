import { readFileSync } from 'node:fs';
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
    this.edge = await openEdge(this.config, this.bus, this.log);
    this.bus.events.emit('server_started', null, { version: VERSION, node: this.bus.options.node });
    return this.edge.addresses;
  }

  /** Tells the clients, flushes, closes every connection with 1001 and lets go of every resource. Idempotent. */
  stop(): Promise<void> {
    this.stopping ??= this.shutDown();
    return this.stopping;
  }

  private async shutDown(): Promise<void> {
    const { bus, config } = this;
    bus.events.emit('server_stopping', null, { node: bus.options.node });
    for (const timer of this.timers) clearInterval(timer);
    bus.announceShutdown(config.server.shutdownSeconds * 1000);
    bus.closeAll(CLOSE.GOING_AWAY, 'server shutting down');
    await this.edge?.close();
    await this.engine.close();
  }

  private every(ms: number, run: () => void): void {
    this.timers.push(setInterval(run, ms).unref());
  }
}

const SWEEP_INTERVAL_MS = 1_000;
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
