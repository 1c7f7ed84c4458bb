import {
  type Address,
  compilePattern,
  type Envelope,
  formatAddress,
  isChannelPattern,
  type JoinedNotice,
  type Position,
  WILDCARD,
} from '@arqonbus/protocol';
import { type AddressInput, readSource } from './address.ts';
import { type ArqonBusError, closedError } from './errors.ts';
import { type Consumer, type JoinOptions, Membership, type MembershipHost } from './membership.ts';
import type { Message } from './message.ts';
import { requirePositive, type Settings } from './options.ts';
import type { WaitOptions } from './pending.ts';
import { type PresenceOptions, PresenceSet } from './presence.ts';
import type { Ask } from './queue.ts';
import { Restoring } from './restoring.ts';
import { type SubscribeOptions, Subscription } from './subscription.ts';

/** All subscriptions of a client: routes events to them, and restores them after a lost connection. */
export class Subscriptions {
  readonly #settings: Settings;
  readonly #ask: Ask;
  readonly #host: MembershipHost;
  readonly #report: (error: unknown) => void;
  /** By `room:channel`; room subscriptions by `room:*`. */
  readonly #byName = new Map<string, Set<Membership>>();
  /** Compiled channel patterns of these subscriptions. */
  readonly #patterns = new Map<string, (channel: string) => boolean>();
  readonly #restoring: Restoring;
  #isUp = false;
  #isDraining = false;

  constructor(settings: Settings, ask: Ask, isOwn: (from: string) => boolean, report: (error: unknown) => void) {
    this.#settings = settings;
    this.#ask = ask;
    this.#report = report;
    this.#restoring = new Restoring(settings);
    this.#host = {
      isOwn,
      rejoin: (membership) => {
        if (this.#isUp) void this.#restore(membership);
      },
      leave: (membership) => this.#leave(membership),
    };
  }

