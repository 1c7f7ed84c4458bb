import type { Addresses, MayMove, MovedTo } from '../edge.ts';
import type { Figures } from '../metrics/metrics.ts';
import type { Recorded } from '../telemetry/ring.ts';

/** A telemetry event relayed to the other workers, and the name it is counted under. */
export type Relayed = readonly [event: Recorded, countedAs: string];

/** Messages from a worker to its supervisor. */
export type ToSupervisor =
  | { readonly type: 'ready'; readonly addresses: Addresses }
  /** It could not start, or cannot continue: one sentence. */
  | { readonly type: 'failed'; readonly reason: string }
  | { readonly type: 'telemetry'; readonly events: readonly Relayed[] }
  /** Requests the metrics of all workers. */
  | { readonly type: 'gather'; readonly question: number }
  | { readonly type: 'figures'; readonly question: number; readonly figures: Figures }
  /** Requested over HTTP. */
  | { readonly type: 'shutdown' }
  | { readonly type: 'restart' };

/** Messages from the supervisor to a worker. */
export type ToWorker =
  | { readonly type: 'telemetry'; readonly events: readonly Relayed[] }
  | { readonly type: 'figures'; readonly question: number }
  | { readonly type: 'gathered'; readonly question: number; readonly figures: readonly Figures[] }
  /** The whole server is stopping: accept no more clients. */
  | { readonly type: 'leave' }
  /**
   * Stop, after answering everything accepted; disconnect the clients over this time. Other workers may get new ones.
   */
  | { readonly type: 'stop'; readonly drainMs: number; readonly shutdownMs: number; readonly unlisten: boolean }
  /** Reload the configuration. */
  | { readonly type: 'reload' };

/** The content of {@link WORKER_VARIABLE}, as JSON. */
export interface WorkerTask {
  readonly node: string;
  /** The socket of the engine host; null if each worker opens the engine itself. */
  readonly hostPath: string | null;
  /** The ports of listeners that could not use the configured ones. */
  readonly movedTo: MovedTo;
  /** The listeners that may still change their port; set for the first worker only. */
  readonly mayMove: MayMove;
}

/** Not a server setting: set by the supervisor for its children only. */
export const WORKER_VARIABLE = 'ARQON_WORKER';
