import type { Figures } from '../figures.ts';
import type { Scenario } from '../scenarios.ts';

/** What the load generator's process is told, as JSON in its first argument. */
export interface Job {
  readonly scenario: Scenario;
  readonly peer: string;
  readonly port: number;
  /** Where subscribers connect; the same for most peers. */
  readonly subscriberPort: number;
  /** The server's process, whose CPU time and memory are read. */
  readonly pid: number;
  readonly warmupSeconds: number;
  readonly seconds: number;
}

/** What it answers, as one line of JSON on standard output. */
export type Outcome = { readonly figures: Figures } | { readonly fault: string };
