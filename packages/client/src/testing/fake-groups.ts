import {
  BusError,
  compilePattern,
  type Envelope,
  isChannelPattern,
  type JsonObject,
  WILDCARD,
} from '@arqonbus/protocol';
import type { FakeConnection } from './fake-connection.ts';

interface Entry {
  readonly envelope: Envelope;
  attempt: number;
}

interface Member {
  readonly connection: FakeConnection;
  readonly prefetch: number;
}

interface Out extends Member {
  readonly entry: Entry;
}

/** Called with the outcome of a delivered message. */
export type Settled = (envelope: Envelope, stage: 'handled' | 'rejected', attempts: number) => void;

/** One group: its waiting messages, and those delivered to members. */
class FakeGroup {
  readonly room: string;
  readonly channel: string;
  readonly name: string;
  readonly members: Member[] = [];
  readonly out = new Map<string, Out>();
  readonly waiting: Entry[] = [];
  readonly #covers: (channel: string) => boolean;
  #tokens = 0;

  constructor(room: string, channel: string, name: string) {
    this.room = room;
    this.channel = channel;
    this.name = name;
    this.#covers = isChannelPattern(channel)
      ? compilePattern(channel)
      : (one) => channel === WILDCARD || one === channel;
  }

  covers({ room, channel = WILDCARD }: Envelope): boolean {
    return room === this.room && this.#covers(channel);
  }

  /** Delivers waiting messages to the least busy members with room. */
  pump(): void {
    while (this.waiting.length > 0) {
      const load = (member: Member): number =>
        [...this.out.values()].filter(({ connection }) => connection === member.connection).length;
      const [idlest] = this.members
        .filter((member) => load(member) < member.prefetch)
        .sort((one, other) => load(one) - load(other));
      if (idlest === undefined) return;
      const entry = this.waiting.shift() as Entry;
      this.#tokens += 1;
      const token = `${this.room}:${this.channel}/${this.name}.${this.#tokens}`;
      this.out.set(token, { ...idlest, entry });
      const { envelope, attempt } = entry;
      const delivery = { group: this.name, attempt, token, deadline: '2100-01-01T00:00:00.000Z' };
      idlest.connection.send({ ...envelope, metadata: { ...envelope.metadata, delivery } as JsonObject });
    }
  }

  /** Removes a message from its member; undefined if no member has it. */
  takeBack(token: string): Entry | undefined {
    const entry = this.out.get(token)?.entry;
    this.out.delete(token);
    return entry;
  }

  leave(connection: FakeConnection): boolean {
    const at = this.members.findIndex((member) => member.connection === connection);
    if (at < 0) return false;
    this.members.splice(at, 1);
    for (const [token, out] of this.out) {
      if (out.connection === connection) this.handOutAgain(token);
    }
    this.pump();
    return true;
  }

  handOutAgain(token: string): boolean {
    const entry = this.takeBack(token);
    if (entry === undefined) return false;
    entry.attempt += 1;
    this.waiting.unshift(entry);
    return true;
  }
}

/** The groups of a fake server; to their members they behave like those of the real server. */
export class FakeGroups {
  readonly #groups = new Map<string, FakeGroup>();
  readonly #settled: Settled;

  constructor(settled: Settled) {
    this.#settled = settled;
  }

  join(connection: FakeConnection, args: JsonObject): JsonObject {
    const group = this.#groupOf(args);
    const { prefetch = 16 } = args as { prefetch?: number };
    group.leave(connection);
    group.members.push({ connection, prefetch });
    queueMicrotask(() => group.pump());
    const { room, channel, name } = group;
    return { room, channel, group: name, sequence: 0, epoch: '', members: group.members.length };
  }

  leave(connection: FakeConnection, args: JsonObject): JsonObject {
    return { left: this.#groupOf(args).leave(connection) };
  }

  /** A connection has closed: its messages go to other members. */
  gone(connection: FakeConnection): void {
    for (const group of this.#groups.values()) group.leave(connection);
  }

  offer(envelope: Envelope): void {
    for (const group of this.#groups.values()) {
      if (!group.covers(envelope)) continue;
      group.waiting.push({ envelope, attempt: 1 });
      group.pump();
    }
  }

  /** The number of members of the groups with this name that cover an envelope. */
  live(envelope: Envelope, name: string): number {
    const meant = [...this.#groups.values()].filter((group) => group.name === name && group.covers(envelope));
    return meant.reduce((sum, { members }) => sum + members.length, 0);
  }

  /** delivery.ack, .nack, .extend, .reject. */
  settle(verb: string, { tokens }: JsonObject): JsonObject {
    const done: string[] = [];
    const lost: string[] = [];
    for (const token of tokens as string[]) (this.#settleOne(verb, token) ? done : lost).push(token);
    if (done.length === 0) throw new BusError('LEASE_LOST', 'None of these is held any more.', { lost });
    return { done, lost };
  }

  #settleOne(verb: string, token: string): boolean {
    const group = this.#groups.get(token.slice(0, token.lastIndexOf('.')));
    if (group === undefined || !group.out.has(token)) return false;
    if (verb === 'extend') return true;
    if (verb === 'nack') group.handOutAgain(token);
    else {
      const entry = group.takeBack(token);
      if (entry !== undefined) this.#settled(entry.envelope, verb === 'ack' ? 'handled' : 'rejected', entry.attempt);
    }
    queueMicrotask(() => group.pump());
    return true;
  }

  #groupOf({ room, channel, group }: JsonObject): FakeGroup {
    const key = `${room}:${channel}/${group}`;
    const found = this.#groups.get(key) ?? new FakeGroup(String(room), String(channel), String(group));
    this.#groups.set(key, found);
    return found;
  }
}
