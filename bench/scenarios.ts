/** The publisher keeps `window` messages in flight; one is done when every subscriber has received it. */
export interface ClosedScenario {
  readonly kind: 'closed';
  readonly name: string;
  readonly subscribers: number;
  readonly window: number;
}

/** The publisher sends `rate` messages a second whatever comes back; latency counts from the time each was due. */
export interface PacedScenario {
  readonly kind: 'paced';
  readonly name: string;
  readonly subscribers: number;
  readonly rate: number;
  /** Measured for at least this long: at a low rate a second holds too few messages. */
  readonly leastSeconds?: number;
}

/** Connections are opened, nothing is sent: accept rate and memory. */
export interface IdleScenario {
  readonly kind: 'idle';
  readonly name: string;
  readonly connections: number;
}

/** The server streams prebuilt frames: how much the load generator can take in by itself. */
export interface ReceiveScenario {
  readonly kind: 'receive';
  readonly name: string;
  readonly subscribers: number;
}

export type Scenario = ClosedScenario | PacedScenario | IdleScenario | ReceiveScenario;

/** Paced rates are what the slowest peer still carries, so that the latencies compare servers and not queues. */
export const SCENARIOS: readonly Scenario[] = [
  { kind: 'closed', name: '1to1-closed', subscribers: 1, window: 256 },
  { kind: 'closed', name: '1to100-closed', subscribers: 100, window: 64 },
  { kind: 'closed', name: '1to1000-closed', subscribers: 1000, window: 16 },
  { kind: 'paced', name: '1to1-paced', subscribers: 1, rate: 2000, leastSeconds: 5 },
  { kind: 'paced', name: '1to100-paced', subscribers: 100, rate: 100 },
  { kind: 'paced', name: '1to1000-paced', subscribers: 1000, rate: 10 },
  { kind: 'paced', name: 'hold-5000', subscribers: 5000, rate: 1, leastSeconds: 10 },
  { kind: 'idle', name: 'idle-5000', connections: 5000 },
  { kind: 'receive', name: 'receive-1', subscribers: 1 },
  { kind: 'receive', name: 'receive-100', subscribers: 100 },
  { kind: 'receive', name: 'receive-1000', subscribers: 1000 },
];

/** Run with `--full` only: it needs 20,000 sockets in the server and in the generator. */
export const FULL_SCENARIOS: readonly Scenario[] = [{ kind: 'idle', name: 'idle-20000', connections: 20_000 }];

/**
 * Seconds of traffic before the measurement, for a server's code to be compiled. At a fixed rate fewer messages pass in a
 * second than under full load.
 */
export function warmupSecondsOf(scenario: Scenario): number {
  return scenario.kind === 'paced' ? 3 : 1;
}

/** Connections that a scenario opens, the publisher's included. */
export function connectionsOf(scenario: Scenario): number {
  return scenario.kind === 'idle' ? scenario.connections : scenario.subscribers + 1;
}
