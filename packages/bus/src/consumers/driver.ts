import { newId, type Position } from '@arqonbus/protocol';
import { andThen } from '../awaitable.ts';
import type { StreamEvent } from '../engine/engine.ts';
import { Alarm } from './alarm.ts';
import type { Answer, Answered } from './answer.ts';
import { DeadLetterQueue } from './dead-letter-queue.ts';
import { Demand } from './demand.ts';
import { type DriverInfo, infoOf, pendingOf } from './driver-info.ts';
import type { DriverParts } from './driver-parts.ts';
import { endOf, isOwnDeadLetter, markDelivery, timeText } from './envelope.ts';
import { Expiries } from './expiries.ts';
import { type GroupPlace, type GroupRecord, groupKey, isInbox, ledgerLimits } from './group.ts';
import { STATE_SPACE } from './group-store.ts';
import { Journal } from './journal.ts';
import { KeyOrder } from './key-order.ts';
import { type Entry, Ledger } from './ledger.ts';
import { Losses } from './losses.ts';
import { type Member, Members } from './members.ts';
import { type Pull, Pulls } from './pulls.ts';
import { ReceiptSender } from './receipt-sender.ts';
import { covering, Sources } from './sources.ts';
import type { Settlement } from './totals.ts';

/** How long a new driver keeps the leases of members that it has not heard from, in milliseconds. */
const SHOW_UP_MS = 12_000;

