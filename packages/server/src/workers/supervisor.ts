import cluster, { type Worker } from 'node:cluster';
import { availableParallelism } from 'node:os';
import { type EngineHost, hostEngine, loadEngine } from '@arqonbus/bus';
import { withChanges } from '../config/changes.ts';
import type { Config } from '../config/config.ts';
import { storageOptions } from '../config/storage-options.ts';
import type { Addresses, MayMove, MovedTo } from '../edge.ts';
import type { Reloaded } from '../http/admin-routes.ts';
import type { Logger } from '../log.ts';
import type { Figures } from '../metrics/metrics.ts';
import { nodeName } from '../server.ts';
import { type ToSupervisor, type ToWorker, WORKER_VARIABLE, type WorkerTask } from './messages.ts';
import { endWhatIsOnItsWay } from './on-their-way.ts';
import { reloadedByWorkers } from './reloaded.ts';
import { Restarts } from './restarts.ts';

/** Time limit for a worker to start, in milliseconds. */
const START_MS = 60_000;
/** Extra time for a stopping worker before it is killed, in milliseconds. */
const PATIENCE_MS = 2_000;
/** Time limit for workers to send their metrics, in milliseconds. */
const FIGURES_MS = 2_000;
/** Maximum telemetry batches pending for one worker; further ones are dropped for it. */
const MOST_BATCHES = 32;

/** Number of worker processes for a configuration. */
export function workerCount({ server }: Config): number {
  return server.workers === 0 ? availableParallelism() : server.workers;
}

export interface SupervisorEvents {
  readonly mayMove: MayMove;
  /** A shutdown of the whole server was requested over HTTP. */
  onShutdown(): void;
  /** A replacement of the workers was requested over HTTP. */
  onRestart(): void;
  /** Workers keep crashing; the remaining ones should be stopped. */
  onGivenUp(sentence: string): void;
}

/** The slot of one worker; every worker in it has the same node name. */
interface Slot {
  readonly node: string;
  worker: Worker | null;
  /** It accepts clients, and receives messages. */
  isReady: boolean;
  /** A stop was requested; its exit is not a crash. */
  isStopping: boolean;
  batches: number;
  retry: NodeJS.Timeout | undefined;
}

/**
 * Several processes that form one server: starts them, hosts their engine if needed, restarts crashed ones, and stops
 * them one by one. The ports are shared: new connections are distributed in turn.
 */
export class Supervisor {
  private config: Config;
  private movedTo: MovedTo = {};
  private readonly log: Logger;
  private readonly events: SupervisorEvents;
  private readonly slots: Slot[];
  private readonly restarts: Restarts;
  private host: EngineHost | null = null;
  private readonly gathering = new Map<string, { missing: number; figures: Figures[]; done(): void }>();
  private gatherings = 0;
  private rolling: Promise<void> = Promise.resolve();
  private stopping: Promise<void> | null = null;

  constructor(config: Config, log: Logger, events: SupervisorEvents) {
    this.config = config;
    this.log = log;
    this.events = events;
    const name = nodeName(config);
    const count = workerCount(config);
    this.slots = Array.from({ length: count }, (_, index) => ({
      node: `${name}-${index + 1}`,
      worker: null,
      isReady: false,
      isStopping: false,
      batches: 0,
      retry: undefined,
    }));
    this.restarts = new Restarts(() => performance.now());
  }

