import { BusError, newId, type Position } from '@arqonbus/protocol';
import { andThen, attempt } from '../awaitable.ts';
import type { Clock } from '../clock.ts';
import type { Broker, KeyValueStore, StreamEvent } from '../engine/engine.ts';
import { type DeadLetter, DeadLetters } from './dead-letters.ts';
import { endOf, isOwnDeadLetter, keyOf, markDelivery, timeText } from './envelope.ts';
import { type GroupPlace, type GroupRecord, groupKey, ledgerLimits } from './group.ts';
import { Journal } from './journal.ts';
import { type Entry, Ledger, LedgerStream, type Settlement, type TextBudget } from './ledger.ts';
import { type Member, Members } from './members.ts';
import { type Pull, Pulls } from './pulls.ts';
import { covering, Sources } from './sources.ts';

const STATE_SPACE = 'group_state';
/** Ends of leases that lie closer together than this are looked at together, in milliseconds. */
const TICK_MS = 10;
/** The wait before a dead letter that could not be kept is tried again, in milliseconds. */
const RETRY_MS = 1_000;
/** How long a new driver leaves leases to members that it has not heard of, in milliseconds. */
const SHOW_UP_MS = 12_000;
/** Bytes of dead letters in one answer; one is always given. */
const MAX_ANSWER = 1_048_576;
/** Longest key that keeps an order; longer ones are cut. */
const MAX_KEY = 128;

/** What a member says of the events that it holds. */
export type AnswerKind = 'ack' | 'nack' | 'extend' | 'reject';

export interface Answer {
  readonly kind: AnswerKind;
  readonly tokens: readonly string[];
  readonly delayMs?: number | undefined;
  readonly reason?: string | undefined;
  /** Whose answer it is. */
  readonly by: string | null;
}

export interface Answered {
  readonly done: string[];
  /** Tokens that held nothing any more. */
  readonly lost: string[];
}

/** An event that the group is done with. `text` is null when it is no longer at hand. */
export interface Settled {
  readonly place: GroupPlace;
  readonly channel: string;
  readonly sequence: number;
  readonly text: string | null;
  readonly outcome: Settlement;
  readonly attempts: number;
  /** The subject whose answer it was; null without one. */
  readonly by: string | null;
}

export interface DriverInfo {
  /** By channel: all up to there is settled. */
  readonly positions: Readonly<Record<string, Position>>;
  /** Events that are not handed out: unread ones, and those that wait for another attempt. */
  readonly pending: number;
  readonly unacked: number;
  /** Age of the oldest event that is not settled; null without one. */
  readonly oldest_ms: number | null;
  readonly members: number;
  readonly dead_letters: number;
  readonly counts: Readonly<Record<Settlement, number>>;
}

export interface DriverParts {
  readonly broker: Broker;
  readonly store: KeyValueStore;
  readonly clock: Clock;
  readonly texts: TextBudget;
  /** Publishes a dead letter; `retries` tells one death of an event from the next. */
  publishDead(tenant: string, group: GroupRecord, letter: DeadLetter): Promise<void>;
  /** The text of a notice that events were lost. */
  lostNotice(group: GroupRecord, tenant: string, channel: string, count: number): string;
  onSettled(settled: Settled): void;
  /** Another node has taken over. */
  onConflict(): void;
  onFault(error: unknown): void;
}

/**
 * Drives one group, on the one node that does: reads its streams no faster than its members take events, hands them out
 * under leases, and writes what became of them. What is answered is written first.
 */
