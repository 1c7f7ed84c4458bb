import { BusError } from '@arqonbus/protocol';
import type { Clock } from '../clock.ts';
import type { Engine, KeyValueStore } from '../engine/engine.ts';
import { MemoryStore } from '../engine/memory/store.ts';
import type { Hub } from '../hub.ts';
import type { NodeCalls } from '../node-calls.ts';
import type { Interest } from '../subscribe/interest.ts';
import type { ActiveGroup } from './active-group.ts';
import type { Answer, Answered } from './answer.ts';
import { DeadLetters } from './dead-letters.ts';
import { Driver } from './driver.ts';
import { DriverIndex } from './driver-index.ts';
import type { DriverParts } from './driver-parts.ts';
import { NodeLeases } from './leases-of-nodes.ts';
import type { Member } from './members.ts';
import { notDriven, type OperationName, type Operations, operate } from './operations.ts';
import { UnsureAnswers } from './unsure.ts';
import { WakeTimes } from './wake-times.ts';

/** A driver that dies is replaced within 12 s. */
const LEASE = { space: 'group_driver', leaseMs: 9_000, renewalMs: 3_000 };
/** How often a node reports its members to the drivers. */
const TELL_MS = 5_000;
/** A node silent for this long has no members any more. */
const SILENT_MS = 16_000;
const RETRY_MS = 1_000;
/** How long an idle group that may rest stays driven, in milliseconds: longer than absent members need to return. */
const LINGER_MS = 15_000;
/** How long a request waits for a driver, and for its response, in milliseconds. */
const PATIENCE_MS = 12_000;
const ANSWER_MS = 5_000;
/** UTF-16 units of envelopes in one message to another node. */
const BATCH_LENGTH = 1_048_576;

export interface DriversParts
  extends Pick<DriverParts, 'publishDead' | 'sendReceipt' | 'lostNotice' | 'texts' | 'totals'> {
  readonly engine: Engine;
  readonly hub: Hub;
  readonly interest: Interest;
  readonly calls: NodeCalls;
  readonly clock: Clock;
  readonly node: string;
  readonly onFault: (error: unknown) => void;
  /** A group of this node, by its key. */
  readonly find: (tenant: string, key: string) => ActiveGroup | undefined;
  readonly all: () => Iterable<ActiveGroup>;
}

interface MemberList {
  readonly tenant: string;
  readonly key: string;
  readonly members: readonly Pick<Member, 'id' | 'subject' | 'prefetch'>[];
  /** Members that have left since; they may be in the list again. */
  readonly left: readonly string[];
}

interface Operation<N extends OperationName = OperationName> {
  readonly tenant: string;
  readonly key: string;
  readonly name: N;
  readonly args: Operations[N]['args'];
}

type Outgoing = [tenant: string, key: string, member: string, text: string];

/**
 * Ensures that each group is driven by one node and reachable from the others: requests and answers of members go to
 * the driver, envelopes for members come from it.
 */
export class Drivers {
  private readonly parts: DriversParts;
  /** Null when this node is the only one. */
  private readonly leases: NodeLeases | null;
  private readonly wakes: WakeTimes;
  /** The drivers of this node, including those that are starting. */
  readonly index: DriverIndex = new DriverIndex();
  private readonly outgoing: Map<string, Outgoing[]> = new Map();
  private readonly unsure: UnsureAnswers = new UnsureAnswers();
  private readonly toTell: Map<ActiveGroup, Set<string>> = new Map();
  private untap: (() => void) | null = null;
  private callOff: () => void = () => {};
  /** Stores the dead letters of groups that are not kept. */
  private readonly volatile: KeyValueStore;
  private isOver = false;

  constructor(parts: DriversParts) {
    const { engine, node, clock, calls, find } = parts;
    this.parts = parts;
    this.volatile = new MemoryStore(() => clock.now());
    const known = (tenant: string, key: string, use: (active: ActiveGroup) => void): void => {
      const active = find(tenant, key);
      if (active !== undefined) use(active);
    };
    this.wakes = new WakeTimes(engine.store, clock, {
      onWake: (tenant, key) => known(tenant, key, (active) => this.take(active)),
      onRest: (tenant, key) => known(tenant, key, (active) => this.rest(active)),
    });
    this.leases =
      engine.presence === null
        ? null
        : new NodeLeases(engine.store, node, clock, LEASE, {
            onGained: (tenant, key) => known(tenant, key, (active) => void this.drive(active)),
            onKept: (tenant, key) => known(tenant, key, (active) => active.driver?.update(active.record)),
            onLost: (tenant, key) => known(tenant, key, (active) => void this.standDown(active)),
            onHolder: (tenant, key, holder) => known(tenant, key, (active) => this.follow(active, holder)),
            onFault: (error) => this.fault(error),
          });
    calls.serve('group.operate', (operation: Operation) => this.serve(operation));
    calls.serve('group.members', (list: MemberList, from) => this.hear(list, from));
    calls.serve('group.deliver', (items: Outgoing[]) => this.receive(items));
  }

