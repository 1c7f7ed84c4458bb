import { AnsweredTokens } from './answered.ts';
import { readRecord, writeRecord } from './ledger-record.ts';
import { Ranges } from './ranges.ts';
import { type Asked, OwedReceipts } from './receipts-owed.ts';
import { TextBudget } from './text-budget.ts';
import { GroupTotals, noSettlements, type Settlement } from './totals.ts';

/** UTF-16 units of envelopes that one group keeps in memory for further attempts. */
const MAX_KEPT = 4_194_304;

export interface LedgerLimits {
  /** Leased events and events waiting for another attempt; nothing more is taken beyond this limit. */
  readonly maxUnacked: number;
  /** Deliveries of one event, after which it is a dead letter. */
  readonly maxAttempts: number;
  /** Duration of a lease, in milliseconds. */
  readonly ackWaitMs: number;
  /** The delay before the second, third, … attempt, in milliseconds; the last one applies to all further attempts. */
  readonly backoffMs: readonly number[];
}

/**
 * `ready`: to be delivered. `out`: leased to a member. `waiting`: for its next attempt. `dead`: out of attempts or
 * rejected, becomes a dead letter. `gone`: settled, or no longer known.
 */
export type EntryState = 'ready' | 'out' | 'waiting' | 'dead' | 'gone';

/** One unsettled event. */
export class Entry {
  readonly stream: LedgerStream;
  readonly sequence: number;
  /** The key of a dead letter that is retried; its stream settled it long ago. */
  readonly revived: string | null;
  state: EntryState = 'ready';
  /** Number of deliveries. */
  attempts = 0;
  /** When its lease ends or its next attempt is due, by the clock of the caller. */
  due = 0;
  token = '';
  member = '';
  /** Events with the same key are delivered in order; null without a key. */
  key: string | null = null;
  /** The subject that rejected it. */
  rejectedBy: string | null = null;
  /** Why the last attempt failed. */
  reason: string | null = null;
  /** The envelope while it is in memory; see {@link Ledger.keep}. */
  text: string | null = null;
  /** UTF-16 units of the envelope, once it was read. */
  length = 0;
  /** The sender that wants a receipt; undefined until its envelope was read. */
  asked: Asked | null | undefined = undefined;
  /** When it expires, in milliseconds since 1970; not delivered afterwards. */
  end: number = Number.POSITIVE_INFINITY;

  constructor(stream: LedgerStream, sequence: number, revived: string | null = null) {
    this.stream = stream;
    this.sequence = sequence;
    this.revived = revived;
  }
}

/** Progress of a group in one stream. */
export class LedgerStream {
  readonly channel: string;
  epoch: string;
  /** All events up to here are settled. */
  floor: number;
  /** All events up to here are settled or have been offered. */
  position: number;
  readonly settled: Ranges;
  readonly entries: Map<number, Entry> = new Map();
  /** Its part of the record, cached while unchanged. */
  record: string | null = null;

  /** Number of events above {@link position} that are settled or known: from a restored record. */
  get knownAbove(): number {
    let known = this.settled.countAbove(this.position);
    for (const { sequence, revived } of this.entries.values()) {
      if (revived === null && sequence > this.position) known += 1;
    }
    return known;
  }

  /** Events that were read and not delivered yet. */
  get untouched(): number {
    let untouched = 0;
    for (const { state, attempts, revived } of this.entries.values()) {
      if (state === 'ready' && attempts === 0 && revived === null) untouched += 1;
    }
    return untouched;
  }

  constructor(channel: string, floor: number, epoch: string, settled: Ranges = new Ranges()) {
    this.channel = channel;
    this.floor = floor;
    this.position = floor;
    this.epoch = epoch;
    this.settled = settled;
  }
}

/** The leases of one member. */
export class Holding {
  readonly entries: Set<Entry> = new Set();
  /** UTF-16 units of their envelopes. */
  length = 0;
}

const NOTHING = new Holding();

/**
 * The bookkeeping of one group: which events of its streams are settled, leased, or waiting for another attempt. Pure:
 * it reads no stream and no clock. Times are milliseconds of any monotonic clock.
 *
 * Anything not in the record is unread: a driver that takes over reads it again. So a delivery may be recorded late,
 * but a settlement must be recorded before it is confirmed.
 */
