import { loadEngine } from '@arqonbus/bus';
import type { Config } from '../config/config.ts';
import { storageOptions } from '../config/storage-options.ts';
import type { Addresses } from '../edge.ts';
import type { Logger } from '../log.ts';
import type { Figures } from '../metrics/metrics.ts';
import { type Server, startServer } from '../server.ts';
import { type Relayed, type ToSupervisor, type ToWorker, WORKER_VARIABLE, type WorkerTask } from './messages.ts';
import { reloadedByWorkers } from './reloaded.ts';
import { TelemetryRelay } from './telemetry-relay.ts';

/** How long the figures of the other workers may take, in milliseconds; then one's own are answered alone. */
const GATHER_MS = 3_000;

/** What this process has to do when it is a supervisor's child; null when it is none. */
export function workerTask(env: NodeJS.ProcessEnv): WorkerTask | null {
  const text = env[WORKER_VARIABLE];
  return text === undefined || process.send === undefined ? null : (JSON.parse(text) as WorkerTask);
}

export interface WorkerEvents {
  /** The configuration is to be read again. */
  reload(server: Server): void;
  /** What is configured now; rejects with what is wrong with it. */
  read(): Promise<Config>;
}

/**
 * Runs one worker: a node like any other, whose ports are shared with its siblings, and which ends when its supervisor
 * says so or is gone. The process ends with it.
 */
export async function runWorker(config: Config, task: WorkerTask, log: Logger, events: WorkerEvents): Promise<void> {
  const link = new SupervisorLink(log);
  // The supervisor is told by the terminal too, and it is the one who knows in which order to end.
  for (const name of ['SIGINT', 'SIGHUP'] as const) process.on(name, () => {});
  let addresses: Addresses;
  let server: Server;
  try {
    const { node, hostPath, mayMove, movedTo } = task;
    const onStale = (): void => {
      link.giveUp('it missed changes of the store');
    };
    const host = hostPath === null ? {} : { hostPath, onStale };
    const engine = await loadEngine({ ...storageOptions(config.storage, node), ...host });
    const started = startServer(config, {
      log,
      node,
      engine,
      mayMove,
      movedTo,
      gather: (own) => link.gather(own),
      onShutdown: () => link.tell({ type: 'shutdown' }),
      onRestart: async () => {
        const wanted = await events.read();
        const reloaded = reloadedByWorkers((await started).server.config, wanted);
        return { reloaded, goOn: () => link.tell({ type: 'restart' }) };
      },
    });
    ({ server, addresses } = await started);
  } catch (error) {
    link.giveUp(error instanceof Error ? error.message : String(error));
    return;
  }
  const { shutdownSeconds, drainSeconds } = config.server;
  const shutdownMs = shutdownSeconds * 1000;
  let isEnding = false;
  const stop = (end: Ending): void => {
    if (isEnding) return;
    isEnding = true;
    void endWith(server, end, log);
  };
  process.on('SIGTERM', () => stop({ drainMs: drainSeconds * 1000, shutdownMs, unlisten: true }));
  // Without a supervisor there is nobody to store for, and nobody who would end this process.
  process.once('disconnect', () => stop({ drainMs: 0, shutdownMs, unlisten: true }));
  link.serve(server, { reload: () => events.reload(server), stop });
  link.tell({ type: 'ready', addresses });
}

type Ending = Omit<Extract<ToWorker, { type: 'stop' }>, 'type'>;

/** Stops a server within its time, and ends the process with it. */
async function endWith(server: Server, { drainMs, shutdownMs, unlisten }: Ending, log: Logger): Promise<void> {
  const overdue = setTimeout(() => {
    log.error('the shutdown took too long and was cut short');
    process.exit(1);
  }, drainMs + shutdownMs);
  overdue.unref();
  try {
    await server.retire(drainMs, { unlisten });
    await server.stop();
    process.exit(0);
  } catch (error) {
    log.error({ err: error }, 'the shutdown failed');
    process.exit(1);
  }
}

/** The worker's end of the channel between it and its supervisor. */
class SupervisorLink {
  private readonly log: Logger;
  private readonly gathering = new Map<number, (figures: readonly Figures[]) => void>();
  private questions = 0;

  constructor(log: Logger) {
    this.log = log;
  }

  tell(message: ToSupervisor, sent: () => void = () => {}): void {
    // Whoever is gone needs to know nothing; that it is gone is told by `disconnect`.
    if (process.connected === true) process.send?.(message, undefined, undefined, () => sent());
    else sent();
  }

  /** Ends this process; the supervisor says why. */
  giveUp(reason: string): void {
    this.tell({ type: 'failed', reason }, () => process.exit(1));
  }

  /** The figures of all workers that answer in time; those of this one in any case. */
  gather(own: Figures): Promise<readonly Figures[]> {
    this.questions += 1;
    const question = this.questions;
    return new Promise((resolve) => {
      const done = (figures: readonly Figures[]): void => {
        this.gathering.delete(question);
        clearTimeout(overdue);
        resolve([own, ...figures]);
      };
      const overdue = setTimeout(() => done([]), GATHER_MS);
      this.gathering.set(question, done);
      this.tell({ type: 'gather', question });
    });
  }

  /** Does from now on what the supervisor asks for. */
  serve(server: Server, acts: { reload(): void; stop(end: Ending): void }): void {
    const { feed, metrics } = server.monitor;
    const relay = new TelemetryRelay(
      (events, sent) => this.tell({ type: 'telemetry', events }, sent),
      (events) => this.log.warn(`${events} telemetry events came too fast to be passed to the other workers`),
    );
    feed.relay((event, countedAs) => relay.pass([event, countedAs]));
    process.on('message', (message: ToWorker) => {
      switch (message.type) {
        case 'telemetry':
          for (const [event, countedAs] of message.events as readonly Relayed[]) feed.take(event, countedAs);
          return;
        case 'figures': {
          const { question } = message;
          void metrics.figures().then((figures) => this.tell({ type: 'figures', question, figures }));
          return;
        }
        case 'gathered':
          this.gathering.get(message.question)?.(message.figures);
          return;
        case 'leave':
          server.leave();
          return;
        case 'reload':
          acts.reload();
          return;
        case 'stop':
          acts.stop(message);
      }
    });
  }
}