export class Driver {
  readonly place: GroupPlace;
  readonly members: Members;
  private group: GroupRecord;
  private readonly parts: DriverParts;
  private readonly ledger: Ledger;
  private readonly sources: Sources;
  /** Null for a group that is not kept. */
  private readonly journal: Journal | null;
  private readonly letters: DeadLetters;
  private readonly pulls: Pulls;
  private readonly keyPath: readonly string[] | null;
  private readonly covers: (channel: string) => boolean;
  /** Events that are at hand and wait for somebody to take them, in their order. */
  private ready: Entry[] = [];
  /** Which event of each key is under way. */
  private readonly busyKeys: Map<string, Entry> = new Map();
  /** Keys of dead letters that wait to be taken up again. */
  private revivals: string[] = [];
  /** Events that were lost while nobody was there to be told, by channel. */
  private readonly untold: Map<string, number> = new Map();
  private isPumping = false;
  private pumpAgain = false;
  private isBurying = false;
  private isReviving = false;
  private isOpen = false;
  /** Events came by before it was open. */
  private hasMissed = false;
  private isOver = false;
  private wakesAt = Number.POSITIVE_INFINITY;
  private callOff: () => void = () => {};
  private callOffAbsent: () => void = () => {};
  /** When somebody was last there or asked for something, by the steady clock. */
  private lastUse: number;

  constructor(tenant: string, group: GroupRecord, isKept: boolean, parts: DriverParts) {
    const { clock, broker, store, texts, onFault } = parts;
    this.place = { tenant, room: group.room, channel: group.channel, group: group.group };
    this.group = group;
    this.parts = parts;
    this.ledger = new Ledger(ledgerLimits(group.settings), texts);
    this.members = new Members(this.ledger);
    this.covers = covering(group.channel);
    this.keyPath = group.settings.key?.split('.') ?? null;
    this.letters = new DeadLetters(store, tenant, group.group_id);
    this.pulls = new Pulls(clock);
    this.lastUse = clock.steady();
    this.sources = new Sources(this.place, broker, this.ledger, {
      onEntry: (entry) => {
        this.prepare(entry);
        this.ready.push(entry);
      },
      onLost: (channel, count) => this.tellLost(channel, count),
      onMore: () => this.pump(),
      onFault,
      after: (ms, callback) => clock.after(ms, callback),
    });
    const at = { tenant, space: STATE_SPACE, namespace: '' };
    this.journal = isKept
      ? new Journal(store, at, groupKey(group), clock, {
          write: () => this.ledger.toRecord(group.group_id, clock.steady()),
          onConflict: () => parts.onConflict(),
          onFault,
        })
      : null;
  }

  /** Takes up where the group stands. Rejects when the storage is away. */
  async start(): Promise<void> {
    const { clock } = this.parts;
    const { group } = this;
    const record = (await this.journal?.load()) ?? null;
    if (record === null || !this.ledger.restore(record, group.group_id, clock.steady())) {
      for (const [channel, { sequence, epoch }] of Object.entries(group.begin)) {
        this.ledger.follow(channel, sequence, epoch);
      }
    }
    if (this.journal !== null) await this.letters.load();
    this.revivals = this.letters.all.filter(({ retrying }) => retrying).map(({ key }) => key);
    this.holdKeys();
    await this.sources.open();
    if (this.isOver) return;
    this.isOpen = true;
    if (this.hasMissed) this.sources.doubt();
    this.callOffAbsent = clock.after(SHOW_UP_MS, () => this.giveUpAbsent());
    this.wake();
    this.bury();
    this.pump();
  }

  /** Hands nothing out any more, and writes what happened. */
  async stop(): Promise<void> {
    this.isOver = true;
    this.isOpen = false;
    this.sources.close();
    this.callOff();
    this.callOffAbsent();
    this.pulls.close();
    await this.journal?.stop();
    this.ledger.clear();
  }

  /** The group's settings were changed. */
  update(group: GroupRecord): void {
    this.group = group;
    this.pump();
  }

  /** Sees an event of the room, live. */
  take(event: StreamEvent): void {
    if (this.isOpen) this.sources.take(event, this.wanted > 0);
    else this.hasMissed = true;
  }

  /** Events may have passed this node by. */
  doubt(): void {
    if (this.isOpen) this.sources.doubt();
    else this.hasMissed = true;
  }