  /** Joins and resolves once the server has answered. Rejects with its refusal, and with `INVALID_ARGUMENT`. */
  async subscribe<P>(at: AddressInput, options: SubscribeOptions<P>): Promise<Subscription<P>> {
    const { bufferSize = this.#settings.bufferSize } = options;
    requirePositive({ bufferSize });
    if (this.#isDraining) throw closedError();
    const membership = new Membership(readSource(at), options, this.#host);
    const subscription = new Subscription<P>(membership, options, bufferSize, this.#settings.clock, this.#report);
    await this.#begin(membership, options, (ended) => subscription.on('close', ended));
    return subscription;
  }

  /** Joins for presence only. Rejects like {@link Subscriptions.subscribe}. */
  async watch(at: AddressInput, options: PresenceOptions): Promise<PresenceSet> {
    if (this.#isDraining) throw closedError();
    const presence = 'state' in options ? { state: options.state } : true;
    const membership = new Membership(readSource(at), { presence }, this.#host, true);
    const set = new PresenceSet(membership, options, this.#ask, this.#report);
    await this.#begin(membership, options, (ended) => set.on('close', ended));
    return set;
  }

  /** Joins, and ends the membership if that fails or the caller's signal is aborted. */
  async #begin(membership: Membership, wait: WaitOptions, onEnd: (ended: () => void) => void): Promise<void> {
    const { signal } = wait;
    const giveUp = (reason: unknown): void => {
      membership.end(reason);
      void this.#leave(membership);
    };
    this.#add(membership);
    try {
      await this.#join(membership, false, wait);
      if (membership.isUnplaced) void this.#restore(membership);
    } catch (error) {
      giveUp(error);
      throw error;
    }
    const abort = (): void => giveUp(signal?.reason);
    onEnd(() => signal?.removeEventListener('abort', abort));
    if (signal?.aborted === true) abort();
    else signal?.addEventListener('abort', abort);
  }

  /**
   * The server has joined this client: the membership is kept as if the client had joined, with a position to resume
   * from on the next connection. Its messages arrive as client events.
   */
  adopt({ room, channel, sequence, epoch, positions }: JoinedNotice): void {
    const membership = new Membership({ room, channel }, {}, this.#host);
    if (this.#isDraining || this.#byName.has(membership.name)) return;
    membership.attach(NOBODY);
    this.#add(membership);
    membership.joined({ room, channel, sequence, epoch, members: 1, ...(positions && { positions }) }, {}, false);
  }

  /** Ends all subscriptions at an address, without leaving it yet; returns the address. */
  end(at: AddressInput): Address {
    const place = readSource(at);
    for (const subscription of this.#at(formatAddress(place))) this.#drop(subscription, undefined);
    return place;
  }

  /** Passes an event to every subscription that covers it. */
  route(message: Message): void {
    for (const membership of this.#covering(message)) membership.receive(message);
  }

  /** A `system` envelope about a channel. */
  notice(envelope: Envelope): void {
    for (const membership of this.#covering(envelope)) membership.notice(envelope);
  }

  /** The ack of an own message. */
  own(position: Position): void {
    for (const membership of this.#all()) membership.own(position);
  }

  /** A new connection: rejoins everything from its position. Resolves when every join was answered once. */
  async resume(): Promise<void> {
    this.#isUp = true;
    // Memberships without an answer to their first join are not included: that join waits in the queue.
    const known = this.#all().filter((membership) => membership.result !== undefined);
    await Promise.all(known.map((membership) => this.#restore(membership)));
  }

  lost(): void {
    this.#isUp = false;
    this.#restoring.lost();
    for (const membership of this.#all()) membership.suspend();
  }

  /** Leaves everything; resolves when consumers have processed what had arrived. Further subscriptions are refused. */
  async drain(): Promise<void> {
    this.#isDraining = true;
    const all = this.#all();
    const places = new Map(this.#isUp ? all.map(({ name, address }) => [name, address]) : []);
    // On failure the membership is gone anyway.
    const leave = ({ room, channel }: Address): Promise<unknown> =>
      this.#ask('leave_channel', { room, channel }).catch(() => {});
    await Promise.all([...places.values()].map(leave));
    for (const membership of all) this.#drop(membership, undefined);
    await Promise.all(all.map((membership) => membership.drained()));
  }

  /** The server ended memberships that a renewed token no longer allows. */
  evict(names: readonly string[], error: ArqonBusError): void {
    for (const name of names) for (const membership of this.#at(name)) this.#drop(membership, error);
  }

  /** The client is closed: without an error, iterations simply end. */
  finish(error?: unknown): void {
    this.lost();
    for (const membership of this.#all()) this.#drop(membership, error);
  }

  async #join(membership: Membership, restoring: boolean, wait: WaitOptions, isAgain = false): Promise<void> {
    membership.joining();
    const { address, name } = membership;
    const asked = membership.joinArgs();
    // The server has one membership per address, shared by all subscriptions there.
    const sharing = this.#at(name).map(({ options }) => options);
    const echo = sharing.some((options) => options.echo === true);
    const presence = presenceOf(sharing);
    const { signal, timeoutMs } = wait;
    let isOwed = false;
    await this.#ask(
      'join_channel',
      { ...address, echo, presence, ...(membership.options.strict === true && { strict: true }), ...asked },
      {
        ...{ signal, timeoutMs, restoring },
        onAnswer: (result) => {
          isOwed = membership.joined(result, asked, isAgain);
          // Left before the server had answered the join.
          if (membership.closed) void this.#leave(membership);
        },
      },
    );
    if (isOwed) await this.#join(membership, restoring, wait, true);
  }

  #restore(membership: Membership): Promise<void> {
    return this.#restoring.restore({
      key: membership,
      join: () => this.#join(membership, true, {}),
      isUnplaced: () => membership.isUnplaced,
      isOver: () => membership.closed,
      refused: (error) => this.#drop(membership, error),
    });
  }

  async #leave(membership: Membership): Promise<void> {
    const { room, channel } = membership.address;
    this.#remove(membership);
    if (this.#byName.has(membership.name) || !this.#isUp) return;
    // On failure the membership is gone already, or ends with the connection.
    await this.#ask('leave_channel', { room, channel }).catch(() => {});
  }

  #drop(membership: Membership, error: unknown): void {
    this.#remove(membership);
    membership.end(error);
  }

  /** The memberships that receive an event; a room-wide event reaches all members of the room. */
  #covering({ room, channel }: { room?: string | undefined; channel?: string | undefined }): Membership[] {
    if (channel !== WILDCARD) {
      const exact = [`${room}:${channel}`, `${room}:*`, '*:*'].flatMap((name) => this.#at(name));
      if (this.#patterns.size === 0 || channel === undefined) return exact;
      const matching = [...this.#patterns].filter(([name, matches]) => {
        return name.startsWith(`${room}:`) && (name === `${room}:${channel}` ? false : matches(channel));
      });
      return [...exact, ...matching.flatMap(([name]) => this.#at(name))];
    }
    return this.#all().filter(({ address }) => address.room === room || address.room === WILDCARD);
  }

  #at(name: string): Membership[] {
    return [...(this.#byName.get(name) ?? [])];
  }

  #all(): Membership[] {
    return [...this.#byName.keys()].flatMap((name) => this.#at(name));
  }

  #add(membership: Membership): void {
    const { name, address } = membership;
    this.#byName.set(name, new Set([...this.#at(name), membership]));
    if (isChannelPattern(address.channel)) this.#patterns.set(name, compilePattern(address.channel));
  }

  #remove(membership: Membership): void {
    const { name } = membership;
    const group = this.#byName.get(name);
    if (group?.delete(membership) !== true || group.size > 0) return;
    this.#byName.delete(name);
    this.#patterns.delete(name);
  }
}

/** The consumer of memberships made by the server: only the client's listeners get their messages. */
const NOBODY: Consumer = {
  deliver: () => {},
  missed: () => {},
  reset: () => {},
  notice: () => {},
  end: () => {},
  drained: async () => {},
};

/** The combined presence option of all memberships at an address; the last state wins. */
function presenceOf(sharing: readonly JoinOptions[]): boolean | { state?: unknown } {
  const shown = sharing.findLast(({ presence }) => typeof presence === 'object')?.presence;
  return shown ?? sharing.some(({ presence }) => presence === true);
}
