import { andThen } from '../awaitable.ts';
import type { Awaitable, KeySpace, KeyValueStore } from '../engine/engine.ts';
import type { StreamRecord } from './known.ts';

/** The space of the key-value store for the records of open streams, by their ids. */
export const STREAM_SPACE = 'stream';

export function streamSpace(tenant: string): KeySpace {
  return { tenant, space: STREAM_SPACE, namespace: '' };
}

/** The record of an open stream; null without one. */
export function readRecord(store: KeyValueStore, tenant: string, id: string): Awaitable<StreamRecord | null> {
  return andThen(store.get(streamSpace(tenant), id), (entry) =>
    entry === null ? null : (JSON.parse(entry.value) as StreamRecord),
  );
}