  /** Whether nobody was there, or asked for anything, for `ms` milliseconds. */
  isUnused(ms: number): boolean {
    if (this.members.size > 0 || this.pulls.size > 0) this.lastUse = this.parts.clock.steady();
    return this.parts.clock.steady() - this.lastUse >= ms;
  }

  // Members -----------------------------------------------------------------------------------------------------------

  join(member: Member): void {
    this.members.add(member);
    for (const channel of this.untold.keys()) this.tellLost(channel, 0);
    this.pump();
  }

  /** A member has gone: what it held goes to others at once. */
  leave(id: string, reason: string): void {
    this.members.remove(id);
    this.lastUse = this.parts.clock.steady();
    if (this.ledger.giveBack(id, this.parts.clock.steady(), reason).length > 0) this.changed();
    this.pump();
  }

  /** What a member says. The answer comes once it is written. */
  async answer({ kind, tokens, delayMs, reason, by }: Answer): Promise<Answered> {
    const now = this.parts.clock.steady();
    this.lastUse = now;
    const done: string[] = [];
    const lost: string[] = [];
    const settled: Settled[] = [];
    const removals: Promise<void>[] = [];
    for (const token of tokens) {
      const entry = this.ledger.find(token);
      if (entry === undefined) {
        lost.push(token);
        continue;
      }
      done.push(token);
      if (kind === 'nack') this.ledger.nack(token, now, delayMs, reason);
      else if (kind === 'extend') this.ledger.extend(token, now);
      else if (kind === 'reject') this.ledger.reject(token, reason ?? 'rejected');
      else {
        settled.push(this.fact(entry, 'handled', by));
        if (entry.revived !== null) removals.push(this.letters.remove(entry.revived));
        this.ledger.ack(token);
        this.freeKey(entry);
      }
    }
    if (done.length === 0) return { done, lost };
    this.changed();
    const saved = this.journal?.saved();
    this.pump();
    await Promise.all([saved, ...removals]);
    for (const one of settled) this.parts.onSettled(one);
    return { done, lost };
  }

  /** Events for somebody who is no member, under leases of its own: at once when there are some, else within `waitMs`. */
  async pull(member: string, limit: number, waitMs: number): Promise<{ texts: string[]; pending: number }> {
    this.lastUse = this.parts.clock.steady();
    const texts = this.pulls.ask(member, limit, waitMs);
    this.pump();
    return { texts: await texts, pending: await this.pending() };
  }

  /** Whoever pulled is gone and gets no answer. */
  cancelPulls(member: string): void {
    this.pulls.cancel(member);
  }

  // What is told of it ------------------------------------------------------------------------------------------------

  async info(): Promise<DriverInfo> {
    const { unread, heads } = await this.sources.measure();
    const positions: Record<string, Position> = Object.create(null);
    for (const { channel, floor, epoch } of this.ledger.streams.values()) {
      positions[channel] = { sequence: floor, epoch: epoch === '' ? (heads.get(channel)?.epoch ?? '') : epoch };
    }
    return {
      positions,
      pending: unread + this.ledger.size - this.ledger.out,
      unacked: this.ledger.out,
      oldest_ms: await this.oldest(),
      members: this.members.size,
      dead_letters: this.letters.count,
      counts: { ...this.ledger.counts },
    };
  }

  private async pending(): Promise<number> {
    const { unread } = await this.sources.measure();
    return unread + this.ledger.size - this.ledger.out;
  }

  private async oldest(): Promise<number | null> {
    const { tenant, room } = this.place;
    let oldest = Number.POSITIVE_INFINITY;
    for (const { channel, floor, entries, position } of this.ledger.streams.values()) {
      const first = Math.min(
        position + 1,
        ...[...entries.values()].map(({ sequence }) => Math.max(sequence, floor + 1)),
      );
      const query = { fromSequence: first, limit: 1 };
      const [event] = await this.parts.broker.history({ tenant, room, channel }, query);
      if (event !== undefined) oldest = Math.min(oldest, event.time);
    }
    return oldest === Number.POSITIVE_INFINITY ? null : Math.max(0, Math.round(this.parts.clock.now() - oldest));
  }

