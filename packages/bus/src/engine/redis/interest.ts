import type { Awaitable } from '../engine.ts';
import { unavailable } from '../server-link.ts';
import type { Feed } from './feed.ts';
import type { Gaps } from './gaps.ts';
import type { Keys } from './keys.ts';
import type { Link } from './link.ts';
import { type Position, Room } from './room.ts';
import type { Session } from './session.ts';

const TOPICS_AT_ONCE = 500;
const ALL_ROOMS = '*';

/** A caller waiting until what it attached is followed. */
interface Waiter {
  readonly done: Promise<void>;
  /** Follows it on an open session. */
  start(session: Session): Promise<void>;
  resolve(): void;
  reject(error: Error): void;
}

/** All rooms of a tenant. */
interface TenantInterest {
  readonly tenant: string;
  /** The pattern is subscribed and every room that had streams is open. */
  followed: boolean;
}

/**
 * The rooms this node wants, and the resulting subscriptions. A room is subscribed by name, or covered by its tenant's
 * pattern if all its rooms are wanted; both only while switching.
 */
export class Interest {
  private readonly keys: Keys;
  private readonly link: Link;
  private readonly feed: Feed;
  private readonly gaps: Gaps;
  private readonly tenants = new Map<string, TenantInterest>();
  private readonly waiters = new Map<Room | TenantInterest, Waiter>();

  constructor(keys: Keys, link: Link, feed: Feed, gaps: Gaps) {
    this.keys = keys;
    this.link = link;
    this.feed = feed;
    this.gaps = gaps;
  }

  /** The position of this node's members in a stream; its beginning if they have received nothing of it. */
  reached(topic: string, channel: string): Position {
    const { last: sequence = 0, epoch = '' } = this.feed.rooms.get(topic)?.cursors.get(channel) ?? {};
    return { sequence, epoch };
  }

  /** The room of a topic covered only by the interest in all rooms of its tenant; created when it first appears. */
  roomOf(topic: string): Room | undefined {
    if (this.tenants.size === 0) return undefined;
    const names = this.keys.roomOfTopic(topic);
    const all = names === null ? undefined : this.tenants.get(names.tenant);
    if (names === null || all === undefined) return undefined;
    const room = this.add(names.tenant, names.room);
    // A room that did not exist when the tenant was attached: it is followed from its beginning.
    if (all.followed) room.state = 'open';
    return room;
  }

  /** While the server is unavailable this is recorded, and rejected. */
  attach(tenant: string, name: string): Awaitable<void> {
    const followed = name === ALL_ROOMS ? this.attachTenant(tenant) : this.attachRoom(tenant, name);
    return this.link.standing === 'away' ? Promise.reject(unavailable(this.link.reason)) : followed;
  }

  detach(tenant: string, name: string): void {
    if (name === ALL_ROOMS) this.detachTenant(tenant);
    else this.detachRoom(tenant, name);
  }

  private detachRoom(tenant: string, name: string): void {
    const room = this.feed.rooms.get(this.keys.topic(tenant, name));
    if (room === undefined) return;
    room.explicit = false;
    if (this.tenants.has(tenant)) return;
    this.remove(room);
    this.link.session?.unfollow([room.topic]);
  }

  /** The first server was seen, so topic names are now known: renames rooms that were wanted earlier. */
  rename(): void {
    const rooms = [...this.feed.rooms.values()];
    this.feed.rooms.clear();
    for (const room of rooms) {
      room.topic = this.keys.topic(room.tenant, room.name);
      this.feed.rooms.set(room.topic, room);
    }
  }

  /** Renews all subscriptions, and brings members up to date. Rooms attached meanwhile wait for {@link resume}. */
  async establish(session: Session, verify: boolean): Promise<void> {
    const attached = [...this.waiters.keys()];
    const tenants = [...this.tenants.values()];
    const rooms = [...this.feed.rooms.values()];
    const topics = rooms.filter((room) => !this.tenants.has(room.tenant)).map((room) => room.topic);
    for (let at = 0; at < topics.length; at += TOPICS_AT_ONCE) {
      await session.follow(topics.slice(at, at + TOPICS_AT_ONCE));
    }
    for (const all of tenants) await this.cover(session, all);
    await this.gaps.rooms(
      session,
      [...new Set([...rooms, ...tenants.flatMap((all) => this.roomsOf(all.tenant))])],
      verify,
    );
    for (const all of tenants) await this.complete(session, all);
    for (const each of attached) this.settle(each);
    session.unfollow(topics.filter((topic) => !this.feed.rooms.has(topic)));
  }

  /** Follows what was attached during {@link establish}. */
  resume(session: Session): void {
    for (const each of [...this.waiters.keys()]) this.begin(each, session);
  }

