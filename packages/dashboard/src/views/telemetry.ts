import { compileGlobs } from '@arqonbus/protocol';
import { useEffect, useMemo, useState } from 'preact/hooks';
import { useLive } from '../components/live.ts';
import { useSubscription } from '../components/subscription.ts';
import type { At } from '../model/at.ts';
import { type Happening, Happenings } from '../model/happenings.ts';
import { ask } from '../session/http.ts';

/**
 * How often the feed is read for what goes over no channel, events of the server itself and of other tenants; and where
 * the grants show no channel of telemetry. Milliseconds.
 */
const FEED_MS = 10_000;
const ALONE_MS = 2_000;
const CHANNEL = 'telemetry-stream';
const JOINED_WITH = 100;

/** The last events, newest first, as they happen; `problem` says why there are none. */
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
    // What happened between the reading of the feed and the join.
    history: JOINED_WITH,
    take: ({ payload }) => happenings.take(payload),
  });
  return { shown: happenings.shown.value, isRead: feed.value !== undefined, problem: feed.problem || problem };
}

async function readFeed(events: string, limit: number): Promise<readonly Happening[]> {
  const query = new URLSearchParams({ limit: String(limit), ...(events && { events }) });
  return (await ask<{ events: Happening[] }>(`telemetry/events?${query}`)).events;
}

/** Where the server tells what happens; its room may be called otherwise. Null until that is known. */
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