export class Ledger {
  limits: LedgerLimits;
  readonly streams: Map<string, LedgerStream> = new Map();
  readonly counts: Record<Settlement, number> = noSettlements();
  /** Unsettled events in any state. */
  size = 0;
  /** Leased events. */
  out = 0;
  /** Receipts to be sent. */
  readonly owed: OwedReceipts = new OwedReceipts();
  /** Accepted answers that may be repeated. */
  readonly answered: AnsweredTokens = new AnsweredTokens();
  /** Lost events that were not reported to a member, by channel. */
  readonly untold: Map<string, number> = new Map();
  /** Events that have died and are not yet settled as dead letters. */
  readonly dying: Set<Entry> = new Set();
  private readonly tokens: Map<string, Entry> = new Map();
  private readonly held: Map<string, Holding> = new Map();
  private readonly waiting: Set<Entry> = new Set();
  private readonly revivals: Set<Entry> = new Set();
  private readonly texts: TextBudget;
  private readonly totals: GroupTotals;
  /** UTF-16 units of envelopes in memory. */
  private kept = 0;
  /** Nothing is due before this. */
  private earliest = Number.POSITIVE_INFINITY;

  /** @param texts shared by all ledgers of this process, as is `totals` */
  constructor(limits: LedgerLimits, texts: TextBudget = new TextBudget(), totals: GroupTotals = new GroupTotals()) {
    this.limits = limits;
    this.texts = texts;
    this.totals = totals;
  }

  count(how: Settlement, events: number): void {
    this.counts[how] += events;
    this.totals.settled[how] += events;
  }

  /** Keeps the envelope of an event in memory. */
  keep(entry: Entry, text: string): void {
    this.letGo(entry);
    entry.text = text;
    entry.length = text.length;
    this.kept += text.length;
    this.texts.used += text.length;
  }

  /** Drops an envelope from memory; it is read again when needed. */
  letGo(entry: Entry): void {
    if (entry.text === null) return;
    this.kept -= entry.length;
    this.texts.used -= entry.length;
    entry.text = null;
  }

  /** Whether more envelopes are in memory than may stay there while unused. */
  get isHeavy(): boolean {
    return this.kept > MAX_KEPT || this.texts.used > this.texts.limit;
  }

  /** Whether few enough envelopes are in memory to read ahead. */
  get isLight(): boolean {
    return this.kept < MAX_KEPT / 2 && this.texts.used < this.texts.limit / 2;
  }

  /** Drops all envelopes: they count towards the limit of the process. */
  clear(): void {
    for (const { entries } of this.streams.values()) for (const entry of entries.values()) this.letGo(entry);
    for (const entry of this.revivals) this.letGo(entry);
  }

  /** Whether another event may be taken. */
  get hasRoom(): boolean {
    return this.size < this.limits.maxUnacked;
  }

  /** When the next lease ends or attempt is due. May be earlier than the actual time. */
  get nextDue(): number {
    return this.earliest;
  }

  /** The leases of a member. */
  holding(member: string): Holding {
    return this.held.get(member) ?? NOTHING;
  }

  /** Members that hold leases, including those known to an earlier driver. */
  holders(): string[] {
    return [...this.held.keys()];
  }

  find(token: string): Entry | undefined {
    return this.tokens.get(token);
  }

  /** Begins to follow a stream after `floor`. */
  follow(channel: string, floor: number, epoch: string): LedgerStream {
    const stream = new LedgerStream(channel, floor, epoch);
    this.streams.set(channel, stream);
    return stream;
  }

  /** Notes that an event has been read; null when it is settled or known already. Sequences must be ascending. */
  offer(stream: LedgerStream, sequence: number): Entry | null {
    stream.position = Math.max(stream.position, sequence);
    if (sequence <= stream.floor || stream.settled.has(sequence) || stream.entries.has(sequence)) return null;
    return this.add(new Entry(stream, sequence));
  }

  /** The entry of an event that may be unread, without marking it as read; null when it is settled. */
  reach(stream: LedgerStream, sequence: number): Entry | null {
    if (sequence <= stream.floor || stream.settled.has(sequence)) return null;
    return stream.entries.get(sequence) ?? this.add(new Entry(stream, sequence));
  }

