import type { JsonObject } from '@arqonbus/protocol';
import { ask } from '../session/http.ts';

/** One event of the telemetry feed. */
export interface Happening {
  readonly event_id: string;
  readonly eventType: string;
  readonly timestamp: string;
  readonly severity: 'info' | 'warning' | 'error';
  readonly node: string;
  readonly payload: JsonObject;
}

/** The last events, newest first. */
export async function readHappenings(events: string, limit: number): Promise<Happening[]> {
  const query = new URLSearchParams({ limit: String(limit), ...(events && { events }) });
  const { events: found } = await ask<{ events: Happening[] }>(`telemetry/events?${query}`);
  return found.reverse();
}