  /** Starts all workers; if one fails, stops the others and rejects with its error. */
  async start(): Promise<Addresses> {
    const { storage } = this.config;
    try {
      if (storage.backend === 'memory' || storage.backend === 'sqlite') {
        this.host = await hostEngine(await loadEngine(storageOptions(storage, nodeName(this.config))));
      }
      // Only the first worker reports configuration errors.
      const [first, ...others] = this.slots as [Slot, ...Slot[]];
      const addresses = await this.fork(first, this.events.mayMove);
      this.movedTo = movedFrom(this.config, addresses);
      await Promise.all(others.map((slot) => this.fork(slot)));
      return addresses;
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  /**
   * Has all workers reload the configuration, and returns what changed. If listeners must be reopened, or with
   * `replaceAll`, the workers are replaced one by one; if one cannot start, the rest are not replaced. Shared settings
   * need a new server; if one changed, no worker is replaced, since it would not match the others.
   */
  apply(wanted: Config, { replaceAll = false }: { readonly replaceAll?: boolean } = {}): Reloaded {
    const reloaded = reloadedByWorkers(this.config, wanted);
    const isReplacing = reloaded.needs_new_process.length === 0 && (replaceAll || reloaded.reopening.length > 0);
    this.config = withChanges(this.config, wanted, isReplacing ? ['now', 'reopened'] : ['now']);
    if (isReplacing) this.rolling = this.rolling.then(() => this.roll());
    else this.tellAll({ type: 'reload' });
    return reloaded;
  }

  private async roll(): Promise<void> {
    for (const slot of this.slots) {
      await this.end(slot, this.config.server.drainSeconds * 1000, true);
      if (this.stopping !== null) return;
      try {
        await this.fork(slot);
      } catch (error) {
        this.log.error('the other workers are not replaced');
        this.died(slot, (error as Error).message);
        return;
      }
    }
    this.log.info('all workers run with the configuration read again');
  }

  /** Stops accepting clients, ends the workers one by one, then closes the engine. Idempotent. */
  stop(): Promise<void> {
    this.stopping ??= this.shutDown();
    return this.stopping;
  }

  private async shutDown(): Promise<void> {
    for (const slot of this.slots) clearTimeout(slot.retry);
    this.tellAll({ type: 'leave' });
    const drainMs = (this.config.server.drainSeconds * 1000) / this.slots.length;
    for (const slot of this.slots) await this.end(slot, drainMs, false);
    await this.host?.close();
  }

  /** Stops the worker of a slot; kills it after the time limit. */
  private async end(slot: Slot, drainMs: number, unlisten: boolean): Promise<void> {
    clearTimeout(slot.retry);
    const { worker } = slot;
    if (worker === null || worker.isDead()) return;
    const shutdownMs = this.config.server.shutdownSeconds * 1000;
    slot.isStopping = true;
    const gone = new Promise((resolve) => worker.once('exit', resolve));
    const overdue = setTimeout(
      () => {
        this.log.error(`${slot.node} did not stop in time and was killed`);
        worker.process.kill('SIGKILL');
      },
      drainMs + shutdownMs + PATIENCE_MS,
    );
    if (slot.isReady) tell(worker, { type: 'stop', drainMs, shutdownMs, unlisten });
    else worker.process.kill('SIGKILL');
    await gone;
    clearTimeout(overdue);
    slot.isStopping = false;
  }

  /** Starts a worker in a slot; resolves when it accepts clients. */
  private fork(slot: Slot, mayMove: MayMove = NO_MOVE): Promise<Addresses> {
    const { host, movedTo } = this;
    const task: WorkerTask = { node: slot.node, hostPath: host?.path ?? null, movedTo, mayMove };
    const worker = cluster.fork({ [WORKER_VARIABLE]: JSON.stringify(task) });
    endWhatIsOnItsWay(worker);
    slot.worker = worker;
    slot.isReady = false;
    slot.batches = 0;
    return new Promise((resolve, reject) => {
      let reason = '';
      const overdue = setTimeout(() => worker.process.kill('SIGKILL'), START_MS);
      worker.on('message', (message: ToSupervisor) => {
        if (message.type === 'failed') ({ reason } = message);
        else if (message.type === 'ready') {
          slot.isReady = true;
          clearTimeout(overdue);
          resolve(message.addresses);
        } else this.hear(slot, worker, message);
      });
      worker.once('exit', (code, signal) => {
        clearTimeout(overdue);
        slot.worker = null;
        const how = reason === '' ? `it ended with ${signal ?? code}` : reason;
        if (!slot.isReady) reject(new Error(how));
        else if (!slot.isStopping) this.died(slot, how);
      });
    });
  }

  /** A worker exited unexpectedly: starts another. */
  private died(slot: Slot, how: string): void {
    if (this.stopping !== null) return;
    const delayMs = this.restarts.next();
    if (delayMs === null) {
      const sentence = `Workers died ${this.restarts.most} times within a minute (the last one: ${how}); the server ends.`;
      this.events.onGivenUp(sentence);
      return;
    }
    this.log.error(`${slot.node} died: ${how}; it is started again in ${delayMs} ms`);
    slot.retry = setTimeout(() => {
      this.fork(slot).then(
        () => this.log.info(`${slot.node} takes clients again`),
        (error: Error) => this.died(slot, error.message),
      );
    }, delayMs);
  }

  private hear(slot: Slot, worker: Worker, message: Exclude<ToSupervisor, { type: 'ready' | 'failed' }>): void {
    switch (message.type) {
      case 'telemetry':
        for (const other of this.slots) if (other !== slot) this.relay(other, message);
        return;
      case 'gather':
        this.gather(slot, worker, message.question);
        return;
      case 'figures': {
        const gathering = this.gathering.get(String(message.question));
        if (gathering === undefined) return;
        gathering.figures.push(message.figures);
        gathering.missing -= 1;
        if (gathering.missing === 0) gathering.done();
        return;
      }
      case 'shutdown':
        this.events.onShutdown();
        return;
      case 'restart':
        this.events.onRestart();
    }
  }

  private relay(slot: Slot, message: ToWorker): void {
    const { worker } = slot;
    if (worker === null || slot.batches >= MOST_BATCHES) return;
    slot.batches += 1;
    tell(worker, message, () => {
      if (slot.worker === worker) slot.batches -= 1;
    });
  }

  /** Collects the metrics of the other workers for `asker`. */
  private gather(slot: Slot, asker: Worker, question: number): void {
    const others = this.slots.flatMap(({ worker }) => (worker === null || worker === slot.worker ? [] : [worker]));
    this.gatherings += 1;
    const name = this.gatherings;
    const done = (): void => {
      clearTimeout(overdue);
      const figures = this.gathering.get(String(name))?.figures ?? [];
      this.gathering.delete(String(name));
      tell(asker, { type: 'gathered', question, figures });
    };
    const overdue = setTimeout(done, FIGURES_MS);
    this.gathering.set(String(name), { missing: others.length, figures: [], done });
    if (others.length === 0) done();
    for (const worker of others) tell(worker, { type: 'figures', question: name });
  }

  private tellAll(message: ToWorker): void {
    for (const { worker } of this.slots) if (worker !== null) tell(worker, message);
  }
}

const NO_MOVE: MayMove = { telemetry: false, http: false };

/** The actual ports of listeners whose configured ports were taken; later workers use the same ones. */
function movedFrom({ telemetry, http }: Config, addresses: Addresses): MovedTo {
  const moved = (wanted: number | 'off', at: Addresses['http']): number | undefined =>
    at === null || wanted === 0 || wanted === at.port ? undefined : at.port;
  const [forTelemetry, forHttp] = [moved(telemetry.port, addresses.telemetry), moved(http.port, addresses.http)];
  return {
    ...(forTelemetry === undefined ? {} : { telemetry: forTelemetry }),
    ...(forHttp === undefined ? {} : { http: forHttp }),
  };
}

/** Sends a message to a worker that may have exited. */
function tell(worker: Worker, message: ToWorker, sent: () => void = () => {}): void {
  if (!worker.isConnected()) sent();
  else worker.send(message, undefined, () => sent());
}