  /** Goes on after given positions: what was out or waiting is forgotten, its tokens hold nothing. */
  async seek(positions: Readonly<Record<string, Position>>): Promise<void> {
    this.lastUse = this.parts.clock.steady();
    await this.sources.seek(positions);
    this.ready = this.ready.filter(({ state }) => state === 'ready');
    this.busyKeys.clear();
    this.holdKeys();
    await this.journal?.saved();
  }

  // Dead letters ------------------------------------------------------------------------------------------------------

  async deadLetters(limit: number, after: string | undefined): Promise<{ letters: DeadLetter[]; next: string | null }> {
    this.lastUse = this.parts.clock.steady();
    const listed = this.letters.all.filter(({ retrying, key }) => !retrying && (after === undefined || key > after));
    const letters: DeadLetter[] = [];
    let length = 0;
    let last: string | null = null;
    for (const { key, bytes } of listed) {
      if (letters.length === limit || (letters.length > 0 && length + bytes > MAX_ANSWER)) {
        return { letters, next: last };
      }
      const letter = await this.letters.read(key);
      if (letter === null) continue;
      letters.push(letter);
      length += bytes;
      last = key;
    }
    return { letters, next: null };
  }

  /** Hands dead letters out again, with their first attempt: those of the given message ids, or all. Answers how many. */
  async retry(ids: readonly string[] | undefined): Promise<number> {
    this.lastUse = this.parts.clock.steady();
    const wanted = ids === undefined ? null : new Set(ids);
    let retried = 0;
    for (const { key, id, retrying } of this.letters.all) {
      if (retrying || (wanted !== null && !wanted.has(id))) continue;
      if ((await this.letters.revive(key)) === null) continue;
      this.revivals.push(key);
      retried += 1;
    }
    this.pump();
    return retried;
  }

  private bury(): void {
    if (this.isBurying || this.isOver || this.ledger.dying.size === 0) return;
    this.isBurying = true;
    const again = (): void => {
      this.isBurying = false;
      this.bury();
    };
    this.buryAll().then(again, (error: unknown) => {
      if (!(error instanceof BusError && error.code === 'STORAGE_UNAVAILABLE')) this.parts.onFault(error);
      this.parts.clock.after(RETRY_MS, again);
    });
  }

  private async buryAll(): Promise<void> {
    for (const entry of this.ledger.dying) {
      const { channel } = entry.stream;
      const text = entry.text ?? (await this.fetchText(entry));
      if (this.isOver || entry.state !== 'dead') continue;
      if (text === null) {
        this.finish(entry, 'lost', null);
        this.tellLost(channel, 1);
        continue;
      }
      const known = this.letters.find(channel, entry.sequence);
      const letter: DeadLetter = {
        channel,
        sequence: entry.sequence,
        id: (JSON.parse(text) as { id: string }).id,
        reason: entry.reason ?? 'rejected',
        attempts: entry.attempts,
        at: this.parts.clock.now(),
        retries: known?.retrying === true ? known.retries + 1 : (known?.retries ?? 0),
        retrying: false,
        text,
      };
      if (this.journal !== null) await this.letters.add(letter);
      await this.parts.publishDead(this.place.tenant, this.group, letter);
      this.finish(entry, 'rejected', null, true);
      await this.journal?.saved();
    }
  }

