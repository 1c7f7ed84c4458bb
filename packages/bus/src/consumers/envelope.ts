import type { Envelope, JsonObject } from '@arqonbus/protocol';
import type { GroupPlace } from './group.ts';

/** The facts of a delivery, in `metadata.delivery`. */
export interface DeliveryFacts {
  readonly group: string;
  readonly attempt: number;
  readonly token: string;
  /** RFC 3339. */
  readonly deadline: string;
}

let stampMs = -1;
let stamp = '';

/** A time as RFC 3339; formatted once per millisecond. */
export function timeText(ms: number): string {
  if (ms !== stampMs) {
    stampMs = ms;
    stamp = new Date(ms).toISOString();
  }
  return stamp;
}

const BEFORE_DELIVERY = ',"delivery":{"group":"';

/** An envelope as delivered to a member. Spliced, not parsed: metadata is an envelope's last field, and never empty. */
export function markDelivery(text: string, { group, attempt, token, deadline }: DeliveryFacts): string {
  const facts = `${group}","attempt":${attempt},"token":"${token}","deadline":"${deadline}"`;
  return `${text.slice(0, -2)}${BEFORE_DELIVERY}${facts}}}}`;
}

/** Reverses {@link markDelivery}; null for a text that is not a delivery. */
export function unmarkDelivery(text: string): { text: string; delivery: DeliveryFacts } | null {
  const at = text.lastIndexOf(BEFORE_DELIVERY);
  if (at < 0) return null;
  const delivery = JSON.parse(text.slice(at + ',"delivery":'.length, -2)) as DeliveryFacts;
  return { text: `${text.slice(0, at)}}}`, delivery };
}

/** A stored envelope as shown in a list of dead letters. */
export function markDead(text: string, dead: JsonObject): string {
  return `${text.slice(0, -2)},"dead":${JSON.stringify(dead)}}}`;
}

/** When an envelope expires, in milliseconds since 1970: its own expiry, or its request's deadline. */
export function endOf(text: string): number {
  if (!text.includes('"expires_at":"') && !text.includes('"request":{')) return Number.POSITIVE_INFINITY;
  const { metadata } = JSON.parse(text) as { metadata?: { expires_at?: unknown; request?: { deadline?: unknown } } };
  const ends = [metadata?.expires_at, metadata?.request?.deadline]
    .map((time) => (typeof time === 'string' ? Date.parse(time) : Number.NaN))
    .filter((time) => !Number.isNaN(time));
  return Math.min(Number.POSITIVE_INFINITY, ...ends);
}

/** Whether an envelope is a dead letter of this same group: redelivering it would never end. */
export function isOwnDeadLetter(
  text: string,
  { room, group }: GroupPlace,
  covers: (channel: string) => boolean,
): boolean {
  if (!text.includes('"dead":{')) return false;
  const { metadata } = JSON.parse(text) as Envelope;
  const dead = metadata?.dead as { group?: unknown; room?: unknown; channel?: unknown } | undefined;
  return dead?.group === group && dead.room === room && typeof dead.channel === 'string' && covers(dead.channel);
}

/** The value at a group's key path, as text; null without one. Cut at `longest`, so that long keys may collide. */
export function keyOf(text: string, path: readonly string[], longest: number): string | null {
  let value: unknown = JSON.parse(text);
  for (const step of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, step)) return null;
    value = (value as JsonObject)[step];
  }
  if (value === null || value === undefined) return null;
  return (typeof value === 'string' ? value : JSON.stringify(value)).slice(0, longest);
}
