import type { Addresses, MayMove, MovedTo } from '../edge.ts';
import type { Figures } from '../metrics/metrics.ts';
import type { Recorded } from '../telemetry/ring.ts';

/** An event of telemetry on its way to the other workers, and what it is counted as. */
export type Relayed = readonly [event: Recorded, countedAs: string];

/** What a worker says to its supervisor. */
export type ToSupervisor =
  | { readonly type: 'ready'; readonly addresses: Addresses }
  /** It could not start, or cannot go on: one sentence. */
  | { readonly type: 'failed'; readonly reason: string }
  | { readonly type: 'telemetry'; readonly events: readonly Relayed[] }
  /** Asks for the figures of all workers. */
  | { readonly type: 'gather'; readonly question: number }
  | { readonly type: 'figures'; readonly question: number; readonly figures: Figures }
  /** Somebody asked over HTTP. */
  | { readonly type: 'shutdown' }
  | { readonly type: 'restart' };

/** What a supervisor says to a worker. */
export type ToWorker =
  | { readonly type: 'telemetry'; readonly events: readonly Relayed[] }
  | { readonly type: 'figures'; readonly question: number }
  | { readonly type: 'gathered'; readonly question: number; readonly figures: readonly Figures[] }
  /** The whole server goes: take no more clients. */
  | { readonly type: 'leave' }
  /** End, with what was taken answered; the clients are sent away over this time. The others may get new ones. */
  | { readonly type: 'stop'; readonly drainMs: number; readonly shutdownMs: number; readonly unlisten: boolean }
  /** Read the configuration again. */
  | { readonly type: 'reload' };

/** What a worker is given in the variable {@link WORKER_VARIABLE}, as JSON. */
export interface WorkerTask {
  readonly node: string;
  /** The socket of the engine's host; null where each worker opens the engine itself. */
  readonly hostPath: string | null;
  /** Where the listeners are that could not be where the configuration says. */
  readonly movedTo: MovedTo;
  /** Which of them may still move; those of the first worker alone. */
  readonly mayMove: MayMove;
}

/** No setting of the server: it is for the supervisor's children alone. */
export const WORKER_VARIABLE = 'ARQON_WORKER';
