/** The figures of a run. Units are in the names: µs, s, KiB; `Share` is a fraction of one core. */
export interface Figures {
  /** Messages received by subscribers, per second. */
  readonly deliveriesPerSecond?: number;
  /** Messages received by every subscriber, per second. */
  readonly messagesPerSecond?: number;
  readonly p50Us?: number;
  readonly p99Us?: number;
  readonly maxUs?: number;
  /** CPU time of the server process, all threads, user and system, per delivery. */
  readonly serverCpuUsPerDelivery?: number;
  readonly serverCpuShare?: number;
  /** Near 1, the generator is the bottleneck, not the server. */
  readonly generatorCpuShare?: number;
  /** CPU used by neither server nor generator, which disturbed the run. */
  readonly otherCpuShare?: number;
  /** Resident memory of the server at the end of the run. */
  readonly serverMib?: number;
  /** Increase of the server's resident memory, per connection. */
  readonly kibPerConnection?: number;
  readonly serverCpuUsPerConnection?: number;
  readonly connectionsPerSecond?: number;
  /** Increase of the server's resident memory, per channel with one event. */
  readonly kibPerChannel?: number;
  readonly channelsPerSecond?: number;
  /** Members that disconnected and were replaced. */
  readonly reconnectsPerSecond?: number;
  /** From the start of a handshake to the answer of the subscription. */
  readonly reconnectP99Us?: number;
  /** Subscribers that reconnected and received everything they had missed. */
  readonly resumedPerSecond?: number;
}

export type FigureName = keyof Figures;

/** The median; for an even number of values, the mean of the middle two. `values` is not empty. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2;
}

/** The median of each figure, over the runs that have it. */
export function medians(runs: readonly Figures[]): Figures {
  const names = new Set(runs.flatMap((run) => Object.keys(run) as FigureName[]));
  const result: Partial<Record<FigureName, number>> = {};
  for (const name of names) {
    result[name] = median(runs.flatMap((run) => run[name] ?? []));
  }
  return result;
}
