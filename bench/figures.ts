/** What a run can measure. Units are in the names: µs, s, KiB; `Share` is of one core, 1 = all of it. */
export interface Figures {
  /** Messages arrived at subscribers, per second. */
  readonly deliveriesPerSecond?: number;
  /** Messages that reached every subscriber, per second. */
  readonly messagesPerSecond?: number;
  readonly p50Us?: number;
  readonly p99Us?: number;
  readonly maxUs?: number;
  /** CPU of the server process, all threads, user and system, per message arrived at a subscriber. */
  readonly serverCpuUsPerDelivery?: number;
  readonly serverCpuShare?: number;
  /** Near 1 the generator is the bottleneck, not the server. */
  readonly generatorCpuShare?: number;
  /** CPU that neither server nor generator used: what disturbed the run. */
  readonly otherCpuShare?: number;
  /** Resident memory of the server at the end of the run. */
  readonly serverMib?: number;
  /** Resident memory over the same server before, per connection. */
  readonly kibPerConnection?: number;
  readonly serverCpuUsPerConnection?: number;
  readonly connectionsPerSecond?: number;
  /** Resident memory over the same server before, per channel with one event. */
  readonly kibPerChannel?: number;
  readonly channelsPerSecond?: number;
  /** Members that left and were replaced. */
  readonly reconnectsPerSecond?: number;
  /** From the beginning of a handshake to the answer of the subscription. */
  readonly reconnectP99Us?: number;
  /** Subscribers that came back and got all that they had missed. */
  readonly resumedPerSecond?: number;
}

export type FigureName = keyof Figures;

/** The middle one; of an even number the mean of the two in the middle. `values` is not empty. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2;
}

/** The median of every figure by itself, over the runs that have it. */
export function medians(runs: readonly Figures[]): Figures {
  const names = new Set(runs.flatMap((run) => Object.keys(run) as FigureName[]));
  const result: Partial<Record<FigureName, number>> = {};
  for (const name of names) {
    result[name] = median(runs.flatMap((run) => run[name] ?? []));
  }
  return result;
}
