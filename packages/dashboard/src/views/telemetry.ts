import { compileGlobs } from '@arqonbus/protocol';
import { useEffect, useMemo, useState } from 'preact/hooks';
import { useLive } from '../components/live.ts';
import { useSubscription } from '../components/subscription.ts';
import type { At } from '../model/at.ts';
import { type Happening, Happenings } from '../model/happenings.ts';
import { ask } from '../session/http.ts';

/**
 * Polling interval of the feed for events without a channel: those of the server itself and of other tenants; and the
 * interval if the grants cover no telemetry channel. Milliseconds.
 */
const FEED_MS = 10_000;
const ALONE_MS = 2_000;
const CHANNEL = 'telemetry-stream';
const JOINED_WITH = 100;

/** The latest events, newest first, live; `problem` says why there are none. */
export function useHappenings(
  events: string,
  limit: number,
): { readonly shown: readonly Happening[]; readonly isRead: boolean; readonly problem: string } {
  const happenings = useMemo(() => {
    const wanted = events === '' ? () => true : compileGlobs(events.split(',').filter((one) => one !== ''));
    return new Happenings(({ eventType }) => wanted(eventType), limit);
  }, [events, limit]);
  const at = useTelemetryChannel();
  const feed = useLive(() => readFeed(events, limit), at === null ? ALONE_MS : FEED_MS, events);
  useEffect(() => {
    for (const one of feed.value ?? []) happenings.take(one);
  }, [feed.value, happenings]);
  const problem = useSubscription(at, {
    // Covers the time between reading the feed and joining.
    history: JOINED_WITH,
    take: ({ payload }) => happenings.take(payload),
  });
  return { shown: happenings.shown.value, isRead: feed.value !== undefined, problem: feed.problem || problem };
}

async function readFeed(events: string, limit: number): Promise<readonly Happening[]> {
  const query = new URLSearchParams({ limit: String(limit), ...(events && { events }) });
  return (await ask<{ events: Happening[] }>(`telemetry/events?${query}`)).events;
}

/** The server's telemetry channel, whose room is configurable. Null until it is known. */
function useTelemetryChannel(): At | null {
  const [at, setAt] = useState<At | null>(null);
  const found = useLive(
    () =>
      at === null
        ? ask<{ channels: (At & { hardcoded: boolean })[] }>(`v1/channels?match=*:${CHANNEL}`)
        : Promise.resolve({ channels: [] }),
    FEED_MS,
  );
  useEffect(() => {
    const one = found.value?.channels.find(({ hardcoded, channel }) => hardcoded && channel === CHANNEL);
    if (one !== undefined) setAt({ room: one.room, channel: one.channel });
  }, [found.value]);
  return at;
}
