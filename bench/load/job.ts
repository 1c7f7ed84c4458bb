import type { Figures } from '../figures.ts';
import type { Scenario } from '../scenarios.ts';

/** The job of a load generator process, as JSON in its first argument. */
export interface Job {
  readonly scenario: Scenario;
  readonly peer: string;
  readonly port: number;
  /** The port for subscribers; the same for most peers. */
  readonly subscriberPort: number;
  /** The server process, whose CPU time and memory are read. */
  readonly pid: number;
  readonly warmupSeconds: number;
  readonly seconds: number;
}

/** The result, as one line of JSON on standard output. */
export type Outcome = { readonly figures: Figures } | { readonly fault: string };
