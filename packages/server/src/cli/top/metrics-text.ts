/** One line of Prometheus text. */
export interface Metric {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

const LINE = /^([A-Za-z_:][A-Za-z0-9_:]*)(?:\{(.*)\})? (\S+)/;
const LABEL = /([A-Za-z_][A-Za-z0-9_]*)="((?:[^"\\]|\\.)*)"/g;

/** Parses Prometheus text from `/metrics`; skips comments and malformed lines. */
export function parseMetrics(text: string): Metric[] {
  return text.split('\n').flatMap((line) => {
    const [, name, labels = '', value] = LINE.exec(line) ?? [];
    if (name === undefined) return [];
    return [
      {
        name,
        labels: Object.fromEntries([...labels.matchAll(LABEL)].map(([, key, of]) => [key, of])),
        value: Number(value),
      },
    ];
  });
}

/** The value of a metric without labels; 0 if it is missing. */
export function readValue(metrics: readonly Metric[], name: string): number {
  return metrics.find((metric) => metric.name === name)?.value ?? 0;
}

/** Cumulative counts of a histogram's buckets, by upper bound. */
export type Buckets = ReadonlyMap<number, number>;

export function bucketsOf(metrics: readonly Metric[], name: string): Buckets {
  const found = metrics.filter((metric) => metric.name === `${name}_bucket`);
  return new Map(found.map(({ labels, value }) => [Number((labels.le ?? '').replace('+Inf', 'Infinity')), value]));
}

/**
 * A quantile of the observations between two scrapes, interpolated within its bucket; undefined without observations.
 *
 * @param share 0 to 1
 */
export function quantile(now: Buckets, before: Buckets, share: number): number | undefined {
  const counts = [...now].map(([bound, count]) => [bound, count - (before.get(bound) ?? 0)] as const);
  counts.sort(([a], [b]) => a - b);
  const total = counts.at(-1)?.[1] ?? 0;
  if (total <= 0) return undefined;
  const wanted = share * total;
  let lower = 0;
  let below = 0;
  for (const [bound, count] of counts) {
    if (count >= wanted) {
      if (!Number.isFinite(bound)) return lower;
      return lower + ((bound - lower) * (wanted - below)) / Math.max(1, count - below);
    }
    lower = bound;
    below = count;
  }
  return lower;
}
