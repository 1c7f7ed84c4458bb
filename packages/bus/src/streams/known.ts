import { BusError, type SenderRecord } from '@arqonbus/protocol';
import type { Session } from '../connection/session.ts';
import { cutTo, readMark } from './mark.ts';

/** Maximum open streams of one identity, and of one tenant. */
export interface OpenLimits {
  readonly maxOpen: number;
  readonly maxOpenInTenant: number;
}

const OPEN_LIMITS: OpenLimits = { maxOpen: 100, maxOpenInTenant: 10_000 };

/** How long the end of a stream is remembered, because earlier pieces of another node may arrive after it. */
const REMEMBERED_MS = 60_000;
/** How long a stream is kept that is known only from pieces. */
const UNKNOWN_MS = 600_000;

/** What the nodes of a cluster know of an open stream, as stored. */
export interface StreamRecord {
  readonly room: string;
  readonly channel: string;
  /** The client id that opened it, and the sender of all its envelopes. */
  readonly from: string;
  /** The identity that may write. */
  readonly identity: string;
  readonly sender: SenderRecord;
  /** Milliseconds since 1970. */
  readonly opened_at: number;
  readonly ttl_seconds: number;
  /** Id of the event that ends it. */
  readonly end_id: string;
  /** The node that has its text, and the id of that node's start; both empty during a handover. */
  readonly node: string;
  readonly run: string;
}

/** A piece from the node that has the stream. */
export interface Piece {
  readonly offset: number;
  readonly length: number;
  readonly envelope: string;
}

/** A stream as this node knows it. */
export interface KnownStream {
  readonly tenant: string;
  readonly id: string;
  readonly room: string;
  readonly channel: string;
  /** Null while it is known only from pieces. */
  record: StreamRecord | null;
  /** How much of its text this node's members have received, in UTF-16 units; null: none. */
  shown: number | null;
  /** Members that get its text from the beginning with the next response for it. */
  readonly waiting: Set<Session>;
  /** Members whose connections must drain first; they get nothing of it yet. */
  readonly later: Set<Session>;
  /** The pieces that arrived while its text was being requested. */
  held: Piece[] | null;
  /** Its record is gone: it is no longer listed. */
  isGone: boolean;
  /** Its end has passed this node. */
  hasEnded: boolean;
  /** When it became known or, later, when it went. */
  since: number;
}

/** How the end of a stream is delivered to this node's members. */
export interface Parting {
  /** The event for members that received the pieces: only the missing text. */
  readonly rest: string;
  /** Sessions that get the whole text. */
  readonly whole: ReadonlySet<Session>;
}

/** The open streams that this node knows, its own and those of other nodes, and how far its members have read them. */
export class KnownStreams {
  private readonly streams: Map<string, KnownStream> = new Map();
  /** By room. */
  private readonly rooms: Map<string, Set<KnownStream>> = new Map();
  private readonly now: () => number;
  private readonly isAlone: boolean;
  private readonly limits: OpenLimits;

  /**
   * @param now milliseconds of a monotonic clock
   * @param isAlone whether no other node can send pieces
   */
  constructor(now: () => number, isAlone: boolean, limits: OpenLimits = OPEN_LIMITS) {
    this.now = now;
    this.isAlone = isAlone;
    this.limits = limits;
  }

  /** Throws LIMIT_EXCEEDED when an identity or a tenant has reached its limit of open streams. */
  requirePlace(tenant: string, identity: string): void {
    const { maxOpen, maxOpenInTenant } = this.limits;
    let [own, all] = [0, 0];
    for (const { record } of this.all(tenant)) {
      all += 1;
      if (record.identity === identity) own += 1;
    }
    if (own >= maxOpen) {
      throw new BusError('LIMIT_EXCEEDED', `You have ${maxOpen} streams open; close some.`, { limit: maxOpen });
    }
    if (all < maxOpenInTenant) return;
    throw new BusError('LIMIT_EXCEEDED', `The tenant has ${maxOpenInTenant} streams open; try again later.`, {
      limit: maxOpenInTenant,
    });
  }