  start(): void {
    this.leases?.start();
    this.wakes.start();
    const tick = (): void => {
      this.look();
      this.callOff = this.parts.clock.after(TELL_MS, tick);
    };
    this.callOff = this.parts.clock.after(TELL_MS, tick);
  }

  /** Loads which resting groups have something to do. */
  load(): Promise<void> {
    return this.wakes.load();
  }

  /** The groups that this node drives, and their events that are not delivered and not acknowledged. */
  get figures(): { driven: number; pending: number; unacked: number } {
    let [pending, unacked] = [0, 0];
    for (const driver of this.index) {
      pending += driver.waiting - driver.unacked;
      unacked += driver.unacked;
    }
    return { driven: this.index.size, pending, unacked };
  }

  /** Writes the state of its groups and lets other nodes, if any, drive them; members of this node stay. */
  async handOver(): Promise<void> {
    if (this.leases === null) return;
    const kept = [...this.parts.all()].filter(({ isKept }) => isKept);
    await Promise.all(kept.map((active) => this.standDown(active)));
    await this.leases.yield();
  }

  /** Writes the state of its groups, and lets other nodes take over at once. */
  async stop(): Promise<void> {
    this.isOver = true;
    this.callOff();
    this.wakes.stop();
    await Promise.all([...this.parts.all()].map((active) => this.standDown(active)));
    await this.leases?.stop();
    this.untap?.();
  }

  /** A group exists: some node must drive it, now or from its wake time on. */
  take(active: ActiveGroup): void {
    if (active.mayRest && !this.wakes.isAwake(active.tenant, active.key)) return;
    if (this.leases === null || !active.isKept) void this.drive(active);
    else this.leases.want(active.tenant, active.key);
  }

  /** A group is needed. */
  private wake(active: ActiveGroup): void {
    if (!active.mayRest || active.isGone || this.isOver) return;
    this.wakes.wake(active.tenant, active.key).catch((error: unknown) => this.fault(error));
  }

  /** As far as other nodes know, this group does not need a driver now. */
  private rest(active: ActiveGroup): void {
    if (!active.mayRest) return;
    if (active.members.size > 0 || active.questions > 0) {
      this.wake(active);
      return;
    }
    active.driverNode = null;
    void this.standDown(active);
    void this.leases?.release(active.tenant, active.key);
  }

  /** Lets a group that this node drives rest, until it is needed or its next event expires. */
  private async settleDown(active: ActiveGroup, driver: Driver): Promise<void> {
    const { tenant, key } = active;
    active.isSettlingDown = true;
    try {
      const isResting = await this.wakes.rest(tenant, key, driver.expiries?.next ?? null);
      // An event stored just before may rely on this driver, which may not have seen it.
      if (isResting && (await driver.expiries?.isBehind()) === true) this.wake(active);
    } catch (error) {
      this.fault(error);
    } finally {
      active.isSettlingDown = false;
    }
  }

  /** The group is gone, on this node or (`isOver`) everywhere. */
  async drop(active: ActiveGroup, isOver: boolean): Promise<void> {
    active.isGone = true;
    active.changed();
    await this.standDown(active);
    await this.leases?.release(active.tenant, active.key);
    if (isOver && active.mayRest) await this.wakes.forget(active.tenant, active.key);
    if (!active.isKept) await new DeadLetters(this.volatile, active.tenant, active.record.group_id).clear();
  }

  /** A member of this node joined, or changed its prefetch. */
  joined(active: ActiveGroup, member: Member): void {
    active.members.set(member.id, member);
    this.wake(active);
    if (active.driver !== null) active.driver.join(member);
    else this.tell(active, []);
  }

  left(active: ActiveGroup, id: string): void {
    active.members.delete(id);
    if (active.driver !== null) active.driver.leave(id, 'member left');
    else this.tell(active, [id]);
  }

  /**
   * Sends a request to the node that drives a group, and waits for a driver if there is none. Rejects with the driver's
   * error, or with STORAGE_UNAVAILABLE when there is no response within some seconds (beyond `waitMs`).
   *
   * @param again the arguments for a retry after an attempt with an unknown outcome, given the rest of `waitMs`;
   * undefined: no retry
   */
  async ask<N extends OperationName>(
    active: ActiveGroup,
    name: N,
    args: Operations[N]['args'],
    waitMs = 0,
    again: (leftMs: number) => Operations[N]['args'] | undefined = () => args,
  ): Promise<Operations[N]['result']> {
    const until = this.parts.clock.steady() + PATIENCE_MS + waitMs;
    active.questions += 1;
    try {
      return await this.askUntil(active, name, args, until, again);
    } finally {
      active.questions -= 1;
    }
  }

