import { type Address, compilePattern, type Envelope, isChannelPattern, WILDCARD } from '@arqonbus/protocol';
import { Answers, deliveryOf } from './delivery.ts';
import { closedError, invalidArgument } from './errors.ts';
import { type GroupHost, type GroupOptions, GroupSubscription } from './group-subscription.ts';
import { given, requirePositive, type Settings } from './options.ts';
import type { WaitOptions } from './pending.ts';
import type { AskAnything } from './queue.ts';
import { Restoring } from './restoring.ts';

const DEFAULT_PREFETCH = 16;

interface Member {
  readonly subscription: GroupSubscription<never>;
  readonly prefetch: number;
  /** Whether the subscription covers a channel. */
  readonly covers: (channel: string) => boolean;
}

/** The consumer groups of a client: rejoined, with the same prefetch, on every new connection. */
export class Groups {
  readonly #ask: AskAnything;
  readonly #takeReceipt: (envelope: Envelope) => boolean;
  readonly #answers: Answers;
  readonly #host: GroupHost;
  readonly #restoring: Restoring;
  readonly #members = new Set<Member>();
  #isUp = false;
  #isDraining = false;

  /** @param takeReceipt takes an envelope if it is a receipt from a mailbox */
  constructor(
    settings: Settings,
    ask: AskAnything,
    report: (error: unknown) => void,
    takeReceipt: (envelope: Envelope) => boolean,
  ) {
    const { clock } = settings;
    this.#ask = ask;
    this.#takeReceipt = takeReceipt;
    this.#answers = new Answers(clock, (command, args) => ask(command, args));
    this.#restoring = new Restoring(settings);
    this.#host = { clock, answers: this.#answers, leave: (subscription) => this.#leave(subscription), report };
  }

  /**
   * Joins and resolves once the server has answered. Rejects with its refusal, and with `INVALID_ARGUMENT`.
   *
   * @param handlers maximum concurrent calls of `onMessage`
   */
  async subscribe<P>(place: Address, options: GroupOptions<P>, handlers = 1): Promise<GroupSubscription<P>> {
    const { group, prefetch = DEFAULT_PREFETCH, signal } = options;
    requirePositive({ prefetch });
    if (this.#isDraining) throw closedError();
    const { room, channel } = place;
    const isHere = ({ subscription: { group: name, place: at } }: Member): boolean =>
      name === group && at.room === room && at.channel === channel;
    if ([...this.#members].some(isHere)) {
      throw invalidArgument(`This client takes from the group "${group}" of ${room}:${channel} already.`);
    }
    const subscription = new GroupSubscription<P>(place, options, prefetch, handlers, this.#host);
    const member: Member = {
      subscription: subscription as unknown as GroupSubscription<never>,
      prefetch,
      covers: isChannelPattern(channel) ? compilePattern(channel) : (name) => channel === WILDCARD || name === channel,
    };
    this.#members.add(member);
    try {
      await this.#join(member, false, options);
    } catch (error) {
      subscription.end(error);
      void this.#leave(member.subscription);
      throw error;
    }
    const abort = (): void => {
      subscription.end(signal?.reason);
      void this.#leave(member.subscription);
    };
    subscription.on('close', () => signal?.removeEventListener('abort', abort));
    if (signal?.aborted === true) abort();
    else signal?.addEventListener('abort', abort);
    return subscription;
  }

  /** Takes an event if it is a delivery from a group. */
  take(envelope: Envelope): boolean {
    const facts = deliveryOf(envelope);
    if (facts === undefined) return false;
    const { room, channel = WILDCARD } = envelope;
    const covering = [...this.#members].filter(
      ({ subscription, covers }) =>
        subscription.group === facts.group && subscription.place.room === room && covers(channel),
    );
    // Of several groups with the same name, the one for exactly this channel.
    const nearest = covering.find(({ subscription }) => subscription.place.channel === channel) ?? covering[0];
    if (nearest?.subscription.closed === false && this.#takeReceipt(envelope)) {
      // If the ack is lost, the receipt is redelivered, and acknowledged without a second notification.
      this.#answers.give('ack', facts.token).catch(() => {});
    } else nearest?.subscription.deliver(envelope);
    return true;
  }

  /** A `system` envelope about a group. */
  notice(envelope: Envelope): void {
    const { room, channel = WILDCARD } = envelope;
    const { group } = envelope.payload;
    for (const { subscription, covers } of this.#members) {
      const { place } = subscription;
      const isMeant = subscription.group === group && place.room === room;
      if (isMeant && (place.channel === channel || covers(channel))) subscription.tell(envelope);
    }
  }

  /** A new connection: rejoins everything. Resolves when every join was answered once. */
  async resume(): Promise<void> {
    this.#isUp = true;
    const known = [...this.#members].filter(({ subscription }) => subscription.result !== undefined);
    await Promise.all(known.map((member) => this.#restore(member)));
  }

  lost(): void {
    this.#isUp = false;
    this.#restoring.lost();
    for (const { subscription } of this.#members) subscription.suspend();
  }

  /** Stops taking messages, and leaves once those being processed are answered. */
  async drain(): Promise<void> {
    this.#isDraining = true;
    const members = [...this.#members];
    for (const { subscription } of members) subscription.end();
    await Promise.all(members.map(({ subscription }) => subscription.idle()));
    await this.#answers.idle();
    await Promise.all(members.map(({ subscription }) => this.#leave(subscription)));
  }

  /** The client is closed: without an error, iterations simply end. */
  finish(error?: unknown): void {
    // Collected answers are sent before the connection closes.
    void this.#answers.flush();
    this.lost();
    for (const { subscription } of this.#members) subscription.end(error);
    this.#members.clear();
  }

  async #join({ subscription, prefetch }: Member, restoring: boolean, wait: WaitOptions): Promise<void> {
    const { place, group } = subscription;
    const { signal, timeoutMs } = wait;
    await this.#ask(
      'join_channel',
      { ...place, group, prefetch },
      {
        ...given({ signal, timeoutMs, restoring }),
        onAnswer: (result) => {
          subscription.joined(result as never);
          // Left before the server had answered the join.
          if (subscription.closed) void this.#leave(subscription);
        },
      },
    );
  }

  #restore(member: Member): Promise<void> {
    const { subscription } = member;
    return this.#restoring.restore({
      key: member,
      join: () => this.#join(member, true, {}),
      // Unprocessed messages stay in the group.
      isUnplaced: () => false,
      isOver: () => subscription.closed,
      refused: (error) => {
        this.#members.delete(member);
        subscription.end(error);
      },
    });
  }

  async #leave(subscription: GroupSubscription<never>): Promise<void> {
    const { place, group } = subscription;
    for (const member of this.#members) if (member.subscription === subscription) this.#members.delete(member);
    // On failure the membership is gone already, or ends with the connection.
    if (this.#isUp) await this.#ask('leave_channel', { ...place, group }).catch(() => {});
  }
}
