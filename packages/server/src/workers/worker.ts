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

/** Time limit for the metrics of the other workers, in milliseconds; after it, only the own ones are returned. */
const GATHER_MS = 3_000;

/** The task of this process if it is a supervisor's child, else null. */
export function workerTask(env: NodeJS.ProcessEnv): WorkerTask | null {
  const text = env[WORKER_VARIABLE];
  return text === undefined || process.send === undefined ? null : (JSON.parse(text) as WorkerTask);
}

export interface WorkerEvents {
  /** Reload the configuration. */
  reload(server: Server): void;
  /** The current configuration; rejects with its errors. */
  read(): Promise<Config>;
}

/**
 * Runs one worker: an ordinary node that shares its ports with the other workers, and stops when the supervisor says so
 * or exits. The process ends with it.
 */
export async function runWorker(config: Config, task: WorkerTask, log: Logger, events: WorkerEvents): Promise<void> {
  const link = new SupervisorLink(log);
  // The terminal signals the supervisor too, which stops the workers in order.
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
  // Without its supervisor a worker has no storage, and nothing would end this process.
  process.once('disconnect', () => stop({ drainMs: 0, shutdownMs, unlisten: true }));
  link.serve(server, { reload: () => events.reload(server), stop });
  link.tell({ type: 'ready', addresses });
}

type Ending = Omit<Extract<ToWorker, { type: 'stop' }>, 'type'>;

/** Stops a server within its time limit, then exits the process. */
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

/** The worker's side of the channel to its supervisor. */
class SupervisorLink {
  private readonly log: Logger;
  private readonly gathering = new Map<number, (figures: readonly Figures[]) => void>();
  private questions = 0;

  constructor(log: Logger) {
    this.log = log;
  }

  tell(message: ToSupervisor, sent: () => void = () => {}): void {
    // A supervisor that has exited is reported by `disconnect`.
    if (process.connected === true) process.send?.(message, undefined, undefined, () => sent());
    else sent();
  }

  /** Ends this process; the supervisor reports the reason. */
  giveUp(reason: string): void {
    this.tell({ type: 'failed', reason }, () => process.exit(1));
  }

  /** The metrics of all workers that answer in time, always including those of this one. */
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

  /** Handles the supervisor's messages from now on. */
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