/**
 * Drives one group on one node: reads its streams no faster than its members take events, delivers them under leases,
 * and records the outcome. The outcome is written before an answer is confirmed.
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
  /** Events that used all their attempts, and dead letters that are retried. */
  readonly deadLetters: DeadLetterQueue;
  private readonly receipts: ReceiptSender;
  private readonly pulls: Pulls;
  private readonly keys: KeyOrder;
  private readonly demand: Demand;
  private readonly covers: (channel: string) => boolean;
  /** Events in memory that wait for a taker, in their order. */
  private ready: Entry[] = [];
  private readonly losses: Losses;
  /** Expiry of mail whose senders want receipts; null for any other group. */
  readonly expiries: Expiries | null;
  private isPumping = false;
  private pumpAgain = false;
  private isOpen = false;
  /** Events arrived before it was open. */
  private hasMissed = false;
  private isEnding = false;
  private isOver = false;
  private readonly alarm: Alarm;
  private callOffAbsent: () => void = () => {};
  /** Last use by a member or a request, by the steady clock. */
  private lastUse: number;

  constructor(tenant: string, group: GroupRecord, isKept: boolean, parts: DriverParts) {
    const { clock, broker, store, texts, totals, onFault } = parts;
    this.place = { tenant, room: group.room, channel: group.channel, group: group.group };
    this.group = group;
    this.parts = parts;
    this.ledger = new Ledger(ledgerLimits(group.settings), texts, totals);
    this.members = new Members(this.ledger);
    this.losses = new Losses(this.ledger.untold, this.members, (channel, count) =>
      parts.lostNotice(this.group, tenant, channel, count),
    );
    this.covers = covering(group.channel);
    this.keys = new KeyOrder(group.settings.key);
    this.pulls = new Pulls(clock);
    this.demand = new Demand(this.ledger, this.members, this.pulls, this.keys);
    this.lastUse = clock.steady();
    this.alarm = new Alarm(clock, () => {
      this.changed();
      this.pump();
    });
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
    this.deadLetters = new DeadLetterQueue(tenant, group.group_id, this.ledger, {
      store,
      clock,
      fetch: (entry) => andThen(entry.text ?? this.fetchText(entry), (text) => this.receipts.learn(entry, text)),
      publish: (letter) => parts.publishDead(tenant, this.group, letter),
      onKept: async (entry) => {
        this.finish(entry, 'rejected', true);
        // There is room for the next event.
        this.pump();
        await this.journal?.saved();
      },
      onMissing: (entry) => this.missing(entry),
      onRevived: (entry, text) => {
        this.ledger.keep(entry, text);
        this.prepare(entry);
        this.ready.push(entry);
        this.pump();
      },
      onFault,
    });
    this.journal = isKept
      ? new Journal(store, at, groupKey(group), clock, {
          write: () => this.ledger.toRecord(group.group_id, clock.steady()),
          onConflict: () => parts.onConflict(),
          onFault,
        })
      : null;
    this.receipts = new ReceiptSender(group.group, this.ledger, {
      clock,
      journal: this.journal,
      fetch: (entry) => this.fetchText(entry),
      send: (receipt, isAgain) => parts.sendReceipt(this.place, receipt, isAgain),
      onSent: () => {
        this.expiries?.look();
        this.pump();
      },
      onFault,
    });
    const expiring = { clock, broker, place: this.place, ledger: this.ledger, onFault };
    this.expiries = isInbox(group)
      ? new Expiries({ ...expiring, onOver: (sequence, text) => this.expire(sequence, text) })
      : null;
  }

  /** Restores the state of the group. Rejects when the storage is unavailable. */
  async start(): Promise<void> {
    const { clock } = this.parts;
    const { group } = this;
    for (const [channel, { sequence, epoch }] of Object.entries(group.begin)) {
      this.ledger.follow(channel, sequence, epoch);
    }
    const record = (await this.journal?.takeOver()) ?? null;
    if (record !== null) this.ledger.restore(record, group.group_id, clock.steady());
    await this.deadLetters.load();
    this.keys.restore(this.ledger.streams.values());
    if (group.isInternal === true) {
      // Its members were on the node that drove it before.
      for (const holder of this.ledger.holders()) this.ledger.giveBack(holder, clock.steady(), 'driver changed');
    }
    await this.sources.open();
    if (this.isOver) return;
    this.isOpen = true;
    if (this.hasMissed) this.sources.doubt();
    this.callOffAbsent = clock.after(SHOW_UP_MS, () => this.giveUpAbsent());
    this.changed();
    this.wake();
    this.receipts.start();
    this.expiries?.look();
    this.pump();
  }

  /** Stops deliveries, and writes the final state. */
  async stop(): Promise<void> {
    this.isOver = true;
    this.isOpen = false;
    this.sources.close();
    this.expiries?.close();
    this.deadLetters.close();
    this.alarm.stop();
    this.callOffAbsent();
    this.pulls.close();
    await this.receipts.stop();
    await this.journal?.stop();
    this.ledger.clear();
  }

  /** The group's settings have changed. */
  update(group: GroupRecord): void {
    this.group = group;
    this.ledger.limits = ledgerLimits(group.settings);
    this.pump();
  }

  /** Stops deliveries; members may still answer for events that they hold. */
  rest(): void {
    this.isEnding = true;
  }

  /** Handles a live event of the room. */
  take(event: StreamEvent): void {
    if (!this.isOpen) {
      this.hasMissed = true;
      return;
    }
    this.sources.take(event, !this.isResting && this.demand.takesLive(this.ready.length));
    if (this.expiries !== null && event.text.includes('"receipt":')) this.expiries.look();
  }

  /** This node may have missed events. */
  doubt(): void {
    if (this.isOpen) this.sources.doubt();
    else this.hasMissed = true;
    this.expiries?.look();
  }

  /** Unsettled events, as far as this node knows. */
  get waiting(): number {
    return this.ledger.size + this.sources.unread;
  }

  /** Those of them that are leased. */
  get unacked(): number {
    return this.ledger.out;
  }

  /** Whether there were no members and no requests for `ms` milliseconds. */
  isUnused(ms: number): boolean {
    if (this.members.size > 0 || this.pulls.size > 0) this.lastUse = this.parts.clock.steady();
    return this.parts.clock.steady() - this.lastUse >= ms;
  }

  /** Whether it was idle for `ms` milliseconds, with nothing to do until mail expires. */
  isIdle(ms: number): boolean {
    const { out, dying, owed } = this.ledger;
    const isBusy = out + dying.size + owed.size > 0 || this.expiries?.isQuiet === false;
    return this.isOpen && this.isUnused(ms) && !isBusy;
  }

  // Members -----------------------------------------------------------------------------------------------------------

  join(member: Member): void {
    this.members.add(member);
    if (this.losses.tell()) this.journal?.note();
    this.pump();
  }

  /** A member has left: its events go to others at once. */
  leave(id: string, reason: string): void {
    this.members.remove(id);
    this.lastUse = this.parts.clock.steady();
    if (this.ledger.giveBack(id, this.parts.clock.steady(), reason).length > 0) this.changed();
    this.pump();
  }

  /** Handles an answer of a member of this node or (`isFar`) of another. Resolves once it is written. */
  async answer({ kind, tokens, delayMs, reason, by, via, isAgain = false }: Answer, isFar = false): Promise<Answered> {
    const { answered, limits } = this.ledger;
    if (kind === 'ack') await this.receipts.learnOf(tokens);
    const now = this.parts.clock.steady();
    this.lastUse = now;
    const done: string[] = [];
    const lost: string[] = [];
    const removals: Promise<void>[] = [];
    for (const token of tokens) {
      const entry = this.ledger.find(token);
      this.members.heard(token, entry?.member);
      if (entry === undefined) {
        (answered.takesAgain(token, kind, { by, via }, isAgain, now) ? done : lost).push(token);
        continue;
      }
      done.push(token);
      if (kind !== 'extend') answered.add(token, kind, limits.maxUnacked, { by, via });
      if (kind === 'nack') this.ledger.nack(token, now, delayMs, reason);
      else if (kind === 'extend') this.ledger.extend(token, now);
      else if (kind === 'reject') this.ledger.reject(token, reason ?? 'rejected', by);
      else {
        this.receipts.owe(entry, 'handled', by);
        if (entry.revived !== null) removals.push(this.deadLetters.remove(entry.revived));
        this.ledger.ack(token);
        this.keys.end(entry);
      }
    }
    if (done.length === 0) {
      this.pump();
      return { done, lost };
    }
    this.changed();
    const saved = this.journal?.saved();
    this.pump();
    await Promise.all([saved, ...removals]);
    answered.told(done, isFar, this.parts.clock.steady());
    return { done, lost };
  }

  /** Delivers events to a caller that is not a member, under its own leases: at once, or within `waitMs`. */
  async pull(
    who: string,
    limit: number,
    waitMs: number,
    isAgain = false,
  ): Promise<{ texts: string[]; pending: number }> {
    // The result of the previous attempt did not arrive.
    if (isAgain) this.cancelPull(who);
    this.lastUse = this.parts.clock.steady();
    const texts = this.pulls.ask(who, limit, waitMs);
    if (this.ready.length === 0) this.sources.refresh();
    this.pump();
    const taken = await texts;
    return { texts: taken, pending: await pendingOf(this.ledger, this.sources) };
  }

  /** The caller of a pull has gone and gets no response: its events go to others at once. */
  cancelPull(who: string): void {
    this.leave(this.pulls.cancel(who), 'caller gone');
  }

  // Information -------------------------------------------------------------------------------------------------------

  info(): Promise<DriverInfo> {
    const { ledger, sources, members, deadLetters } = this;
    return infoOf({
      ledger,
      sources,
      members: members.size,
      deadLetters: deadLetters.count,
      now: this.parts.clock.now(),
    });
  }

  /** Moves to given positions: leased and waiting events are forgotten, and their tokens become void. */
  async seek(positions: Readonly<Record<string, Position>>): Promise<void> {
    this.lastUse = this.parts.clock.steady();
    await this.sources.seek(positions);
    this.ready = this.ready.filter(({ state }) => state === 'ready');
    this.keys.restore(this.ledger.streams.values());
    await this.journal?.saved();
  }

  /** Redelivers dead letters, from attempt 1: those of the given message ids, or all. Returns their number. */
  async retry(ids: readonly string[] | undefined, keys?: readonly string[]): Promise<number> {
    this.lastUse = this.parts.clock.steady();
    const retried = await this.deadLetters.retry(ids, keys);
    this.pump();
    return retried;
  }

  // Delivery ----------------------------------------------------------------------------------------------------------

  private get isResting(): boolean {
    return this.group.paused || this.isEnding || !this.parts.isHeld();
  }

  /** How many more events are wanted. */
  private get wanted(): number {
    return this.isResting || this.isOver ? 0 : this.demand.wanted(this.ready.length);
  }

  /** Delivers what it can, and reads more when more is wanted. Not reentrant. */
  private pump(): void {
    this.pumpAgain = true;
    if (this.isPumping) return;
    this.isPumping = true;
    while (this.pumpAgain && !this.isOver) {
      this.pumpAgain = false;
      this.hand();
      if (this.wanted > 0) this.deadLetters.revive();
      if (this.sources.hasMore) this.sources.read(this.isResting ? 0 : this.demand.toRead(this.ready.length));
    }
    this.isPumping = false;
    if (this.pulls.size > 0 && (this.sources.isQuiet || this.wanted <= 0)) this.pulls.settleEmpty();
    this.wake();
  }

  private hand(): void {
    if (this.ready.length === 0 || this.isResting) return;
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
        this.finish(entry, 'expired');
        continue;
      }
      if (isOwnDeadLetter(entry.text, this.place, this.covers)) {
        this.finish(entry, 'skipped');
        continue;
      }
      const taker = this.takerOf(entry);
      if (taker !== undefined) this.give(entry, entry.text, taker);
      else if (!this.keys.isUsed) {
        for (; at < ready.length; at += 1) left.push(ready[at] as Entry);
      } else left.push(entry);
    }
    this.ready = left.concat(this.ready);
    this.pulls.flush();
  }

  /** Who gets an event now; undefined when it must wait. */
  private takerOf(entry: Entry): Member | Pull | undefined {
    if (entry.key === null) return this.pulls.next() ?? this.members.leastBusy();
    if (!this.keys.mayGo(entry)) return undefined;
    const owner = this.members.ownerOf(entry.key);
    if (owner === undefined) return this.pulls.next();
    return this.members.credit(owner) > 0 ? owner : undefined;
  }

  private give(entry: Entry, text: string, taker: Member | Pull): void {
    const { clock } = this.parts;
    const { ack_wait_seconds } = this.group.settings;
    const token = `${this.group.group_id}.${newId().slice(4)}`;
    this.ledger.handOut(entry, taker.id, token, clock.steady());
    this.keys.begin(entry);
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
        this.missing(entry);
        return;
      }
      this.ledger.keep(entry, text);
      this.prepare(entry);
      this.ready.unshift(entry);
      this.pump();
    };
    this.sources.insist(() => this.fetchText(entry), found);
  }

  private fetchText(entry: Entry): Promise<string | null> | string | null {
    if (entry.revived === null) return this.sources.fetch(entry);
    return this.deadLetters.textOf(entry.revived);
  }

  private prepare(entry: Entry): void {
    const text = entry.text as string;
    entry.end = endOf(text);
    this.receipts.learn(entry, text);
    this.keys.read(entry, text);
  }

  /** Settles an event without an answer. */
  private finish(entry: Entry, how: Settlement, isDeadLetter = false): void {
    if (how === 'rejected' || how === 'expired') this.receipts.owe(entry, how, entry.rejectedBy);
    if (entry.revived !== null && !isDeadLetter) this.deadLetters.remove(entry.revived).catch(this.parts.onFault);
    this.ledger.settle(entry, how);
    this.keys.end(entry);
    this.journal?.note();
  }

  /** An event has expired whose sender wants a receipt. An event that a member holds may still be handled. */
  private expire(sequence: number, text: string): void {
    const stream = this.ledger.streams.get(this.place.channel);
    const entry = stream === undefined ? null : this.ledger.reach(stream, sequence);
    if (entry === null || (entry.state !== 'ready' && entry.state !== 'waiting')) return;
    this.receipts.learn(entry, text);
    this.finish(entry, 'expired');
    this.pump();
  }

  // Time --------------------------------------------------------------------------------------------------------------

  /** Leases have ended, or were given back. */
  private changed(): void {
    const { ledger, members, parts } = this;
    const due = ledger.collect(parts.clock.steady(), (member, token) => members.silence(member, token));
    if (due.length > 0) this.ready = due.concat(this.ready);
    this.journal?.note();
    this.deadLetters.collect();
  }

  private wake(): void {
    if (!this.isOver) this.alarm.at(this.ledger.nextDue);
  }

  /** Ends the leases of members known to an earlier driver that have not returned. */
  private giveUpAbsent(): void {
    for (const holder of this.ledger.holders()) {
      if (this.members.find(holder) === undefined && !this.pulls.isPull(holder)) this.leave(holder, 'member lost');
    }
  }

  /** History no longer has an event that was to be redelivered. */
  private missing(entry: Entry): void {
    this.finish(entry, 'lost');
    this.tellLost(entry.stream.channel, 1);
    this.pump();
  }

  private tellLost(channel: string, count: number): void {
    this.losses.add(channel, count);
    this.journal?.note();
  }
}
