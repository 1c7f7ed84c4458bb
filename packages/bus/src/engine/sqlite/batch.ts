import { type Draft, IDEMPOTENCE_WINDOW_MS, seal } from '@arqonbus/protocol';
import type { Published, Retention, StreamAddress } from '../engine.ts';
import type { Batch, IdEntry, KeyOperation, KeyResult, StreamRow } from './calls.ts';

/** The most that one transaction takes, so that neither thread is held up for long. */
const MAX_EVENTS = 4_096;
const MAX_CHARACTERS = 16 * 1_048_576;

/** A stream as the main thread knows it. */
export interface Stream {
  readonly id: number;
  readonly address: StreamAddress;
  readonly epoch: string;
  /** The last sequence given out; given back when what it was for could not be stored. */
  sequence: number;
  retention: Retention;
  dropped: boolean;
}

/** An event that was accepted and waits to be stored. */
export interface PendingEvent {
  readonly stream: Stream;
  /** The address as the publisher gave it; it is delivered with the very same. */
  readonly to: StreamAddress;
  readonly draft: Draft;
  readonly identity: string;
  readonly retention: Retention;
  /** What makes it the same event as another one under way. */
  readonly key: string;
  /** 0 until it is part of a batch. */
  sequence: number;
  text: string;
  resolve(published: Published): void;
  reject(error: Error): void;
}

export interface PendingOperation {
  readonly operation: KeyOperation;
  resolve(result: KeyResult): void;
  reject(error: Error): void;
}

/** Somebody who waits for a dropped stream to be gone from the disk. */
export interface PendingDrop {
  readonly stream: Stream;
  resolve(): void;
}

/** What was accepted and is not under way yet. */
export class Pending {
  events: PendingEvent[] = [];
  operations: PendingOperation[] = [];
  drops: PendingDrop[] = [];
  /** New streams, which have to be stored although they hold no event. */
  opened: Stream[] = [];
  /** Claimed keys. */
  claims: IdEntry[] = [];
  /** Characters of the events. */
  characters = 0;

  get empty(): boolean {
    const { events, operations, drops, opened, claims } = this;
    return events.length + operations.length + drops.length + opened.length + claims.length === 0;
  }

  /** Takes out what one transaction may hold: of the events the first, of the rest everything. */
  take(): Pending {
    const taken = new Pending();
    let count = 0;
    while (count < this.events.length && count < MAX_EVENTS && taken.characters < MAX_CHARACTERS) {
      taken.characters += this.events[count]!.draft.open.length;
      count += 1;
    }
    taken.events = count === this.events.length ? this.events : this.events.slice(0, count);
    this.events = count === this.events.length ? [] : this.events.slice(count);
    this.characters -= taken.characters;
    [taken.operations, this.operations] = [this.operations, []];
    [taken.drops, this.drops] = [this.drops, []];
    [taken.opened, this.opened] = [this.opened, []];
    [taken.claims, this.claims] = [this.claims, []];
    return taken;
  }
}

/** Gives every event its sequence and its final text, and lays out what the transaction writes. */
export function layOut(taken: Pending, now: number): Batch {
  const streams: number[] = [];
  const sequences: number[] = [];
  const times: number[] = [];
  const froms: string[] = [];
  const texts: string[] = [];
  const touched = new Set<Stream>(taken.opened);
  const ids: IdEntry[] = [...taken.claims];
  const until = now + IDEMPOTENCE_WINDOW_MS;
  for (const event of taken.events) {
    const { stream, draft, identity, retention } = event;
    stream.sequence += 1;
    stream.retention = retention;
    event.sequence = stream.sequence;
    event.text = seal(draft.open, stream.sequence, stream.epoch);
    if (stream.dropped) continue;
    touched.add(stream);
    ids.push([stream.id, identity, draft.id, stream.sequence, until]);
    if (retention.size <= 0) continue;
    streams.push(stream.id);
    sequences.push(stream.sequence);
    times.push(draft.time);
    froms.push(draft.from);
    texts.push(event.text);
  }
  return {
    now,
    drops: taken.drops.map(({ stream }) => stream.id),
    streams: [...touched].filter((stream) => !stream.dropped).map(rowOf),
    events: { streams, sequences, times, froms, texts },
    ids: ids.length === 0 ? null : { until: lastEnd(ids), entries: JSON.stringify(ids) },
    operations: taken.operations.map(({ operation }) => operation),
  };
}

/** Gives back the sequences of a batch that was not stored: nobody has seen them. */
export function takeBack(events: readonly PendingEvent[]): void {
  for (const event of events) event.stream.sequence -= 1;
}

function lastEnd(ids: readonly IdEntry[]): number {
  return ids.reduce((last, [, , , , until]) => Math.max(last, until), 0);
}

function rowOf({ id, address, epoch, sequence, retention }: Stream): StreamRow {
  const { tenant, room, channel } = address;
  const { size, ttlMs, bytes = Number.POSITIVE_INFINITY } = retention;
  const maxBytes = Number.isFinite(bytes) ? bytes : null;
  return { id, tenant, room, channel, epoch, sequence, size, ttlMs, maxBytes };
}