  /** The server is unavailable: pending attachments are followed once it is back. */
  away(): void {
    for (const { reject } of this.waiters.values()) reject(unavailable(this.link.reason));
  }

  private attachRoom(tenant: string, name: string): Awaitable<void> {
    const known = this.feed.rooms.get(this.keys.topic(tenant, name));
    if (known?.explicit) return this.waiters.get(known)?.done;
    const room = known ?? this.add(tenant, name);
    room.explicit = true;
    const all = this.tenants.get(tenant);
    if (all !== undefined) {
      if (all.followed && known === undefined) room.state = 'open';
      return this.waiters.get(all)?.done;
    }
    return this.follow(room, async (session) => {
      await session.follow([room.topic]);
      await this.gaps.rooms(session, [room], false);
    });
  }

  private attachTenant(tenant: string): Awaitable<void> {
    const known = this.tenants.get(tenant);
    if (known !== undefined) return this.waiters.get(known)?.done;
    const all: TenantInterest = { tenant, followed: false };
    this.tenants.set(tenant, all);
    return this.follow(all, async (session) => {
      await this.cover(session, all);
      await this.complete(session, all);
      session.unfollow(this.roomsOf(tenant).flatMap((room) => (room.explicit ? [room.topic] : [])));
    });
  }

  /** Starts following now if a server is connected; otherwise the next connection does. */
  private follow(each: Room | TenantInterest, start: (session: Session) => Promise<void>): Awaitable<void> {
    const { session } = this.link;
    const { promise: done, resolve, reject } = deferred();
    // Attachments made while the server was unavailable have no waiter.
    done.catch(() => {});
    this.waiters.set(each, { done, start, resolve, reject });
    if (session !== null) this.begin(each, session);
    return done;
  }

  private begin(each: Room | TenantInterest, session: Session): void {
    const waiter = this.waiters.get(each);
    waiter?.start(session).then(
      () => this.settle(each),
      // If the connection was lost, the next one does it.
      (error: Error) => this.fail(session, error),
    );
  }

  /** A live server refused it: another connection is tried. */
  private fail(session: Session, error: Error): void {
    if (this.link.session === session) this.link.drop(session, error.message);
  }

  private async cover(session: Session, all: TenantInterest): Promise<void> {
    if (session.cluster) await session.follow(this.keys.wideTopics(all.tenant));
    else await session.subscribePattern(this.keys.topicPattern(all.tenant));
    const names = (await session.command('smembers', this.keys.rooms(all.tenant))) as string[];
    for (const name of names) {
      const room = this.add(all.tenant, name);
      // A room created while the connection was lost is owed from its beginning.
      if (all.followed) room.state = 'open';
    }
  }

  /** Opens the rooms of a tenant, including those that appear in the meantime; later ones are open at once. */
  private async complete(session: Session, all: TenantInterest): Promise<void> {
    for (;;) {
      const opening = this.roomsOf(all.tenant).filter((room) => room.state !== 'open');
      if (opening.length === 0 || this.tenants.get(all.tenant) !== all) break;
      await this.gaps.rooms(session, opening, false);
    }
    all.followed = true;
  }

  private detachTenant(tenant: string): void {
    const all = this.tenants.get(tenant);
    if (all === undefined) return;
    this.tenants.delete(tenant);
    this.settle(all);
    const kept: Room[] = [];
    for (const room of this.roomsOf(tenant)) {
      if (room.explicit) kept.push(room);
      else this.remove(room);
    }
    const { session } = this.link;
    if (session === null) return;
    // Commands keep their order: the rooms are subscribed by name before the pattern is unsubscribed.
    session.follow(kept.map((room) => room.topic)).catch((error: Error) => this.fail(session, error));
    if (session.cluster) session.unfollow(this.keys.wideTopics(tenant));
    else session.unsubscribePattern(this.keys.topicPattern(tenant));
  }

  private roomsOf(tenant: string): Room[] {
    return [...this.feed.rooms.values()].filter((room) => room.tenant === tenant);
  }

  private add(tenant: string, name: string): Room {
    const topic = this.keys.topic(tenant, name);
    let room = this.feed.rooms.get(topic);
    if (room === undefined) {
      room = new Room(tenant, name, topic);
      this.feed.rooms.set(topic, room);
    }
    return room;
  }

  private remove(room: Room): void {
    this.feed.rooms.delete(room.topic);
    this.settle(room);
  }

  private settle(each: Room | TenantInterest): void {
    const waiter = this.waiters.get(each);
    if (waiter === undefined) return;
    this.waiters.delete(each);
    waiter.resolve();
  }
}

function deferred(): { promise: Promise<void>; resolve(): void; reject(error: Error): void } {
  let resolve!: () => void;
  let reject!: (error: Error) => void;
  const promise = new Promise<void>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}
