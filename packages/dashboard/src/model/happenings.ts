import type { JsonObject } from '@arqonbus/protocol';
import { signal } from '@preact/signals';
import type { Schedule } from './tail.ts';

/** One telemetry event of the server. */
export interface Happening {
  readonly event_id: string;
  readonly eventType: string;
  readonly timestamp: string;
  readonly severity: 'info' | 'warning' | 'error';
  readonly node: string;
  readonly payload: JsonObject;
}

/** Maximum characters of JSON kept in total. */
const MAX_CHARACTERS = 8_388_608;
/** Minimum time between updates, milliseconds. */
const EVERY_MS = 200;

interface Kept {
  readonly happening: Happening;
  /** Characters of JSON. */
  readonly size: number;
}

/** The latest telemetry events, merged from several sources. */
export class Happenings {
  /** Newest first. */
  readonly shown = signal<readonly Happening[]>([]);
  private readonly kept: Map<string, Kept> = new Map();
  private characters = 0;
  private isScheduled = false;
  private readonly accepts: (happening: Happening) => boolean;
  private readonly most: number;
  private readonly schedule: Schedule;

  /** @param most maximum number of events */
  constructor(
    accepts: (happening: Happening) => boolean,
    most: number,
    schedule: Schedule = (run) => void setTimeout(run, EVERY_MS),
  ) {
    this.accepts = accepts;
    this.most = most;
    this.schedule = schedule;
  }

  /** Adds a value if it is an accepted event; duplicates are ignored. */
  take(value: unknown): void {
    if (!isHappening(value) || this.kept.has(value.event_id) || !this.accepts(value)) return;
    const size = JSON.stringify(value).length;
    this.kept.set(value.event_id, { happening: value, size });
    this.characters += size;
    // Trims only at twice the limit, so that sorting happens once for many events.
    if (this.kept.size >= 2 * this.most || this.characters > 2 * MAX_CHARACTERS) this.trim();
    if (this.isScheduled) return;
    this.isScheduled = true;
    this.schedule(() => {
      this.isScheduled = false;
      this.shown.value = this.trim();
    });
  }

  private trim(): Happening[] {
    const newest = [...this.kept.values()].sort((one, other) => compare(other, one));
    let characters = 0;
    const fitting = newest.filter(({ size }, index) => {
      if (index >= this.most || characters + size > MAX_CHARACTERS) return false;
      characters += size;
      return true;
    });
    this.kept.clear();
    for (const one of fitting) this.kept.set(one.happening.event_id, one);
    this.characters = characters;
    return fitting.map(({ happening }) => happening);
  }
}

function compare({ happening: one }: Kept, { happening: other }: Kept): number {
  if (one.timestamp === other.timestamp) return 0;
  return one.timestamp < other.timestamp ? -1 : 1;
}

function isHappening(value: unknown): value is Happening {
  if (typeof value !== 'object' || value === null) return false;
  const { event_id, eventType, timestamp, severity, node, payload } = value as Partial<
    Record<keyof Happening, unknown>
  >;
  return (
    [event_id, eventType, timestamp, node].every((one) => typeof one === 'string') &&
    (severity === 'info' || severity === 'warning' || severity === 'error') &&
    typeof payload === 'object' &&
    payload !== null
  );
}
