import { setTimeout as delay } from 'node:timers/promises';
import type { Clock } from '../clock.ts';
import type { KeyChange, KeySpace, KeyValueStore } from '../engine/engine.ts';
import type { KnownStreams, StreamRecord } from './known.ts';
import { readRecord, STREAM_SPACE, streamSpace } from './record-space.ts';
import { TextStore } from './text-store.ts';
import type { WrittenStream } from './written.ts';

/** Where nodes with streams report that they are alive, all in one tenant. */
const LIVING: KeySpace = { tenant: 'default', space: 'stream_node', namespace: '' };
/** The streams of a dead node end within 12 s. */
const LIVING_MS = 9_000;
const LOOK_MS = 3_000;
/** How often new text is stored. */
const KEEP_MS = 1_000;
/** How long another node may take to accept a stream in a handover, and how often that is checked. */
const HANDOVER_MS = 1_000;
const HANDOVER_LOOK_MS = 50;
const PAGE = 500;

export interface StreamRecordsParts {
  readonly store: KeyValueStore;
  readonly known: KnownStreams;
  /** Whether there may be other nodes. */
  readonly hasOthers: boolean;
  readonly node: string;
  /** This start of the node. */
  readonly run: string;
  readonly clock: Clock;
  readonly written: () => Iterable<WrittenStream>;
  /** Whether this node has it. */
  readonly owns: (tenant: string, id: string) => boolean;
  /** This node has taken a stream. `isOrphan`: its writer or its node was lost. */
  readonly onTaken: (tenant: string, id: string, record: StreamRecord, text: string, isOrphan: boolean) => void;
  /** Another node has taken a stream from this one. */
  readonly onLost: (tenant: string, id: string) => void;
  readonly onFault: (error: unknown) => void;
}

/** The records of open streams, shared by all nodes and kept beyond a node's life: owner and text. */
export class StreamRecords {
  private readonly parts: StreamRecordsParts;
  private readonly texts: TextStore;
  private unwatch: () => void = () => {};
  private readonly callOff: Set<() => void> = new Set();
  /** Ended streams that are still in the store. */
  private readonly removing: Set<{ readonly tenant: string; readonly id: string }> = new Set();
  private isLooking = false;
  private isOver = false;
  /** The streams it hands over are for other nodes only. */
  private isLeaving = false;
  private lives = false;

  constructor(parts: StreamRecordsParts) {
    this.parts = parts;
    this.texts = new TextStore(parts.store);
  }

  start(): void {
    this.unwatch = this.parts.store.watch(STREAM_SPACE, (change) => this.changed(change));
    this.every(KEEP_MS, () => void this.keepAll());
    if (this.parts.hasOthers) this.every(LOOK_MS, () => void this.look());
  }

  /** Loads the stored streams. Without other nodes, takes over those of an earlier start. */
  async load(): Promise<void> {
    const { store, known, run, hasOthers } = this.parts;
    for (const tenant of await store.tenants(STREAM_SPACE)) {
      for (let after: string | undefined; ; ) {
        const page = await store.list(streamSpace(tenant), { limit: PAGE, ...(after !== undefined && { after }) });
        for (const { key, value } of page) known.open(tenant, key, JSON.parse(value) as StreamRecord);
        if (page.length < PAGE) break;
        after = page.at(-1)?.key;
      }
    }
    if (hasOthers) return;
    for (const { tenant, id, record } of [...known.everywhere()]) {
      if (record.run !== run) await this.take(tenant, id, record, true);
    }
  }

  /** Stops its timers, and reports that this node has no more streams. */
  async stop(): Promise<void> {
    this.isOver = true;
    this.unwatch();
    for (const callOff of this.callOff) callOff();
    if (this.lives) await this.parts.store.delete(LIVING, this.parts.run);
  }

  /** Stores a new stream; returns the existing one with the same id, or null. */
  async create(tenant: string, id: string, record: StreamRecord): Promise<StreamRecord | null> {
    if (this.parts.hasOthers && !this.lives) await this.live();
    const outcome = await this.parts.store.set(streamSpace(tenant), id, JSON.stringify(record), { ifVersion: 0 });
    if (outcome.ok) return null;
    return (await this.find(tenant, id)) ?? this.create(tenant, id, record);
  }

  async find(tenant: string, id: string): Promise<StreamRecord | null> {
    return readRecord(this.parts.store, tenant, id);
  }

  /** Removes an ended stream. Retried every second during a storage outage. */
  async remove(tenant: string, id: string): Promise<void> {
    const removing = { tenant, id };
    this.removing.add(removing);
    try {
      await this.parts.store.delete(streamSpace(tenant), id);
      await this.texts.remove(tenant, id);
      this.removing.delete(removing);
    } catch (error) {
      this.fault(error);
    }
  }

  /**
   * Hands streams over to other nodes; returns those that no node accepts, which stay with this node. Nothing may be
   * written to them meanwhile.
   */
  async handOver(streams: readonly WrittenStream[]): Promise<WrittenStream[]> {
    this.isLeaving = true;
    try {
      await Promise.all(streams.map((stream) => this.release(stream)));
      const left = await this.untilTaken(streams);
      const { node, run } = this.parts;
      const mine = await Promise.all(left.map(({ known: { tenant, id } }) => this.claim(tenant, id, '', node, run)));
      return left.filter((_, at) => mine[at] === true);
    } finally {
      this.isLeaving = false;
    }
  }

