import { createHash } from 'node:crypto';
import { BusError, openDraft, SERVER } from '@arqonbus/protocol';
import type { Clock } from '../../clock.ts';
import type { Broker, StreamAddress } from '../../engine/engine.ts';
import {
  addressOf,
  type Followed,
  type Following,
  type Movement,
  type MovementListener,
} from '../../subscribe/attendance.ts';
import type { RosterMember } from '../../subscribe/roster.ts';
import { type Fact, type Facts, factKey, factOf } from './facts.ts';
import {
  LIFECYCLE_RETENTION,
  type LifecycleEvent,
  lifecycleOf,
  lifecycleStream,
  type Told,
  told,
} from './lifecycle.ts';

/** Maximum steps that wait; further ones are lost and counted. */
const MAX_STEPS = 10_000;
/** Steps removed from the queue together. */
const STEPS_AT_ONCE = 256;
const RETRY_MS = 1_000;

export interface TellerParts {
  readonly follow: (followed: Followed, listener: MovementListener) => Promise<Following>;
  readonly broker: Pick<Broker, 'publish' | 'drop'>;
  /** What was reported before; null for a rule that ends with this node. */
  readonly facts: Facts | null;
  readonly clock: Clock;
  /** How long a member reported as present may be absent before it counts as gone, in milliseconds. */
  readonly graceMs: number;
  readonly onLost: (count: number) => void;
  readonly onFault: (error: unknown) => void;
}

/** The scope of a teller. */
export interface Assignment extends Followed {
  readonly ruleId: string;
  readonly events: ReadonlySet<LifecycleEvent>;
  /** Members that joined before this, in milliseconds since 1970, count as reported. */
  readonly since: number;
}

/** One step: report an event, and record that it was reported. */
interface Step {
  readonly tell?: Told;
  readonly put?: readonly [key: string, fact: Fact];
  readonly remove?: string;
}

/**
 * Writes the lifecycle events of a place into the stream of one rule, on the one node that drives this stream, so that
 * each event is reported once. A node that takes over compares what was reported with the members present.
 */
export class Teller {
  private readonly what: Assignment;
  private readonly parts: TellerParts;
  private readonly stream: StreamAddress;
  private readonly tellsClients: boolean;
  private readonly tellsPlaces: boolean;
  /** Counts starts and stops; work of an earlier run is discarded. */
  private run = 0;
  private following: Following | null = null;
  /** Whether the earlier reports have been loaded. */
  private isReady = false;
  private early: Movement[] = [];
  private steps: Step[] = [];
  private isWriting = false;
  private lost = 0;
  /** Members and occupied channels that were reported and are absent; they may return soon. */
  private readonly missing: Map<string, Fact> = new Map();
  /** The keys of those members, by place and identity. */
  private readonly missingAs: Map<string, string[]> = new Map();
  /** The reported client id of members that returned by another connection; they leave under that id. */
  private readonly aliases: Map<string, string> = new Map();
  private readonly callOffs: Set<() => void> = new Set();
  private writing: Promise<void> = Promise.resolve();
  private ready: () => void = () => {};
  /** Resolves when it has started for the first time. */
  readonly begun: Promise<void> = new Promise((resolve) => {
    this.ready = resolve;
  });

  constructor(what: Assignment, parts: TellerParts) {
    this.what = what;
    this.parts = parts;
    this.stream = lifecycleStream(what.tenant, what.ruleId);
    this.tellsClients = what.events.has('client_joined') || what.events.has('client_left');
    this.tellsPlaces = what.events.has('occupied') || what.events.has('vacated');
  }

  /** Starts reporting on this node. */
  start(): void {
    this.stop();
    const { run } = this;
    this.begin(run).catch((error: unknown) => {
      if (run !== this.run) return;
      this.fault(error);
      this.stop();
      this.after(RETRY_MS, () => this.start());
    });
  }

  /** Stops reporting. The next start detects what was not reported. */
  stop(): void {
    this.run += 1;
    this.following?.stop();
    this.following = null;
    this.isReady = false;
    this.early = [];
    this.steps = [];
    this.missing.clear();
    this.missingAs.clear();
    this.aliases.clear();
    for (const callOff of this.callOffs) callOff();
    this.callOffs.clear();
  }

  /** The rule was removed: deletes its data. */
  async forget(): Promise<void> {
    this.stop();
    await this.writing;
    await this.parts.broker.drop(this.stream);
    await this.parts.facts?.clear();
  }