  /** Sends a member's answer to the driver as {@link ask} does; accepted but unconfirmed answers count as done. */
  async answer(active: ActiveGroup, answer: Answer): Promise<Answered> {
    const { tokens } = answer;
    const again = { ...answer, isAgain: true };
    try {
      const answered = await this.ask(active, 'answer', this.unsure.hasAny(tokens) ? again : answer, 0, () => again);
      this.unsure.settle(tokens);
      return answered;
    } catch (error) {
      this.unsure.add(tokens);
      throw error;
    }
  }

  private async askUntil<N extends OperationName>(
    active: ActiveGroup,
    name: N,
    args: Operations[N]['args'],
    until: number,
    again: (leftMs: number) => Operations[N]['args'] | undefined,
  ): Promise<Operations[N]['result']> {
    const { clock, calls } = this.parts;
    const leftMs = (): number => Math.max(0, until - PATIENCE_MS - clock.steady());
    for (let given = args; ; ) {
      this.wake(active);
      const { tenant, key, driver, driverNode } = active;
      let failed: unknown;
      try {
        if (driver !== null) return await operate(driver, name, given, false);
        if (driverNode !== null) {
          const operation: Operation<N> = { tenant, key, name, args: given };
          const waitMs = leftMs();
          const answer = calls.ask(driverNode, 'group.operate', operation, ANSWER_MS + waitMs);
          // Without a wait time, the call returns or times out within seconds.
          return (await (waitMs > 0 ? active.whileDrivenBy(driverNode, answer) : answer)) as Operations[N]['result'];
        }
      } catch (error) {
        if (!(error instanceof BusError) || error.code !== 'STORAGE_UNAVAILABLE') throw error;
        failed = error;
      }
      if (active.isGone || this.isOver || clock.steady() >= until) throw failed ?? notDriven();
      await active.untilChanged(RETRY_MS / 4);
      const next = again(leftMs());
      if (next === undefined) throw failed ?? notDriven();
      given = next;
    }
  }

  /** This node may have missed events of a room (`*`: of all rooms). */
  doubt(tenant: string | null, room: string): void {
    for (const driver of this.index) {
      const { place } = driver;
      if (tenant !== null && place.tenant !== tenant) continue;
      if (room === '*' || place.room === '*' || place.room === room) driver.doubt();
    }
  }

  // Driving on this node ----------------------------------------------------------------------------------------------

  private mayDrive({ tenant, key, isKept, isGone }: ActiveGroup): boolean {
    if (this.isOver || isGone) return false;
    return this.leases === null || !isKept || this.leases.holds(tenant, key);
  }

  private async drive(active: ActiveGroup): Promise<void> {
    if (active.driver !== null || active.isStarting || !this.mayDrive(active)) return;
    active.isStarting = true;
    active.driverNode = null;
    const { tenant, place } = active;
    const { engine, interest, ...parts } = this.parts;
    const driver = new Driver(tenant, active.record, active.isKept, {
      ...parts,
      broker: engine.broker,
      store: active.isKept ? engine.store : this.volatile,
      isHeld: () => this.mayDrive(active),
      onConflict: () => void this.startAgain(active),
      onFault: (error) => this.fault(error),
    });
    try {
      await interest.add(tenant, place.room);
      this.index.add(driver);
      this.untap ??= this.parts.hub.tap((event) => this.index.take(event), { mail: true });
      await driver.start();
    } catch (error) {
      this.fault(error);
      await this.release(driver);
      active.isStarting = false;
      this.parts.clock.after(RETRY_MS, () => void this.drive(active));
      return;
    }
    active.isStarting = false;
    if (!this.mayDrive(active)) {
      await this.release(driver);
      return;
    }
    active.driver = driver;
    driver.update(active.record);
    for (const member of active.members.values()) driver.join(member);
    active.changed();
  }

  private async standDown(active: ActiveGroup): Promise<void> {
    const { driver } = active;
    if (driver === null) return;
    active.driver = null;
    active.heardOf.clear();
    active.changed();
    await this.release(driver);
  }

  /** Another node has written the group's record: the holder of the lease restarts from there. */
  private async startAgain(active: ActiveGroup): Promise<void> {
    await this.standDown(active);
    await this.drive(active);
  }

  private async release(driver: Driver): Promise<void> {
    const { tenant, room } = driver.place;
    this.index.remove(driver);
    this.parts.interest.remove(tenant, room);
    await driver.stop();
  }

  // Between nodes -----------------------------------------------------------------------------------------------------

  private follow(active: ActiveGroup, holder: string | null): void {
    active.driverNode = holder;
    active.changed();
    if (holder !== null && active.members.size > 0) this.tell(active, []);
  }

