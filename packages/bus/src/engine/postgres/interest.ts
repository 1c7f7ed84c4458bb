import type { Position } from '@arqonbus/protocol';
import { type StreamAddress, streamKey } from '../engine.ts';

const ALL_ROOMS = '*';

/** The position of this node's members in one stream. */
export interface Cursor {
  /** The stream's row id. */
  readonly ref: number;
  readonly stream: StreamAddress;
  readonly epoch: string;
  /** The last sequence delivered to members, or published before they joined. */
  last: number;
}

/** A room that is wanted, or (`room` `*`) all rooms of a tenant. */
export interface Wish {
  readonly tenant: string;
  readonly room: string;
  /** Followed before: what happened in between is reported as a gap. */
  readonly again: boolean;
}

/** The state of a stream when its room began to be followed. */
export interface Standing {
  readonly ref: number;
  readonly stream: StreamAddress;
  readonly epoch: string;
  readonly sequence: number;
}

/**
 * The rooms this node wants, and its position in their streams. A wish is followed from the feed read that returns the
 * state of its streams.
 */
export class Interest {
  /** By `TENANT/ROOM`. Rooms of a tenant that is wanted as a whole are wanted too, but not listed here. */
  private readonly followed = new Map<string, Wish>();
  private readonly pending = new Map<string, Wish>();
  private readonly byRef = new Map<number, Cursor>();
  private readonly byName = new Map<string, Cursor>();

  get wishes(): readonly Wish[] {
    return [...this.pending.values()];
  }

  get isEmpty(): boolean {
    return this.followed.size === 0;
  }

  /** Returns true if it is already followed. */
  attach(tenant: string, room: string): boolean {
    if (this.isFollowed(tenant, room)) {
      if (!this.followed.has(keyOf(tenant, room)))
        this.followed.set(keyOf(tenant, room), { tenant, room, again: false });
      return true;
    }
    const key = keyOf(tenant, room);
    if (!this.pending.has(key)) this.pending.set(key, { tenant, room, again: false });
    return false;
  }

  detach(tenant: string, room: string): void {
    const key = keyOf(tenant, room);
    this.pending.delete(key);
    if (!this.followed.delete(key)) return;
    for (const cursor of this.byRef.values()) {
      const { stream } = cursor;
      if (stream.tenant === tenant && !this.isFollowed(tenant, stream.room)) this.remove(cursor);
    }
  }

  isFollowed(tenant: string, room: string): boolean {
    return this.followed.has(keyOf(tenant, room)) || this.followed.has(keyOf(tenant, ALL_ROOMS));
  }

  /** Follows the wishes still pending, from their streams' current state; returns those that were followed before. */
  follow(wishes: readonly Wish[], standings: readonly Standing[]): Wish[] {
    const begun = wishes.filter((wish) => this.pending.get(keyOf(wish.tenant, wish.room)) === wish);
    for (const wish of begun) {
      this.pending.delete(keyOf(wish.tenant, wish.room));
      this.followed.set(keyOf(wish.tenant, wish.room), wish);
    }
    for (const { ref, stream, epoch, sequence } of standings) {
      if (!this.byRef.has(ref) && this.isFollowed(stream.tenant, stream.room)) {
        this.add({ ref, stream, epoch, last: sequence });
      }
    }
    return begun.filter(({ again }) => again);
  }

  /** Everything must be followed again, from its state at that time. */
  restart(): void {
    for (const [key, { tenant, room }] of this.followed) this.pending.set(key, { tenant, room, again: true });
    this.followed.clear();
    this.byRef.clear();
    this.byName.clear();
  }

  /** The cursor of a stream's row; undefined if this node does not want it, or has not seen it yet. */
  cursor(ref: number): Cursor | undefined {
    return this.byRef.get(ref);
  }

  /** A stream created after its room was followed: it is followed from its beginning. */
  begin(ref: number, stream: StreamAddress, epoch: string): Cursor {
    const cursor = { ref, stream, epoch, last: 0 };
    this.add(cursor);
    return cursor;
  }

  reached(stream: StreamAddress): Position {
    const { last: sequence = 0, epoch = '' } = this.byName.get(streamKey(stream)) ?? {};
    return { sequence, epoch };
  }

  private add(cursor: Cursor): void {
    const name = streamKey(cursor.stream);
    // An old cursor of the same name belongs to a dropped stream.
    const old = this.byName.get(name);
    if (old !== undefined) this.byRef.delete(old.ref);
    this.byRef.set(cursor.ref, cursor);
    this.byName.set(name, cursor);
  }

  private remove(cursor: Cursor): void {
    this.byRef.delete(cursor.ref);
    this.byName.delete(streamKey(cursor.stream));
  }
}

function keyOf(tenant: string, room: string): string {
  return `${tenant}/${room}`;
}
