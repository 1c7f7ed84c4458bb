import { type Draft, IDEMPOTENCE_WINDOW_MS, seal } from '@arqonbus/protocol';
import type { Expectation, Published, Retention, StreamAddress } from '../engine.ts';
import { meets, type Standing } from '../expectation.ts';
import type { Batch, IdEntry, IdRecord, KeyOperation, KeyResult, StreamRow } from './calls.ts';

/** Limits per transaction, so that neither thread is blocked for long. */
const MAX_EVENTS = 4_096;
const MAX_OPERATIONS = 1_024;
const MAX_CHARACTERS = 16 * 1_048_576;

/** A stream's state on the main thread. */
export interface Stream {
  readonly id: number;
  readonly address: StreamAddress;
  readonly epoch: string;
  /** The last sequence assigned; rolled back if its event could not be stored. */
  sequence: number;
  /** The id of the event with that sequence. */
  lastId: string | null;
  /** When it is forgotten, in milliseconds by the engine's clock. */
  until: number;
  retention: Retention;
  dropped: boolean;
}

/** An accepted event waiting to be stored. */
export interface PendingEvent {
  readonly stream: Stream;
  /** The publisher's own address object, which is also used for delivery. */
  readonly to: StreamAddress;
  readonly draft: Draft;
  readonly identity: string;
  readonly retention: Retention;
  readonly dedupeMs: number;
  readonly expect: Expectation | undefined;
  /** Its sequence if it is the stream's first event. */
  readonly firstSequence: number;
  /** Identifies duplicates in progress; empty if it is not deduplicated. */
  readonly key: string;
  /** 0 until it is part of a batch. */
  sequence: number;
  text: string;
  /** The stream's position if it was rejected for its expectation. */
  refusedAt: Standing | null;
  /** The stream's previous last sequence, and that event's id. */
  sequenceBefore: number;
  idBefore: string | null;
  resolve(published: Published): void;
  reject(error: Error): void;
}

export interface PendingOperation {
  readonly operation: KeyOperation;
  resolve(result: KeyResult): void;
  reject(error: Error): void;
}

/** A pending change of a stream's limits. */
export interface PendingRetain {
  readonly stream: Stream;
  readonly retention: Retention;
  resolve(): void;
  reject(error: Error): void;
}

/** A caller waiting for a dropped stream to be gone from the disk. */
export interface PendingDrop {
  readonly stream: Stream;
  resolve(): void;
}

/** Accepted writes that are not in progress yet. */
export class Pending {
  events: PendingEvent[] = [];
  operations: PendingOperation[] = [];
  retains: PendingRetain[] = [];
  drops: PendingDrop[] = [];
  /** New streams, which must be stored even without events. */
  opened: Stream[] = [];
  /** Claimed keys. */
  claims: IdEntry[] = [];
  /** Characters of the events and of the keys' values. */
  characters = 0;

  get empty(): boolean {
    const { events, operations, retains, drops, opened, claims } = this;
    return [events, operations, retains, drops, opened, claims].every(({ length }) => length === 0);
  }

  add(event: PendingEvent): void {
    this.events.push(event);
    this.characters += lengthOf(event);
  }

  change(operation: PendingOperation): void {
    this.operations.push(operation);
    this.characters += sizeOf(operation);
  }

  /** Takes what fits into one transaction: the first events and operations, and all of the rest. */
  take(): Pending {
    const taken = new Pending();
    const take = <T>(items: T[], most: number, size: (item: T) => number): [taken: T[], left: T[]] => {
      let count = 0;
      while (count < items.length && count < most && taken.characters < MAX_CHARACTERS) {
        taken.characters += size(items[count]!);
        count += 1;
      }
      return count === items.length ? [items, []] : [items.slice(0, count), items.slice(count)];
    };
    [taken.events, this.events] = take(this.events, MAX_EVENTS, lengthOf);
    [taken.operations, this.operations] = take(this.operations, MAX_OPERATIONS, sizeOf);
    this.characters -= taken.characters;
    // After the events that were accepted before them.
    if (this.events.length === 0) [taken.retains, this.retains] = [this.retains, []];
    [taken.drops, this.drops] = [this.drops, []];
    [taken.opened, this.opened] = [this.opened, []];
    [taken.claims, this.claims] = [this.claims, []];
    return taken;
  }