  /** Takes up the next dead letters that are to be tried again, as far as there is room. */
  private async revive(): Promise<void> {
    if (this.isReviving) return;
    this.isReviving = true;
    try {
      while (this.revivals.length > 0 && this.ledger.hasRoom && !this.isOver) {
        const key = this.revivals.shift() as string;
        const letter = await this.letters.read(key);
        if (letter === null || this.isOver) continue;
        const entry = this.ledger.revive(new LedgerStream(letter.channel, 0, ''), letter.sequence, key);
        if (entry === null) continue;
        this.ledger.keep(entry, letter.text);
        this.prepare(entry);
        this.ready.push(entry);
      }
    } finally {
      this.isReviving = false;
    }
    this.pump();
  }

  // Handing out -------------------------------------------------------------------------------------------------------

  /** How many more events are wanted. */
  private get wanted(): number {
    if (this.group.paused || this.isOver) return 0;
    const room = this.ledger.limits.maxUnacked - this.ledger.size;
    if (room <= 0 || this.ledger.isHeavy) return this.ledger.size === 0 ? 1 : 0;
    const credit = this.pulls.wanted + this.members.totalCredit;
    if (credit === 0) return 0;
    // With keys, an event may have to wait for its member while others go on.
    return this.keyPath === null ? Math.max(0, Math.min(room, credit - this.ready.length)) : room;
  }

  /** Hands out what can be, and reads more when more is wanted. Never runs inside itself. */
  private pump(): void {
    this.pumpAgain = true;
    if (this.isPumping) return;
    this.isPumping = true;
    while (this.pumpAgain && !this.isOver) {
      this.pumpAgain = false;
      this.hand();
      const { wanted } = this;
      if (wanted <= 0) continue;
      if (this.revivals.length > 0) this.revive().catch(this.parts.onFault);
      if (this.sources.hasMore) this.sources.read(wanted);
    }
    this.isPumping = false;
    if (this.pulls.size > 0 && (this.sources.isQuiet || this.wanted <= 0)) this.pulls.settleEmpty();
    this.wake();
  }

  private hand(): void {
    if (this.group.paused || this.ready.length === 0) return;
    const { ready } = this;
    this.ready = [];
    const left: Entry[] = [];
    for (let at = 0; at < ready.length; at += 1) {
      const entry = ready[at] as Entry;
      if (entry.state !== 'ready') continue;
      if (entry.text === null) {
        this.fetch(entry);
        continue;
      }
      if (entry.end <= this.parts.clock.now()) {
        this.finish(entry, 'expired', null);
        continue;
      }
      if (isOwnDeadLetter(entry.text, this.place, this.covers)) {
        this.finish(entry, 'skipped', null);
        continue;
      }
      const taker = this.takerOf(entry);
      if (taker !== undefined) this.give(entry, entry.text, taker);
      else if (this.keyPath === null) {
        for (; at < ready.length; at += 1) left.push(ready[at] as Entry);
      } else left.push(entry);
    }
    this.ready = left.concat(this.ready);
    this.pulls.flush();
  }

  /** Who gets an event now; undefined when it has to wait. */
  private takerOf(entry: Entry): Member | Pull | undefined {
    if (entry.key === null) return this.pulls.next() ?? this.members.leastBusy();
    const busy = this.busyKeys.get(entry.key);
    if (busy !== undefined && busy !== entry) return undefined;
    const owner = this.members.ownerOf(entry.key);
    if (owner === undefined) return this.pulls.next();
    return this.members.credit(owner) > 0 ? owner : undefined;
  }

  private give(entry: Entry, text: string, taker: Member | Pull): void {
    const { clock } = this.parts;
    const { ack_wait_seconds } = this.group.settings;
    const token = `${this.group.group_id}.${newId().slice(4)}`;
    this.ledger.handOut(entry, taker.id, token, clock.steady());
    if (entry.key !== null) this.busyKeys.set(entry.key, entry);
    if (this.ledger.isHeavy) this.ledger.letGo(entry);
    this.journal?.note();
    const deadline = timeText(clock.now() + Math.round(ack_wait_seconds * 1000));
    taker.send(markDelivery(text, { group: this.place.group, attempt: entry.attempts, token, deadline }));
  }