  /** Takes a dead letter for another attempt, by its key; null when its event has an entry already. */
  revive(stream: LedgerStream, sequence: number, deadKey: string): Entry | null {
    if (stream.entries.has(sequence)) return null;
    const entry = this.add(new Entry(stream, sequence, deadKey));
    this.revivals.add(entry);
    return entry;
  }

  /** Leases a ready event to a member. Returns when the lease ends. */
  handOut(entry: Entry, member: string, token: string, now: number): number {
    entry.attempts += 1;
    this.totals.handOuts += 1;
    this.lease(entry, member, token, now + this.limits.ackWaitMs);
    return entry.due;
  }

  /** The event is handled; undefined when the token is void. */
  ack(token: string): Entry | undefined {
    const entry = this.tokens.get(token);
    if (entry !== undefined) this.settle(entry, 'handled');
    return entry;
  }

  /** The attempt failed: the next one comes after `delayMs`, or after the backoff. */
  nack(token: string, now: number, delayMs?: number, reason?: string): Entry | undefined {
    const entry = this.tokens.get(token);
    if (entry !== undefined) this.again(entry, now, delayMs ?? this.backoff(entry), reason ?? 'nack');
    return entry;
  }

  /** Renews the lease for its full time. */
  extend(token: string, now: number): Entry | undefined {
    const entry = this.tokens.get(token);
    if (entry === undefined) return undefined;
    entry.due = now + this.limits.ackWaitMs;
    this.touch(entry.stream);
    return entry;
  }

  /** Makes the event a dead letter at once. */
  reject(token: string, reason: string, by: string | null = null): Entry | undefined {
    const entry = this.tokens.get(token);
    if (entry === undefined) return undefined;
    entry.rejectedBy = by;
    this.die(entry, reason);
    return entry;
  }

  /** A member has left: its events are due again at once; the attempts count. */
  giveBack(member: string, now: number, reason: string): Entry[] {
    const held = [...(this.held.get(member)?.entries ?? [])];
    for (const entry of held) this.again(entry, now, 0, reason);
    return held;
  }

  /**
   * Ends expired leases, and makes due events ready, in the order of their time. `ended` is called for each lease that
   * has ended.
   */
  collect(now: number, ended: (member: string, token: string) => void = () => {}): Entry[] {
    if (now < this.earliest) return [];
    for (const [token, entry] of [...this.tokens]) {
      if (entry.due > now) continue;
      ended(entry.member, token);
      this.again(entry, now, this.backoff(entry), 'ack_wait');
    }
    const ready = [...this.waiting].filter(({ due }) => due <= now).sort(inOrder);
    for (const entry of ready) {
      this.waiting.delete(entry);
      entry.state = 'ready';
    }
    this.earliest = Number.POSITIVE_INFINITY;
    for (const { due } of this.tokens.values()) this.earliest = Math.min(this.earliest, due);
    for (const { due } of this.waiting) this.earliest = Math.min(this.earliest, due);
    return ready;
  }

  /** Settles an event, in any state. */
  settle(entry: Entry, how: Settlement): void {
    if (entry.state === 'gone') return;
    const { stream, sequence } = entry;
    this.drop(entry);
    this.count(how, 1);
    this.touch(stream);
    if (entry.revived === null) this.close(stream, sequence);
  }

  /** Unread events up to `to` are no longer kept and count as lost. Returns their number. */
  lose(stream: LedgerStream, to: number): number {
    let lost = 0;
    let from = Math.max(stream.position, stream.floor) + 1;
    const known = [...stream.entries.values()].filter(({ revived }) => revived === null);
    const stops = known.map(({ sequence }) => sequence).filter((sequence) => sequence >= from && sequence <= to);
    for (const stop of [...stops.sort((one, other) => one - other), to + 1]) {
      if (stop > from) lost += stream.settled.add(from, stop - 1);
      from = stop + 1;
    }
    stream.floor = stream.settled.advance(stream.floor);
    stream.position = Math.max(stream.position, to);
    this.count('lost', lost);
    this.touch(stream);
    return lost;
  }

  /** Continues after `sequence`, in any epoch of the stream; leased and waiting events are forgotten. */
  seek(stream: LedgerStream, sequence: number, epoch: string): void {
    for (const entry of [...stream.entries.values()]) if (entry.revived === null) this.drop(entry);
    stream.settled.clear();
    stream.floor = sequence;
    stream.position = sequence;
    stream.epoch = epoch;
    this.touch(stream);
  }

