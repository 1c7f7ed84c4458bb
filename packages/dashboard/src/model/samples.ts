import { Figures, quantile } from './prometheus.ts';

/** One moment of the overview; null where a value is unknown. */
export interface Moment {
  /** Seconds since 1970. */
  readonly at: number;
  readonly received: number | null;
  readonly sent: number | null;
  readonly connections: number | null;
  readonly p50: number | null;
  readonly p99: number | null;
  readonly lag: number | null;
  readonly memory: number | null;
  readonly memoryLimit: number | null;
  readonly errors: number | null;
  readonly refused: number | null;
  readonly slow: number | null;
}

export type Series = Exclude<keyof Moment, 'at'>;

const NOTHING: Omit<Moment, 'at'> = {
  received: null,
  sent: null,
  connections: null,
  p50: null,
  p99: null,
  lag: null,
  memory: null,
  memoryLimit: null,
  errors: null,
  refused: null,
  slow: null,
};

const DELIVERY = 'arqonbus_delivery_duration_seconds';
const REFUSED = ['arqonbus_connections_refused_total', 'arqonbus_rate_limited_total', 'arqonbus_memory_refused_total'];

/** The displayed time range, seconds. */
export const WINDOW_S = 900;

/** The last quarter of an hour, from scrapes; a missing scrape leaves a gap. */
export class Samples {
  private moments: Moment[] = [];
  private last: { readonly at: number; readonly figures: Figures } | null = null;
  private readonly everyS: number;

  /** @param everyS seconds between scrapes; a delay of more than twice that is a gap */
  constructor(everyS: number) {
    this.everyS = everyS;
  }

  get all(): readonly Moment[] {
    return this.moments;
  }

  get now(): Moment | undefined {
    return this.moments.at(-1);
  }

  /** @param at seconds since 1970 */
  add(at: number, text: string): void {
    const figures = new Figures(text);
    const before = this.last;
    if (before !== null && at - before.at > 2.5 * this.everyS) this.push({ ...NOTHING, at: before.at + this.everyS });
    this.last = { at, figures };
    const gauge = (name: string): number | null => figures.sum(name) ?? null;
    const isNext = before !== null && at > before.at && at - before.at <= 2.5 * this.everyS;
    const rate = (...names: readonly string[]): number | null => {
      if (!isNext || names.every((name) => figures.sum(name) === undefined)) return null;
      const grown = names.reduce(
        (total, name) => total + (figures.sum(name) ?? 0) - (before.figures.sum(name) ?? 0),
        0,
      );
      // A lower counter means that the server was restarted.
      return grown < 0 ? null : grown / (at - before.at);
    };
    const delay = (q: number): number | null =>
      isNext ? quantile(q, before.figures.buckets(DELIVERY), figures.buckets(DELIVERY)) : null;
    this.push({
      at,
      received: rate('arqonbus_messages_received_total'),
      sent: rate('arqonbus_messages_sent_total'),
      connections: gauge('arqonbus_active_clients'),
      p50: delay(0.5),
      p99: delay(0.99),
      lag: gauge('nodejs_eventloop_lag_p99_seconds'),
      memory: gauge('nodejs_heap_size_used_bytes'),
      memoryLimit: gauge('arqonbus_memory_limit_bytes'),
      errors: rate('arqonbus_errors_total'),
      refused: rate(...REFUSED),
      slow: rate('arqonbus_slow_consumers_total'),
    });
  }

  /** The scrape failed: the lines are interrupted. */
  miss(at: number): void {
    if (this.now !== undefined && this.now.connections !== null) this.push({ ...NOTHING, at });
  }

  private push(moment: Moment): void {
    const from = moment.at - WINDOW_S;
    const kept = this.moments.findIndex(({ at }) => at >= from);
    this.moments = [...(kept < 0 ? [] : this.moments.slice(kept)), moment];
  }
}
