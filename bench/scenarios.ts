/** The publisher keeps `window` messages in flight; a message is complete when every subscriber has received it. */
export interface ClosedScenario {
  readonly kind: 'closed';
  readonly name: string;
  readonly subscribers: number;
  readonly window: number;
}

/** The same, for subscribers over server-sent events compared to those over a WebSocket. */
export interface SseScenario {
  readonly kind: 'sse';
  readonly name: string;
  readonly subscribers: number;
  readonly window: number;
}

/**
 * The publisher sends `rate` messages per second regardless of the deliveries; latency counts from the time each was
 * due.
 */
export interface PacedScenario {
  readonly kind: 'paced';
  readonly name: string;
  readonly subscribers: number;
  readonly rate: number;
  /** Minimum duration: at a low rate a second contains too few messages. */
  readonly leastSeconds?: number;
}

/** Many channels at once, each with one publisher that has one message in flight, and with separate subscribers. */
export interface ChatScenario {
  readonly kind: 'chat';
  readonly name: string;
  readonly channels: number;
  /** Per channel. */
  readonly subscribers: number;
}

/**
 * Subscribers of many channels disconnect abruptly and are replaced, evenly, while one publisher sends to one
 * subscriber.
 */
export interface ChurnScenario {
  readonly kind: 'churn';
  readonly name: string;
  readonly connections: number;
  readonly channels: number;
  /** Fraction of the connections replaced per minute. */
  readonly perMinute: number;
  /** Messages per second of the publisher. */
  readonly rate: number;
  readonly leastSeconds: number;
}

/** All subscribers are disconnected, miss some events, and reconnect at once to get them. */
export interface ResumeScenario {
  readonly kind: 'resume';
  readonly name: string;
  readonly connections: number;
  readonly events: number;
}

/** Connections are opened but idle: measures accept rate and memory. */
export interface IdleScenario {
  readonly kind: 'idle';
  readonly name: string;
  readonly connections: number;
  /** Whether each subscribes to the same channel. */
  readonly subscribed: boolean;
}

/** One event is published to each of many channels, which then stay idle: measures memory. */
export interface ChannelsScenario {
  readonly kind: 'channels';
  readonly name: string;
  readonly channels: number;
}

/** The server streams prebuilt frames: measures how much the load generator can receive. */
export interface ReceiveScenario {
  readonly kind: 'receive';
  readonly name: string;
  readonly subscribers: number;
}

export type Scenario =
  | ClosedScenario
  | SseScenario
  | PacedScenario
  | ChatScenario
  | ChurnScenario
  | ResumeScenario
  | IdleScenario
  | ChannelsScenario
  | ReceiveScenario;

/** Paced rates are sustainable for the slowest peer, so that latencies compare servers and not queues. */
export const SCENARIOS: readonly Scenario[] = [
  { kind: 'closed', name: '1to1-closed', subscribers: 1, window: 256 },
  { kind: 'closed', name: '1to1-closed-32', subscribers: 1, window: 32 },
  { kind: 'closed', name: '1to100-closed', subscribers: 100, window: 64 },
  { kind: 'closed', name: '1to1000-closed', subscribers: 1000, window: 16 },
  { kind: 'chat', name: 'chat', channels: 1000, subscribers: 10 },
  { kind: 'sse', name: 'sse-1to100', subscribers: 100, window: 64 },
  { kind: 'sse', name: 'sse-1to1000', subscribers: 1000, window: 16 },
  { kind: 'paced', name: '1to1-paced', subscribers: 1, rate: 2000, leastSeconds: 5 },
  { kind: 'paced', name: '1to1-paced-20000', subscribers: 1, rate: 20_000, leastSeconds: 5 },
  { kind: 'paced', name: '1to100-paced', subscribers: 100, rate: 100 },
  { kind: 'paced', name: '1to1000-paced', subscribers: 1000, rate: 10 },
  { kind: 'paced', name: 'hold-5000', subscribers: 5000, rate: 1, leastSeconds: 10 },
  {
    ...{ kind: 'churn', name: 'churn', connections: 10_000, channels: 1000, perMinute: 0.2 },
    ...{ rate: 1000, leastSeconds: 15 },
  },
  { kind: 'resume', name: 'resume', connections: 5000, events: 100 },
  { kind: 'idle', name: 'idle-5000', connections: 5000, subscribed: false },
  { kind: 'idle', name: 'memory-connections', connections: 5000, subscribed: true },
  { kind: 'channels', name: 'memory-channels', channels: 20_000 },
  { kind: 'receive', name: 'receive-1', subscribers: 1 },
  { kind: 'receive', name: 'receive-100', subscribers: 100 },
  { kind: 'receive', name: 'receive-1000', subscribers: 1000 },
];

/** Only run with `--full`: they need many sockets in the server and the generator. */
export const FULL_SCENARIOS: readonly Scenario[] = [
  { kind: 'idle', name: 'idle-19000', connections: 19_000, subscribed: true },
];

/**
 * Seconds of warm-up, in which a server's code gets compiled. At a fixed rate, fewer messages pass per second than
 * under full load.
 */
function warmupSecondsOf(scenario: Scenario): number {
  return scenario.kind === 'paced' || scenario.kind === 'churn' ? 3 : 1;
}

/**
 * Durations of warm-up and measurement for the requested `seconds`; a trial, which measures nothing, uses exactly
 * those.
 */
export function timesOf(
  scenario: Scenario,
  seconds: number,
  isTrial: boolean,
): { readonly warmupSeconds: number; readonly seconds: number } {
  if (isTrial) return { warmupSeconds: seconds, seconds };
  const least = 'leastSeconds' in scenario ? (scenario.leastSeconds ?? 0) : 0;
  return { warmupSeconds: warmupSecondsOf(scenario), seconds: Math.max(seconds, least) };
}

/** Connections opened by a scenario, including the publishers'. */
export function connectionsOf(scenario: Scenario): number {
  switch (scenario.kind) {
    case 'idle':
      return scenario.connections;
    case 'churn':
    case 'resume':
      return scenario.connections + 2;
    case 'chat':
      return scenario.channels * (scenario.subscribers + 1);
    case 'channels':
      return 2;
    default:
      return scenario.subscribers + 1;
  }
}

/** The scenario with a fraction of its connections and channels: for trying out the benchmark, not for measuring. */
export function scaled(scenario: Scenario, share: number): Scenario {
  const part = (count: number): number => Math.max(1, Math.round(count * share));
  switch (scenario.kind) {
    case 'idle':
    case 'resume':
      return { ...scenario, connections: part(scenario.connections) };
    case 'churn':
      return { ...scenario, connections: part(scenario.connections), channels: part(scenario.channels) };
    case 'chat':
    case 'channels':
      return { ...scenario, channels: part(scenario.channels) };
    default:
      return { ...scenario, subscribers: part(scenario.subscribers) };
  }
}