  /** Writes the whole text, and gives up the stream's ownership. */
  private async release(stream: WrittenStream): Promise<void> {
    const { tenant, id } = stream.known;
    while (stream.kept < stream.text.length) {
      await this.keep(stream);
      // Another write of it may have been running.
      if (stream.kept < stream.text.length) await delay(HANDOVER_LOOK_MS);
    }
    await this.claim(tenant, id, stream.record.run, '', '');
  }

  /** Waits up to a limit for other nodes to take streams; returns those that none took. */
  private async untilTaken(streams: readonly WrittenStream[]): Promise<WrittenStream[]> {
    const until = performance.now() + HANDOVER_MS;
    let left = [...streams];
    while (left.length > 0 && performance.now() < until) {
      await delay(HANDOVER_LOOK_MS);
      const found = await Promise.all(left.map(({ known: { tenant, id } }) => this.find(tenant, id)));
      left = left.filter((_, at) => found[at]?.run === '');
    }
    return left;
  }

  /** Handles a record that another node wrote. */
  private changed({ at: { tenant }, key: id, value }: KeyChange): void {
    const { known, run, owns } = this.parts;
    if (value === null) {
      const stream = known.get(tenant, id);
      // This node knows its own streams better; the id may have been reused.
      if (stream !== undefined && !owns(tenant, id)) known.gone(stream);
      return;
    }
    const record = JSON.parse(value) as StreamRecord;
    if (known.open(tenant, id, record) === null || record.run === run) return;
    this.parts.onLost(tenant, id);
    if (record.run === '') void this.take(tenant, id, record, false).catch((error) => this.fault(error));
  }

  /** Reports that this node is alive while it has streams, and ends streams of dead nodes. */
  private async look(): Promise<void> {
    if (this.isLooking) return;
    this.isLooking = true;
    const { store, known, run, written } = this.parts;
    try {
      known.sweep();
      if (!written()[Symbol.iterator]().next().done) await this.live();
      const others = new Map<string, { tenant: string; id: string; record: StreamRecord }[]>();
      for (const { tenant, id, record } of known.everywhere()) {
        if (record.run === run) continue;
        others.set(record.run, [...(others.get(record.run) ?? []), { tenant, id, record }]);
      }
      for (const [other, streams] of others) {
        if (other !== '' && (await store.get(LIVING, other)) !== null) continue;
        for (const { tenant, id, record } of streams) await this.take(tenant, id, record, other !== '');
      }
    } catch (error) {
      this.fault(error);
    } finally {
      this.isLooking = false;
    }
  }

  private async live(): Promise<void> {
    this.lives = true;
    await this.parts.store.set(LIVING, this.parts.run, JSON.stringify(this.parts.node), { ttlMs: LIVING_MS });
  }

  private async take(tenant: string, id: string, before: StreamRecord, isOrphan: boolean): Promise<void> {
    const { node, run, known, onTaken } = this.parts;
    if (this.isOver || this.isLeaving || !(await this.claim(tenant, id, before.run, node, run))) return;
    const record = { ...before, node, run };
    known.open(tenant, id, record);
    onTaken(tenant, id, record, await this.texts.read(tenant, id), isOrphan);
  }

  /** Moves a stream to a node if its owner is unchanged; returns whether it did. Delists streams without a record. */
  private async claim(tenant: string, id: string, from: string, node: string, run: string): Promise<boolean> {
    const { store, known } = this.parts;
    const entry = await store.get(streamSpace(tenant), id);
    if (entry === null) {
      const stream = known.get(tenant, id);
      if (stream !== undefined) known.gone(stream);
      return false;
    }
    const record = JSON.parse(entry.value) as StreamRecord;
    if (record.run !== from) return false;
    const moved = JSON.stringify({ ...record, node, run });
    return (await store.set(streamSpace(tenant), id, moved, { ifVersion: entry.version })).ok;
  }

  private async keepAll(): Promise<void> {
    const again = [...this.removing];
    this.removing.clear();
    for (const { tenant, id } of again) await this.remove(tenant, id);
    await Promise.all([...this.parts.written()].map((stream) => this.keep(stream).catch((error) => this.fault(error))));
  }

  private async keep(stream: WrittenStream): Promise<void> {
    const { known, text, kept } = stream;
    if (stream.isBeingKept || text.length === kept) return;
    stream.isBeingKept = true;
    try {
      await this.texts.write(known.tenant, known.id, text, kept);
      stream.kept = text.length;
      // It ended while its text was written.
      if (known.hasEnded) await this.texts.remove(known.tenant, known.id);
    } finally {
      stream.isBeingKept = false;
    }
  }

  /** Reports an error. The work that a storage outage interrupts is repeated at the next turn where possible. */
  private fault(error: unknown): void {
    if (!this.isOver) this.parts.onFault(error);
  }

  private every(ms: number, run: () => void): void {
    const { clock } = this.parts;
    let callOff = (): void => {};
    const tick = (): void => {
      this.callOff.delete(callOff);
      if (this.isOver) return;
      run();
      callOff = clock.after(ms, tick);
      this.callOff.add(callOff);
    };
    callOff = clock.after(ms, tick);
    this.callOff.add(callOff);
  }
}