  private async begin(run: number): Promise<void> {
    const { tenant, room, channel } = this.what;
    const followed = { tenant, room, channel };
    const following = await this.parts.follow(followed, (movements) => run === this.run && this.take(movements));
    if (run !== this.run) {
      following.stop();
      return;
    }
    this.following = following;
    // A step of an earlier start may still be running.
    await this.writing;
    const told = (await this.parts.facts?.load()) ?? new Map<string, Fact>();
    if (run !== this.run) return;
    this.isReady = true;
    this.compare(following.members, told);
    for (const movement of this.early.splice(0)) this.note(movement);
    this.ready();
    this.write();
  }

  private take(movements: readonly Movement[]): void {
    if (!this.isReady) {
      for (const movement of movements) {
        if (this.early.length < MAX_STEPS) this.early.push(movement);
        else this.lost += 1;
      }
      return;
    }
    for (const movement of movements) this.note(movement);
    this.write();
  }

  // Detecting events --------------------------------------------------------------------------------------------------

  /** Catches up on a time without reports: first unreported members, then reported ones that are absent. */
  private compare(members: readonly RosterMember[], known: Map<string, Fact>): void {
    const present = new Set<string>();
    for (const { channel: address, record } of members) {
      present.add(factKey(address, record.client_id));
      present.add(factKey(address));
    }
    for (const [key, fact] of known) {
      if (!present.has(key)) this.miss(key, fact);
      else if (![null, fact.client_id].includes(factOf(key).clientId)) this.aliases.set(key, fact.client_id);
    }
    const seen = new Set<string>();
    for (const member of members) {
      const isFirst = !seen.has(member.channel);
      seen.add(member.channel);
      const movement = { kind: 'joined', ...partsOf(member.channel), member, isFirst } as const;
      const isOld = Date.parse(member.record.joined_at) < this.what.since;
      this.noteJoin(movement, isOld, (key) => !known.has(key));
    }
    if (this.missing.size > 0) this.after(this.parts.graceMs, () => this.giveUpMissing());
  }

  private note(movement: Movement): void {
    if (this.steps.length >= MAX_STEPS) {
      this.lost += 1;
      return;
    }
    const address = addressOf(movement.room, movement.channel);
    if (movement.kind === 'joined') this.noteJoin(movement, false);
    else if (movement.kind === 'renamed') {
      if (!this.tellsClients) return;
      const { member, previous } = movement;
      this.rename(factKey(address, previous), member);
    } else {
      const key = factKey(address, movement.departure.client_id);
      const client_id = this.aliases.get(key) ?? movement.departure.client_id;
      this.aliases.delete(key);
      const departure = { ...movement.departure, client_id };
      for (const one of lifecycleOf(this.what.ruleId, { ...movement, departure })) {
        if (one.event === 'vacated' && this.tellsPlaces) this.push(one, { remove: factKey(address) });
        if (one.event === 'client_left' && this.tellsClients) this.push(one, { remove: key });
      }
    }
  }

  private noteJoin(
    movement: Extract<Movement, { kind: 'joined' }>,
    isOld: boolean,
    untold: (key: string) => boolean = () => true,
  ): void {
    const { member } = movement;
    const { channel: address, record } = member;
    const who = { client_id: record.client_id, joined_at: record.joined_at };
    for (const one of lifecycleOf(this.what.ruleId, movement)) {
      if (one.event === 'occupied' && this.tellsPlaces) {
        const key = factKey(address);
        // It was occupied when the last teller ended, and is again.
        if (this.missing.delete(key) || !untold(key)) continue;
        this.push(isOld ? null : one, { put: [key, who] });
      }
      if (one.event === 'client_joined' && this.tellsClients) {
        const key = factKey(address, record.client_id);
        if (!untold(key)) continue;
        const before = this.missingAs.get(`${address} ${identityOf(member)}`)?.pop();
        if (before !== undefined) this.rename(before, member);
        else this.push(isOld ? null : one, { put: [key, factFor(member)] });
      }
    }
  }

  /** The same client is present by another connection. */
  private rename(before: string, member: RosterMember): void {
    const client_id = this.aliases.get(before) ?? this.missing.get(before)?.client_id ?? factOf(before).clientId;
    const key = factKey(member.channel, member.record.client_id);
    this.missing.delete(before);
    this.aliases.delete(before);
    if (client_id === null) return;
    this.aliases.set(key, client_id);
    this.push(null, { put: [key, { ...factFor(member), client_id }] });
    this.push(null, { remove: before });
  }