  /** Puts back, at the front, what a transaction took but did not store, except its events. */
  putBack({ operations, retains, drops, opened, claims }: Pending): void {
    this.retains = retains.concat(this.retains);
    this.operations = operations.concat(this.operations);
    for (const operation of operations) this.characters += sizeOf(operation);
    this.drops = drops.concat(this.drops);
    this.opened = opened.concat(this.opened);
    this.claims = claims.concat(this.claims);
  }
}

function lengthOf({ draft }: PendingEvent): number {
  return draft.open.length;
}

function sizeOf({ operation }: PendingOperation): number {
  return operation.key.length + (operation.kind === 'set' ? operation.value.length : 0);
}

/** Assigns every event its sequence and final text, and builds the batch to write. */
export function layOut(taken: Pending, now: number): Batch {
  const streams: number[] = [];
  const sequences: number[] = [];
  const times: number[] = [];
  const froms: string[] = [];
  const texts: string[] = [];
  const touched = new Set<Stream>(taken.opened);
  const ids: IdEntry[] = [...taken.claims];
  const lasting: IdEntry[] = [];
  for (const event of taken.events) {
    const { stream, draft, identity, retention, dedupeMs, expect } = event;
    if (expect !== undefined && !meets(expect, stream)) {
      const { sequence, epoch, lastId } = stream;
      event.refusedAt = { sequence, epoch, lastId };
      continue;
    }
    event.sequenceBefore = stream.sequence;
    event.idBefore = stream.lastId;
    stream.sequence = stream.sequence === 0 ? event.firstSequence : stream.sequence + 1;
    stream.lastId = draft.id;
    stream.retention = retention;
    event.sequence = stream.sequence;
    event.text = seal(draft.open, stream.sequence, stream.epoch);
    if (stream.dropped) continue;
    touched.add(stream);
    if (dedupeMs > 0) {
      const entry: IdEntry = [stream.id, identity, draft.id, stream.sequence, now + dedupeMs];
      (dedupeMs > IDEMPOTENCE_WINDOW_MS ? lasting : ids).push(entry);
    }
    if (retention.size <= 0 && retention.keepLast !== true) continue;
    streams.push(stream.id);
    sequences.push(stream.sequence);
    times.push(draft.time);
    froms.push(draft.from);
    texts.push(event.text);
  }
  for (const { stream, retention } of taken.retains) {
    stream.retention = retention;
    touched.add(stream);
  }
  return {
    now,
    drops: taken.drops.map(({ stream }) => stream.id),
    streams: [...touched].filter((stream) => !stream.dropped).map(rowOf),
    events: { streams, sequences, times, froms, texts },
    // Separate, since a row stays until the last of its ids expires.
    ids: [ids, lasting].filter(({ length }) => length > 0).map(recordOf),
    operations: taken.operations.map(({ operation }) => operation),
  };
}

/** Rolls back the sequences of a batch that was not stored: nobody has seen them. */
export function takeBack(events: readonly PendingEvent[]): void {
  for (const { stream, refusedAt, sequenceBefore, idBefore } of events.toReversed()) {
    if (refusedAt !== null) continue;
    stream.sequence = sequenceBefore;
    stream.lastId = idBefore;
  }
}

function recordOf(ids: readonly IdEntry[]): IdRecord {
  return { until: ids.reduce((last, [, , , , until]) => Math.max(last, until), 0), entries: JSON.stringify(ids) };
}

function rowOf({ id, address, epoch, sequence, lastId, until, retention }: Stream): StreamRow {
  const { tenant, room, channel } = address;
  const { ttlMs, bytes = Number.POSITIVE_INFINITY } = retention;
  const maxBytes = Number.isFinite(bytes) ? bytes : null;
  const keepLast = retention.keepLast === true ? 1 : 0;
  const size = Math.max(retention.size, keepLast);
  return { id, tenant, room, channel, epoch, sequence, lastId, until, size, ttlMs, maxBytes, keepLast };
}