  private serve({ tenant, key, name, args }: Operation): Promise<unknown> {
    const driver = this.parts.find(tenant, key)?.driver ?? null;
    if (driver === null) throw notDriven();
    return operate(driver, name, args, true);
  }

  /** Reports this node's members of a group to its driver; changes of one turn are reported together. */
  private tell(active: ActiveGroup, left: readonly string[]): void {
    if (this.leases === null || active.record.isInternal === true) return;
    if (this.toTell.size === 0) setImmediate(() => this.tellAll());
    const all = this.toTell.get(active) ?? new Set<string>();
    for (const id of left) all.add(id);
    this.toTell.set(active, all);
  }

  private tellAll(): void {
    const groups = [...this.toTell];
    this.toTell.clear();
    for (const [active, left] of groups) {
      const { tenant, key, driverNode } = active;
      if (driverNode === null || active.driver !== null) continue;
      const members = [...active.members.values()].map(({ id, subject, prefetch }) => ({ id, subject, prefetch }));
      const list: MemberList = { tenant, key, members, left: [...left] };
      // A failed report is repeated in a few seconds.
      this.parts.calls.ask(driverNode, 'group.members', list, ANSWER_MS).catch(() => {});
    }
  }

  private hear({ tenant, key, members, left }: MemberList, from: string): null {
    const active = this.parts.find(tenant, key);
    const driver = active?.driver ?? null;
    if (active === undefined || driver === null) throw notDriven();
    active.heardOf.set(from, this.parts.clock.steady());
    for (const id of left) driver.leave(id, 'member left');
    const listed = new Set(members.map(({ id }) => id));
    for (const { id, node } of driver.members.all) {
      if (node === from && !listed.has(id)) driver.leave(id, 'member left');
    }
    for (const { id, subject, prefetch } of members) {
      if (driver.members.find(id)?.prefetch === prefetch) continue;
      driver.join({ id, node: from, subject, prefetch, send: (text) => this.send(from, [tenant, key, id, text]) });
    }
    return null;
  }

  /** Queues an envelope for another node's member: one message per turn and node. */
  private send(node: string, item: Outgoing): void {
    const waiting = this.outgoing.get(node);
    if (waiting !== undefined) {
      waiting.push(item);
      return;
    }
    this.outgoing.set(node, [item]);
    setImmediate(() => {
      const items = this.outgoing.get(node) ?? [];
      this.outgoing.delete(node);
      for (const batch of inBatches(items)) this.deliver(node, batch);
    });
  }

  private deliver(node: string, items: readonly Outgoing[]): void {
    const returned = (answer: unknown): void => {
      for (const at of answer as number[]) {
        const [tenant, key, member] = items[at] as Outgoing;
        this.parts.find(tenant, key)?.driver?.leave(member, 'member left');
      }
    };
    // Without a response the leases expire, or end with the node.
    this.parts.calls.ask(node, 'group.deliver', items, ANSWER_MS).then(returned, () => {});
  }

  /** Returns the items whose member is not here. */
  private receive(items: readonly Outgoing[]): number[] {
    const missing: number[] = [];
    for (const [at, [tenant, key, id, text]] of items.entries()) {
      const member = this.parts.find(tenant, key)?.members.get(id);
      if (member === undefined) missing.push(at);
      else member.send(text);
    }
    return missing;
  }

  /** Reports this node's members to the drivers, and detects nodes that stopped reporting. */
  private look(): void {
    const now = this.parts.clock.steady();
    for (const active of this.parts.all()) {
      const { driver } = active;
      if (driver === null) {
        if (active.members.size > 0) this.tell(active, []);
        continue;
      }
      // Repeated in case the store was unavailable.
      if (driver.members.size > 0) this.wake(active);
      else if (active.mayRest && !active.isSettlingDown && driver.isIdle(LINGER_MS))
        void this.settleDown(active, driver);
      for (const [node, heard] of active.heardOf) {
        if (now - heard < SILENT_MS) continue;
        active.heardOf.delete(node);
        for (const member of driver.members.all) {
          if (member.node === node) driver.leave(member.id, 'member lost');
        }
      }
    }
  }

  private fault(error: unknown): void {
    // A storage outage is already reported elsewhere.
    if (!(error instanceof BusError && error.code === 'STORAGE_UNAVAILABLE')) this.parts.onFault(error);
  }
}

function* inBatches(items: readonly Outgoing[]): Generator<Outgoing[]> {
  let batch: Outgoing[] = [];
  let length = 0;
  for (const item of items) {
    if (batch.length > 0 && length + item[3].length > BATCH_LENGTH) {
      yield batch;
      batch = [];
      length = 0;
    }
    batch.push(item);
    length += item[3].length;
  }
  yield batch;
}