  /** Reads an event again for another attempt. */
  private fetch(entry: Entry): void {
    const found = (text: string | null): void => {
      if (this.isOver || entry.state !== 'ready') return;
      if (text === null) {
        this.finish(entry, 'lost', null);
        this.tellLost(entry.stream.channel, 1);
      } else {
        this.ledger.keep(entry, text);
        this.prepare(entry);
        this.ready.unshift(entry);
      }
      this.pump();
    };
    attempt(
      () => andThen(this.fetchText(entry), found),
      (error) => {
        if (!(error instanceof BusError && error.code === 'STORAGE_UNAVAILABLE')) this.parts.onFault(error);
        this.parts.clock.after(RETRY_MS, () => this.fetch(entry));
      },
    );
  }

  private fetchText(entry: Entry): Promise<string | null> | string | null {
    if (entry.revived === null) return this.sources.fetch(entry);
    return this.letters.read(entry.revived).then((letter) => letter?.text ?? null);
  }

  private prepare(entry: Entry): void {
    const text = entry.text as string;
    entry.end = endOf(text);
    if (this.keyPath !== null) entry.key = keyOf(text, this.keyPath, MAX_KEY);
  }

  /** Is done with an event that nobody answered for. */
  private finish(entry: Entry, how: Settlement, by: string | null, isBuried = false): void {
    const fact = this.fact(entry, how, by);
    if (entry.revived !== null && !isBuried) this.letters.remove(entry.revived).catch(this.parts.onFault);
    this.ledger.settle(entry, how);
    this.freeKey(entry);
    this.journal?.note();
    this.parts.onSettled(fact);
  }

  private fact({ stream, sequence, text, attempts }: Entry, outcome: Settlement, by: string | null): Settled {
    return { place: this.place, channel: stream.channel, sequence, text, outcome, attempts, by };
  }

  private freeKey(entry: Entry): void {
    if (entry.key !== null && this.busyKeys.get(entry.key) === entry) this.busyKeys.delete(entry.key);
  }

  /** What has been handed out before keeps its key until it is settled. */
  private holdKeys(): void {
    for (const { entries } of this.ledger.streams.values()) {
      for (const entry of entries.values()) {
        if (entry.key !== null && entry.attempts > 0) this.busyKeys.set(entry.key, entry);
      }
    }
  }

  // Time --------------------------------------------------------------------------------------------------------------

  /** Leases have ended, or were given back. */
  private changed(): void {
    const due = this.ledger.collect(this.parts.clock.steady());
    if (due.length > 0) this.ready = due.concat(this.ready);
    this.journal?.note();
    this.bury();
  }

  private wake(): void {
    const { nextDue } = this.ledger;
    if (this.isOver || nextDue >= this.wakesAt) return;
    this.callOff();
    this.wakesAt = nextDue;
    const { clock } = this.parts;
    this.callOff = clock.after(Math.max(TICK_MS, nextDue - clock.steady()), () => {
      this.wakesAt = Number.POSITIVE_INFINITY;
      this.changed();
      this.pump();
    });
  }

  /** Members that a driver before this one knew and that have not come back hold nothing any more. */
  private giveUpAbsent(): void {
    for (const holder of this.ledger.holders()) {
      if (this.members.find(holder) === undefined && !this.pulls.isPull(holder)) this.leave(holder, 'member lost');
    }
  }

  /** Tells the members that events were lost; while there are none, whoever comes next. */
  private tellLost(channel: string, count: number): void {
    this.journal?.note();
    this.untold.set(channel, (this.untold.get(channel) ?? 0) + count);
    if (this.members.size === 0) return;
    for (const [lostIn, lost] of this.untold) {
      const text = this.parts.lostNotice(this.group, this.place.tenant, lostIn, lost);
      for (const member of this.members.all) member.send(text);
    }
    this.untold.clear();
  }
}