  get(tenant: string, id: string): KnownStream | undefined {
    return this.streams.get(`${tenant}/${id}`);
  }

  /** The stream with that id, created when it is new. */
  note(tenant: string, id: string, { room, channel }: Pick<StreamRecord, 'room' | 'channel'>): KnownStream {
    const known = this.get(tenant, id);
    if (known !== undefined) return known;
    const stream: KnownStream = {
      ...{ tenant, id, room, channel },
      record: null,
      shown: null,
      waiting: new Set(),
      later: new Set(),
      held: null,
      isGone: false,
      hasEnded: false,
      since: this.now(),
    };
    this.streams.set(`${tenant}/${id}`, stream);
    const there = this.rooms.get(`${tenant}/${room}`);
    if (there === undefined) this.rooms.set(`${tenant}/${room}`, new Set([stream]));
    else there.add(stream);
    return stream;
  }

  /** Adds an open stream from its record; null when the record is an old one of an ended stream. */
  open(tenant: string, id: string, record: StreamRecord): KnownStream | null {
    const known = this.get(tenant, id);
    if (known?.hasEnded === true) {
      if (known.record?.end_id === record.end_id) return null;
      // The id is being reused.
      this.drop(known);
    }
    const stream = this.note(tenant, id, record);
    stream.record = record;
    stream.isGone = false;
    return stream;
  }

  /** The open streams of a tenant. */
  *all(tenant: string): Generator<KnownStream & { record: StreamRecord }> {
    for (const stream of this.streams.values()) if (stream.tenant === tenant && isOpen(stream)) yield stream;
  }

  /** The open streams of all tenants. */
  *everywhere(): Generator<KnownStream & { record: StreamRecord }> {
    for (const stream of this.streams.values()) if (isOpen(stream)) yield stream;
  }

  /** The open streams of a room (`*`: of the tenant). */
  in(tenant: string, room: string): readonly KnownStream[] {
    if (this.streams.size === 0) return [];
    if (room === '*') return [...this.all(tenant)];
    return [...(this.rooms.get(`${tenant}/${room}`) ?? [])].filter(isOpen);
  }

  /** Its record is gone. Remaining pieces are still handled correctly for a while. */
  gone(stream: KnownStream): void {
    stream.isGone = true;
    stream.since = this.now();
    if (this.isAlone) this.drop(stream);
  }

  /** Handles an event that may end a stream. Null: everyone gets the event unchanged. */
  part(tenant: string, text: string): Parting | null {
    const mark = readMark(text);
    if (mark === null || mark.state === 'streaming') return null;
    const stream = this.get(tenant, mark.id);
    if (stream === undefined) {
      if (!this.isAlone) this.remember(tenant, mark.id);
      return null;
    }
    const { shown, waiting, later } = stream;
    const whole = new Set([...waiting, ...later]);
    this.end(stream);
    if (shown === null || shown === 0 || mark.revised === true) return null;
    return { rest: cutTo(text, shown), whole };
  }

  /** No more of it is sent. */
  end(stream: KnownStream): void {
    stream.hasEnded = true;
    stream.waiting.clear();
    stream.later.clear();
    stream.held = null;
    this.gone(stream);
  }

  /** Removes streams that went long ago. */
  sweep(): void {
    const now = this.now();
    for (const stream of this.streams.values()) {
      const age = now - stream.since;
      if ((stream.isGone && age > REMEMBERED_MS) || (stream.record === null && age > UNKNOWN_MS)) this.drop(stream);
    }
  }

  /** A stream ended of which nothing was sent here: its pieces may still arrive. */
  private remember(tenant: string, id: string): void {
    this.end(this.note(tenant, id, { room: '', channel: '' }));
  }

  private drop(stream: KnownStream): void {
    const { tenant, id, room } = stream;
    this.streams.delete(`${tenant}/${id}`);
    const there = this.rooms.get(`${tenant}/${room}`);
    if (there?.delete(stream) === true && there.size === 0) this.rooms.delete(`${tenant}/${room}`);
  }
}

function isOpen(stream: KnownStream): stream is KnownStream & { record: StreamRecord } {
  return stream.record !== null && !stream.isGone;
}