  private miss(key: string, fact: Fact): void {
    this.missing.set(key, fact);
    const { address, clientId } = factOf(key);
    if (clientId === null) return;
    const who = `${address} ${fact.identity}`;
    const same = this.missingAs.get(who);
    if (same === undefined) this.missingAs.set(who, [key]);
    else same.push(key);
  }

  private giveUpMissing(): void {
    const { ruleId } = this.what;
    const left = [...this.missing];
    this.missing.clear();
    this.missingAs.clear();
    for (const [key, fact] of left) {
      const { address, clientId } = factOf(key);
      if (clientId === null || !this.tellsClients) continue;
      const { client_id, joined_at, sender } = fact;
      const facts = { client_id, ...(sender === undefined ? {} : { sender }), joined_at, cause: 'lost' };
      this.push(told(ruleId, 'client_left', partsOf(address), fact, facts), { remove: key });
    }
    for (const [key, fact] of left) {
      if (factOf(key).clientId === null && this.tellsPlaces) {
        this.push(told(ruleId, 'vacated', partsOf(key), fact), { remove: key });
      }
    }
    this.write();
  }

  private push(one: Told | null, step: Step): void {
    const tell = one !== null && this.what.events.has(one.event) ? { tell: one } : {};
    if (this.parts.facts !== null) this.steps.push({ ...tell, ...step });
    else if (tell.tell !== undefined) this.steps.push(tell);
  }

  // Reporting ---------------------------------------------------------------------------------------------------------

  private write(): void {
    if (this.isWriting || this.steps.length === 0) return;
    this.isWriting = true;
    const { run } = this;
    this.writing = this.writeAll(run).finally(() => {
      this.isWriting = false;
      const { lost } = this;
      this.lost = 0;
      if (lost > 0) this.parts.onLost(lost);
      // What was reported is stored, so a comparison recovers the rest.
      if (lost > 0 && run === this.run && this.parts.facts !== null) this.start();
      else this.write();
    });
  }

  private async writeAll(run: number): Promise<void> {
    const { steps } = this;
    let done = 0;
    const settle = (): void => {
      steps.splice(0, done);
      done = 0;
    };
    while (run === this.run && done < steps.length) {
      try {
        await this.carryOut(steps[done] as Step);
        done += 1;
        if (done === STEPS_AT_ONCE) settle();
      } catch (error) {
        this.fault(error);
        settle();
        await this.pause();
      }
    }
    settle();
  }

  /** Runs a step. Repeating it is harmless: its event has the same id. */
  private async carryOut({ tell, put, remove }: Step): Promise<void> {
    const { broker, facts, clock } = this.parts;
    if (tell !== undefined) {
      const { id, room, channel, payload } = tell;
      const draft = openDraft({ id, type: 'system', room, channel, from: SERVER, payload }, clock.now());
      const identity = `webhook ${this.what.ruleId}`;
      const { stored } = await broker.publish({ stream: this.stream, draft, identity, retention: LIFECYCLE_RETENTION });
      if (stored === 'none') throw new BusError('STORAGE_UNAVAILABLE', 'The storage is away.');
    }
    if (put !== undefined) await facts?.put(...put);
    if (remove !== undefined) await facts?.remove(remove);
  }

  private pause(): Promise<void> {
    return new Promise((resolve) => {
      const callOff = this.parts.clock.after(RETRY_MS, () => {
        this.callOffs.delete(end);
        resolve();
      });
      // A stop ends the wait too.
      const end = (): void => {
        callOff();
        resolve();
      };
      this.callOffs.add(end);
    });
  }

  private after(ms: number, act: () => void): void {
    const callOff = this.parts.clock.after(ms, () => {
      this.callOffs.delete(callOff);
      act();
    });
    this.callOffs.add(callOff);
  }

  private fault(error: unknown): void {
    // A storage outage is already reported elsewhere.
    if (!(error instanceof BusError && error.code === 'STORAGE_UNAVAILABLE')) this.parts.onFault(error);
  }
}

function partsOf(address: string): { room: string; channel: string } {
  const colon = address.indexOf(':');
  return { room: address.slice(0, colon), channel: address.slice(colon + 1) };
}

function factFor(member: RosterMember): Fact {
  const { client_id, joined_at, sender } = member.record;
  return { client_id, joined_at, sender, identity: identityOf(member) };
}

function identityOf({ identity }: RosterMember): string {
  return createHash('sha256').update(identity).digest('base64url').slice(0, 22);
}
