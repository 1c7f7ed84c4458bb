import type { HandedOut } from './worker.ts';

/** Something that happened in a storm, in milliseconds since 1970. */
export interface Moment {
  readonly at: number;
  readonly what: string;
}

/** Breakages this long before or after are included: their effects may appear later. */
const BEFORE_MS = 12_000;
const AFTER_MS = 2_000;

/** What happened to one event, in time order: deliveries, answers, and breakages around them. */
export function tellStory(id: string, handed: readonly HandedOut[], damage: readonly Moment[]): string {
  const own = handed.filter((event) => event.id === id).flatMap((event) => event.moments);
  if (own.length === 0) return `${id} was given to nobody`;
  const first = Math.min(...own.map(({ at }) => at));
  const last = Math.max(...own.map(({ at }) => at));
  const around = damage.filter(({ at }) => at >= first - BEFORE_MS && at <= last + AFTER_MS);
  const lines = [...own, ...around].sort((one, other) => one.at - other.at);
  return [`the story of ${id}:`, ...lines.map(({ at, what }) => `    ${at - first} ms: ${what}`)].join('\n');
}
