import { type Address, type Envelope, formatAddress, type Position, WILDCARD } from '@arqonbus/protocol';
import { type AddressInput, readPlace } from './address.ts';
import { fullJitter } from './clock.ts';
import { ArqonBusError, ConnectionError, closedError } from './errors.ts';
import { Membership, type MembershipHost } from './membership.ts';
import type { Message } from './message.ts';
import { requirePositive, type Settings } from './options.ts';
import type { WaitOptions } from './pending.ts';
import type { Ask } from './queue.ts';
import { type SubscribeOptions, Subscription } from './subscription.ts';

/** All subscriptions of a client: who gets which event, and how they survive a lost connection. */
export class Subscriptions {
  readonly #settings: Settings;
  readonly #ask: Ask;
  readonly #host: MembershipHost;
  readonly #report: (error: unknown) => void;
  /** By `room:channel`; room subscriptions by `room:*`. */
  readonly #byName = new Map<string, Set<Membership>>();
  readonly #retries = new Set<unknown>();
  /** Counts the lines that were lost: what an older one was to restore is of no interest. */
  #losses = 0;
  #isUp = false;
  #isDraining = false;

  constructor(settings: Settings, ask: Ask, isOwn: (from: string) => boolean, report: (error: unknown) => void) {
    this.#settings = settings;
    this.#ask = ask;
    this.#report = report;
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
    const { bufferSize = this.#settings.bufferSize, signal } = options;
    requirePositive({ bufferSize });
    if (this.#isDraining) throw closedError();
    const membership = new Membership(readPlace(at), options, this.#host);
    const subscription = new Subscription<P>(membership, options, bufferSize, this.#settings.clock, this.#report);
    const giveUp = (reason: unknown): void => {
      membership.end(reason);
      void this.#leave(membership);
    };
    this.#byName.set(membership.name, new Set([...this.#at(membership.name), membership]));
    try {
      await this.#join(membership, false, options);
    } catch (error) {
      giveUp(error);
      throw error;
    }
    const abort = (): void => giveUp(signal?.reason);
    subscription.on('close', () => signal?.removeEventListener('abort', abort));
    if (signal?.aborted === true) abort();
    else signal?.addEventListener('abort', abort);
    return subscription;
  }

  /** Ends all subscriptions at an address, without leaving it yet; answers the address. */
  end(at: AddressInput): Address {
    const place = readPlace(at);
    for (const subscription of this.#at(formatAddress(place))) this.#drop(subscription, undefined);
    return place;
  }

  /** Hands an event to every subscription that covers it. */
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

  /** A new connection: joins everything again, from where each stands. Resolves when all were answered once. */
  async resume(): Promise<void> {
    this.#isUp = true;
    // One whose first join is still to be answered is not here: that join waits in the queue.
    const known = this.#all().filter((membership) => membership.result !== undefined);
    await Promise.all(known.map((membership) => this.#restore(membership)));
  }

  lost(): void {
    this.#isUp = false;
    this.#losses += 1;
    for (const timer of this.#retries) this.#settings.clock.clearTimeout(timer);
    this.#retries.clear();
    for (const membership of this.#all()) membership.suspend();
  }

  /** Leaves everything; resolves when consumers are done with what came up to then. No more can be subscribed to. */
  async drain(): Promise<void> {
    this.#isDraining = true;
    const all = this.#all();
    const places = new Map(this.#isUp ? all.map(({ name, address }) => [name, address]) : []);
    // Refused or lost, the membership is gone all the same.
    const leave = ({ room, channel }: Address): Promise<unknown> =>
      this.#ask('leave_channel', { room, channel }).catch(() => {});
    await Promise.all([...places.values()].map(leave));
    for (const membership of all) this.#drop(membership, undefined);
    await Promise.all(all.map((membership) => membership.drained()));
  }

  /** The server ended memberships: a renewed token no longer allows them. */
  evict(names: readonly string[], error: ArqonBusError): void {
    for (const name of names) for (const membership of this.#at(name)) this.#drop(membership, error);
  }

  /** The client is done: without an error iterations just end. */
  finish(error?: unknown): void {
    this.lost();
    for (const membership of this.#all()) this.#drop(membership, error);
  }

  async #join(membership: Membership, restoring: boolean, wait: WaitOptions, isAgain = false): Promise<void> {
    membership.joining();
    const { address, name } = membership;
    const asked = membership.joinArgs();
    // The server keeps one membership an address: it has to do for all who share it.
    const sharing = this.#at(name).map(({ options }) => options);
    const echo = sharing.some((options) => options.echo === true);
    const presence = sharing.some((options) => options.presence === true);
    const { signal, timeoutMs } = wait;
    let isOwed = false;
    await this.#ask(
      'join_channel',
      { ...address, echo, presence, ...asked },
      {
        ...{ signal, timeoutMs, restoring },
        onAnswer: (result) => {
          isOwed = membership.joined(result, asked, isAgain);
          // Left before the server knew of it.
          if (membership.closed) void this.#leave(membership);
        },
      },
    );
    if (isOwed) await this.#join(membership, restoring, wait, true);
  }

  /** Joins again; a refusal that may pass is tried again later, another ends it. */
  async #restore(membership: Membership, failures = 0): Promise<void> {
    const losses = this.#losses;
    try {
      await this.#join(membership, true, {});
    } catch (error) {
      // Without a line there is nothing to do: the next connection joins again.
      if (membership.closed || this.#losses !== losses || error instanceof ConnectionError) return;
      if (!(error instanceof ArqonBusError && error.retryable)) {
        this.#drop(membership, error);
        return;
      }
      const { clock, reconnect } = this.#settings;
      const timer = clock.setTimeout(
        () => {
          this.#retries.delete(timer);
          if (!membership.closed) void this.#restore(membership, failures + 1);
        },
        fullJitter(failures, reconnect, clock.random()),
      );
      this.#retries.add(timer);
    }
  }

  async #leave(membership: Membership): Promise<void> {
    const { room, channel } = membership.address;
    this.#remove(membership);
    if (this.#byName.has(membership.name) || !this.#isUp) return;
    // Refused or lost, the membership is gone or goes with the connection.
    await this.#ask('leave_channel', { room, channel }).catch(() => {});
  }

  #drop(membership: Membership, error: unknown): void {
    this.#remove(membership);
    membership.end(error);
  }

  /** Whom something at this address reaches: what is room-wide, all members of the room. */
  #covering({ room, channel }: { room?: string | undefined; channel?: string | undefined }): Membership[] {
    if (channel !== WILDCARD) return [`${room}:${channel}`, `${room}:*`, '*:*'].flatMap((name) => this.#at(name));
    return this.#all().filter(({ address }) => address.room === room || address.room === WILDCARD);
  }

  #at(name: string): Membership[] {
    return [...(this.#byName.get(name) ?? [])];
  }

  #all(): Membership[] {
    return [...this.#byName.keys()].flatMap((name) => this.#at(name));
  }

  #remove(membership: Membership): void {
    const { name } = membership;
    const group = this.#byName.get(name);
    if (group?.delete(membership) === true && group.size === 0) this.#byName.delete(name);
  }
}