  /** The text that {@link restore} reads, with at most a line for each stream and each delivered event. */
  toRecord(group: string, now: number): string {
    const { counts, owed, untold, answered } = this;
    const streams = this.streams.values();
    return writeRecord({ group, counts, receipts: owed.all, untold, answered: answered.record(now), streams }, now);
  }

  /** Restores what {@link toRecord} wrote for this group; false when the text belongs to another group. */
  restore(text: string, group: string, now: number): boolean {
    const record = readRecord(text);
    if (record.group !== group) return false;
    Object.assign(this.counts, record.counts);
    this.owed.restore(record.receipts);
    this.answered.restore(record.answered, now);
    for (const [channel, lost] of record.untold) this.untold.set(channel, lost);
    for (const { channel, floor, epoch, settled, entries } of record.streams) {
      const stream = new LedgerStream(channel, floor, epoch, new Ranges(settled));
      this.streams.set(channel, stream);
      for (const { sequence, attempts, state, leftMs, token, member, key, reason } of entries) {
        const entry = this.add(new Entry(stream, sequence));
        Object.assign(entry, { attempts, key, reason });
        if (state === 'out') this.lease(entry, member, token, now + leftMs);
        else if (state === 'dead') this.die(entry, reason ?? 'rejected');
        else this.wait(entry, now + leftMs);
      }
    }
    return true;
  }

  private add(entry: Entry): Entry {
    entry.stream.entries.set(entry.sequence, entry);
    this.size += 1;
    return entry;
  }

  private lease(entry: Entry, member: string, token: string, due: number): void {
    entry.state = 'out';
    entry.member = member;
    entry.token = token;
    entry.due = due;
    this.tokens.set(token, entry);
    let held = this.held.get(member);
    if (held === undefined) {
      held = new Holding();
      this.held.set(member, held);
    }
    held.entries.add(entry);
    held.length += entry.length;
    this.out += 1;
    this.earliest = Math.min(this.earliest, due);
    this.touch(entry.stream);
  }

  /** Ends the lease of an event, if it has one. */
  private release(entry: Entry): void {
    if (entry.state !== 'out') return;
    const { member, token } = entry;
    this.tokens.delete(token);
    const held = this.held.get(member);
    if (held?.entries.delete(entry) === true) held.length -= entry.length;
    if (held?.entries.size === 0) this.held.delete(member);
    entry.state = 'ready';
    entry.token = '';
    entry.member = '';
    this.out -= 1;
  }

  private backoff({ attempts }: Entry): number {
    const { backoffMs } = this.limits;
    return backoffMs[Math.min(attempts, backoffMs.length) - 1] ?? 0;
  }

  private again(entry: Entry, now: number, delayMs: number, reason: string): void {
    this.release(entry);
    entry.reason = reason;
    if (entry.attempts >= this.limits.maxAttempts) this.die(entry, reason);
    else this.wait(entry, now + delayMs);
  }

  private wait(entry: Entry, due: number): void {
    entry.state = 'waiting';
    entry.due = due;
    this.waiting.add(entry);
    this.earliest = Math.min(this.earliest, due);
    this.touch(entry.stream);
  }

  private die(entry: Entry, reason: string): void {
    this.release(entry);
    entry.state = 'dead';
    entry.reason = reason;
    this.dying.add(entry);
    this.touch(entry.stream);
  }

  private drop(entry: Entry): void {
    this.release(entry);
    this.waiting.delete(entry);
    this.dying.delete(entry);
    entry.stream.entries.delete(entry.sequence);
    this.revivals.delete(entry);
    this.letGo(entry);
    entry.state = 'gone';
    this.size -= 1;
  }

  private close(stream: LedgerStream, sequence: number): void {
    if (sequence === stream.floor + 1) stream.floor = stream.settled.advance(sequence);
    else stream.settled.add(sequence);
    stream.position = Math.max(stream.position, stream.floor);
  }

  private touch(stream: LedgerStream): void {
    stream.record = null;
  }
}

function inOrder(one: Entry, other: Entry): number {
  return one.due - other.due || one.sequence - other.sequence;
}
