/** One line of the Prometheus text. */
interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

const LINE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/;
const LABEL = /(\w+)="((?:[^"\\]|\\.)*)"/g;

/** The samples of one scrape. */
export class Figures {
  private readonly byName = new Map<string, Sample[]>();

  constructor(text: string) {
    for (const line of text.split('\n')) {
      const [, name, labels = '', value] = LINE.exec(line) ?? [];
      if (name === undefined) continue;
      const sample = { name, labels: readLabels(labels), value: Number(value) };
      const known = this.byName.get(name);
      if (known === undefined) this.byName.set(name, [sample]);
      else known.push(sample);
    }
  }

  /** The sum of all samples with a name; undefined if there are none. */
  sum(name: string): number | undefined {
    return this.byName.get(name)?.reduce((total, { value }) => total + value, 0);
  }

  /** The buckets of a histogram: upper bound to cumulative count. */
  buckets(name: string): ReadonlyMap<number, number> {
    const bounds = (this.byName.get(`${name}_bucket`) ?? []).map(({ labels, value }): [number, number] => [
      labels.le === '+Inf' ? Number.POSITIVE_INFINITY : Number(labels.le),
      value,
    ]);
    return new Map(bounds.sort(([one], [other]) => one - other));
  }
}

function readLabels(text: string): Readonly<Record<string, string>> {
  return Object.fromEntries([...text.matchAll(LABEL)].map(([, name, value]) => [name, value]));
}

/**
 * A quantile of the observations between two scrapes, interpolated within its bucket; null without observations. Above
 * the last finite bound, that bound is returned.
 */
export function quantile(
  q: number,
  before: ReadonlyMap<number, number>,
  after: ReadonlyMap<number, number>,
): number | null {
  const grown = [...after].map(([bound, value]): [number, number] => [bound, value - (before.get(bound) ?? 0)]);
  const total = grown.at(-1)?.[1] ?? 0;
  if (total <= 0) return null;
  const wanted = q * total;
  let lower = 0;
  let below = 0;
  for (const [bound, upTo] of grown) {
    if (upTo >= wanted) {
      if (bound === Number.POSITIVE_INFINITY) return lower;
      return lower + ((bound - lower) * (wanted - below)) / Math.max(upTo - below, 1e-9);
    }
    lower = bound;
    below = upTo;
  }
  return lower;
}
