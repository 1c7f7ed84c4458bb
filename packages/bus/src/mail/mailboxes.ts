import { setTimeout as pause } from 'node:timers/promises';
import {
  BusError,
  type Envelope,
  INBOX,
  isMailboxChannel,
  MAIL_ROOM,
  mailboxChannel,
  mailboxSubject,
  openDraft,
} from '@arqonbus/protocol';
import type { Sender } from '../connection/session.ts';
import { endOf } from '../consumers/envelope.ts';
import { type GroupRecord, groupKey } from '../consumers/group.ts';
import { MAIL_SPACE, STATE_SPACE } from '../consumers/group-store.ts';
import { readProgress } from '../consumers/progress.ts';
import { Ranges } from '../consumers/ranges.ts';
import { newGroup } from '../consumers/start.ts';
import { WakeStore } from '../consumers/wake-times.ts';
import { type Kept, type Mail, type MailKeeper, subjectIdentity } from '../direct.ts';
import type { Broker, Engine, KeyValueStore, Published, StreamAddress } from '../engine/engine.ts';
import { withHops } from '../hops.ts';
import { marksText } from '../marks.ts';
import type { RuleSettings } from '../rules/rule.ts';
import { type Figures, type Handled, letterOf, Waiting } from './waiting.ts';

/** Default limits of one mailbox: waiting messages, and UTF-8 bytes of their envelopes. */
const MAX_WAITING = 1_000;
const MAX_WAITING_BYTES = 16_777_216;
/** Default time that mail waits, in seconds. */
const KEPT_SECONDS = 7 * 86_400;
/** How much longer mail is stored, so that its expiry can be reported, in milliseconds. */
const TELLING_MS = 60_000;
/**
 * What a stream keeps beyond the waiting limit: handled messages after the oldest waiting one. A message that is never
 * handled must not keep any number of others.
 */
const MAX_HANDLED = 15 * MAX_WAITING;
const MAX_HANDLED_BYTES = 3 * MAX_WAITING_BYTES;
/** Messages read at a time to learn their sizes. */
const READ = 16;
/** Cache limits of this node: message sizes, and mailboxes. */
const MAX_KNOWN = 200_000;
const MAX_BOXES = 10_000;
/** Upper bound of the bytes that complete an envelope: its sequence and epoch. */
const SEAL_BYTES = 160;
/** Maximum attempts when other nodes write first. */
const MAX_TRIES = 200;
/** Maximum delay before another attempt, in milliseconds. */
const MAX_PAUSE_MS = 50;
/** A position that no stream has: a publish that expects it returns only a message stored before. */
const NOWHERE = { sequence: Number.MAX_SAFE_INTEGER };

/** The limits that rules set for a mailbox; the others keep their defaults. */
type GivenBounds = NonNullable<RuleSettings['history']>;

/** The limits of a mailbox: messages, UTF-8 bytes of their envelopes, and time. */
type Bounds = Required<GivenBounds>;

const BOUNDS: Bounds = { size: MAX_WAITING, bytes: MAX_WAITING_BYTES, ttl_seconds: KEPT_SECONDS };

/** A mailbox, and what waits there. */
interface ListedMailbox {
  /** A channel of the room `@`. */
  readonly channel: string;
  readonly pending: number;
  /** UTF-8 bytes of the waiting messages. */
  readonly bytes: number;
  /** Age of the oldest waiting message; 0 without one. */
  readonly oldest_ms: number;
}

interface MailList {
  readonly items: ListedMailbox[];
  /** The last of the page; null at the end. */
  readonly next: string | null;
}

interface MailPage {
  readonly limit: number;
  /** Channel of the last mailbox of the previous page. */
  readonly after?: string | undefined;
}

/** A mailbox as this node knows it. */
class Box {
  readonly stream: StreamAddress;
  readonly subject: string;
  readonly waiting: Waiting = new Waiting();
  /** Settles when the last queued operation here ends: one operation at a time. */
  last: Promise<unknown> = Promise.resolve();
  users = 0;
  /** How many of its messages are included in the total. */
  counted = 0;

  constructor(tenant: string, subject: string) {
    this.stream = { tenant, room: MAIL_ROOM, channel: mailboxChannel(subject) };
    this.subject = subject;
  }
}

/**
 * Mailboxes: streams of the room `@`, each kept for one subject, connected or not. Messages wait until the group
 * `inbox` settles them; every node determines this from the stream, the group's record and the sizes that it has read.
 */
export class Mailboxes implements MailKeeper {
  private readonly broker: Broker;
  private readonly store: KeyValueStore;
  private readonly wakes: WakeStore;
  private readonly boundsOf: (tenant: string, channel: string) => GivenBounds;
  private readonly now: () => number;
  /** Least recently used first. */
  private readonly boxes: Map<string, Box> = new Map();
  private known = 0;

  /** @param boundsOf the limits that rules set for a mailbox, by its channel */
  constructor(
    { broker, store }: Pick<Engine, 'broker' | 'store'>,
    boundsOf: (tenant: string, channel: string) => GivenBounds,
    now: () => number,
  ) {
    this.boundsOf = boundsOf;
    this.broker = broker;
    this.store = store;
    this.wakes = new WakeStore(store);
    this.now = now;
  }

  /**
   * Stores one message in the mailboxes of subjects. Rejects with MAILBOX_FULL when it does not fit into one of them;
   * it is then stored in none, unless one filled up at that moment. A retry with its id is a duplicate there.
   */
  async keep(sender: Sender, mail: Mail, subjects: readonly string[]): Promise<Kept> {
    const { tenant } = sender.principal;
    const names = [...new Set(subjects)];
    if (names.length > 1) {
      for (const name of names) await this.inTurn(tenant, name, (box) => this.admit(box, sender, mail));
    }
    let kept: Kept | null = null;
    for (const name of names) {
      const one = await this.inTurn(tenant, name, (box) => this.append(box, sender, mail));
      kept =
        kept === null
          ? one
          : {
              stored: one.stored,
              duplicate: kept.duplicate && one.duplicate,
              pending: Math.max(kept.pending, one.pending),
              oldest_ms: Math.max(kept.oldest_ms, one.oldest_ms),
            };
    }
    return kept as Kept;
  }

  /** Whether a message is in a mailbox, handled or not. Reads the mailbox; use rarely. */
  async holds(tenant: string, subject: string, id: string): Promise<boolean> {
    const stream = { tenant, room: MAIL_ROOM, channel: mailboxChannel(subject) };
    for (let fromSequence = 1; ; ) {
      const found = await this.broker.history(stream, { fromSequence, limit: READ });
      if (found.some(({ text }) => (JSON.parse(text) as Envelope).id === id)) return true;
      const last = found.at(-1);
      if (last === undefined) return false;
      fromSequence = last.sequence + 1;
    }
  }

  /**
   * A page of the mailboxes that are not empty and that `accepts` selects, by channel name, with what waits in each.
   * Reads messages that this node has not seen yet.
   */
  async list(
    tenant: string,
    accepts: (channel: string) => boolean,
    { limit, after = '' }: MailPage,
  ): Promise<MailList> {
    const streams = await this.broker.streams(tenant, MAIL_ROOM);
    const names = streams
      .map(({ channel }) => channel)
      .filter((name) => name > after && isMailboxChannel(name) && accepts(name))
      .sort();
    const items: ListedMailbox[] = [];
    for (const channel of names) {
      if (items.length === limit) return { items, next: items.at(-1)?.channel ?? null };
      // Skips mailboxes whose mail is all gone; a look would keep them longer.
      const state = await this.broker.find({ tenant, room: MAIL_ROOM, channel });
      if (state === null || state.oldest > state.sequence) continue;
      const { pending, bytes, oldest } = await this.inTurn(
        tenant,
        mailboxSubject(channel),
        async (box) => (await this.look(box)).figures,
      );
      items.push({ channel, pending, bytes, oldest_ms: this.ageOf(oldest) });
    }
    return { items, next: null };
  }

  private ageOf(oldest: number | null): number {
    return oldest === null ? 0 : Math.max(0, Math.round(this.now() - oldest));
  }

  /** Runs an operation on a mailbox after all earlier ones of this node. */
  private async inTurn<T>(tenant: string, subject: string, work: (box: Box) => Promise<T>): Promise<T> {
    const box = this.boxOf(tenant, subject);
    box.users += 1;
    const done = box.last.then(() => work(box));
    box.last = done.catch(() => {});
    try {
      return await done;
    } finally {
      box.users -= 1;
      this.known += box.waiting.size - box.counted;
      box.counted = box.waiting.size;
      this.forget();
    }
  }

  private boxOf(tenant: string, subject: string): Box {
    const key = `${tenant}/${subject}`;
    const box = this.boxes.get(key) ?? new Box(tenant, subject);
    this.boxes.delete(key);
    this.boxes.set(key, box);
    return box;
  }

  /** Evicts the least recently used mailboxes. */
  private forget(): void {
    if (this.known <= MAX_KNOWN && this.boxes.size <= MAX_BOXES) return;
    for (const [key, { users, counted }] of this.boxes) {
      if (this.known <= MAX_KNOWN && this.boxes.size <= MAX_BOXES) return;
      if (users > 0) continue;
      this.boxes.delete(key);
      this.known -= counted;
    }
  }

  private async admit(box: Box, sender: Sender, mail: Mail): Promise<void> {
    const bounds = this.bounds(box);
    const { draft, bytes } = this.draft(box, sender, mail, bounds);
    const { figures } = await this.look(box);
    if (fits(box, figures, bytes, bounds)) return;
    if ((await this.repeated(box, sender, draft, bounds)) === null) throw full(box, figures, bounds);
  }

  private async append(box: Box, sender: Sender, mail: Mail): Promise<Kept> {
    const bounds = this.bounds(box);
    const { draft, bytes, end } = this.draft(box, sender, mail, bounds);
    for (let tries = 0; tries < MAX_TRIES; tries += 1) {
      const { figures, epoch } = await this.look(box);
      const { waiting } = box;
      if (!fits(box, figures, bytes, bounds)) {
        const repeated = await this.repeated(box, sender, draft, bounds);
        if (repeated === null) throw full(box, figures, bounds);
        await this.expectEnd(box, mail, end);
        return this.kept(repeated, figures);
      }
      const retention = {
        size: Math.max(bounds.size, waiting.needed + 1),
        ttlMs: bounds.ttl_seconds * 1000 + TELLING_MS,
        bytes: Math.max(bounds.bytes, waiting.span + bytes),
      };
      const expect = { sequence: waiting.head, epoch };
      const published = await this.publish(box, sender, { draft, retention, expect });
      if (published === null) {
        // A random delay, so that two nodes in lockstep do not block one of them forever.
        await pause(Math.random() * Math.min(tries + 1, MAX_PAUSE_MS));
        continue;
      }
      if (published.stored === 'none') break;
      await this.expectEnd(box, mail, end);
      if (published.duplicate) return this.kept(published, figures);
      waiting.note(published.sequence, { bytes, time: draft.time, end });
      const { pending, oldest } = figures;
      return this.kept(published, { bytes: 0, pending: pending + 1, oldest: oldest ?? draft.time });
    }
    throw new BusError('STORAGE_UNAVAILABLE', 'The mailbox could not take the message now; send it again later.');
  }

  /**
   * Ensures that the sender of a stored message gets its requested receipt on expiry, even without a connected reader.
   * Rejects with STORAGE_UNAVAILABLE: a retry of the message is a duplicate, and does this again.
   */
  private async expectEnd({ stream, subject }: Box, { options }: Mail, end: number): Promise<void> {
    if (options?.receipt === undefined || end === Number.POSITIVE_INFINITY) return;
    const place = { ...stream, group: INBOX };
    const key = groupKey(place);
    const known = await this.wakes.timeOf(stream.tenant, key);
    if (known !== null && known <= end) return;
    const at = { tenant: stream.tenant, space: MAIL_SPACE, namespace: '' };
    if ((await this.store.get(at, key)) === null) {
      const facts = { owner: subjectIdentity(subject), created_at: this.now(), isImplied: true } as const;
      const record = await newGroup(this.broker, place, {}, 'all', facts);
      // Another node may have created it meanwhile, which is fine.
      await this.store.set(at, key, JSON.stringify(record), { ifVersion: 0 });
    }
    await this.wakes.by(stream.tenant, key, end);
  }

  private bounds({ stream: { tenant, channel } }: Box): Bounds {
    return { ...BOUNDS, ...this.boundsOf(tenant, channel) };
  }

  private draft(
    { stream }: Box,
    sender: Sender,
    { id, to, payload, metadata, requestId, options, step }: Mail,
    { ttl_seconds: most }: Bounds,
  ) {
    const now = this.now();
    // A message with a receipt states its expiry.
    const life = Math.min(options?.ttl_seconds ?? most, most);
    const marked = options?.receipt === undefined ? options : { ...options, ttl_seconds: life };
    const { ttl_seconds: ttl, request } = marked ?? {};
    const draft = openDraft(
      {
        id,
        type: 'private',
        room: stream.room,
        channel: stream.channel,
        from: sender.id,
        to: to.length === 1 ? to[0] : to,
        payload,
        metadata,
        marks: withHops(marksText(sender.mark, marked, now), step),
        requestId,
      },
      now,
    );
    const end = Math.min(
      ttl === undefined ? Number.POSITIVE_INFINITY : now + ttl * 1000,
      request === undefined ? Number.POSITIVE_INFINITY : now + request.timeout_ms,
    );
    return { draft, bytes: Buffer.byteLength(draft.open) + SEAL_BYTES, end };
  }

  /** Determines what waits. Rejects with STORAGE_UNAVAILABLE. */
  private async look({ stream, waiting }: Box): Promise<{ figures: Figures; epoch: string }> {
    const [state, handled] = await Promise.all([this.broker.state(stream), this.handled(stream)]);
    if (state.epoch === '') throw new BusError('STORAGE_UNAVAILABLE', 'The storage is away; mail needs it.');
    let from = waiting.begin(state, handled);
    while (from <= state.sequence) {
      const found = await this.broker.history(stream, { fromSequence: from, toSequence: state.sequence, limit: READ });
      for (const one of found) waiting.note(one.sequence, letterOf(one, endOf));
      if (found.length === 0) break;
      from = waiting.head + 1;
    }
    waiting.reach(state.sequence);
    return { figures: waiting.figures(this.now()), epoch: state.epoch };
  }

  /** Progress of the inbox; null when nobody has read it yet. */
  private async handled({ tenant, room, channel }: StreamAddress): Promise<Handled | null> {
    const key = groupKey({ room, channel, group: INBOX });
    const state = await this.store.get({ tenant, space: STATE_SPACE, namespace: '' }, key);
    if (state !== null) return readProgress(state.value, channel);
    const group = await this.store.get({ tenant, space: MAIL_SPACE, namespace: '' }, key);
    const begin = group === null ? undefined : (JSON.parse(group.value) as GroupRecord).begin[channel];
    return begin === undefined ? null : { epoch: begin.epoch, floor: begin.sequence, settled: new Ranges() };
  }

  /** The earlier result if this message was stored before; else null. */
  private repeated(
    box: Box,
    sender: Sender,
    draft: ReturnType<typeof openDraft>,
    { size, ttl_seconds }: Bounds,
  ): Promise<Published | null> {
    const retention = { size: size + MAX_HANDLED, ttlMs: ttl_seconds * 1000 + TELLING_MS };
    return this.publish(box, sender, { draft, retention, expect: NOWHERE });
  }

  /** Publishes if the stream is at the expected position; else null. */
  private async publish(
    { stream }: Box,
    { identity }: Sender,
    publication: Pick<Parameters<Broker['publish']>[0], 'draft' | 'retention' | 'expect'>,
  ): Promise<Published | null> {
    try {
      return await this.broker.publish({ stream, identity, ...publication });
    } catch (error) {
      if (error instanceof BusError && error.code === 'CONFLICT') return null;
      throw error;
    }
  }

  private kept({ stored, duplicate }: Published, { pending, oldest }: Figures): Kept {
    return { stored, duplicate, pending, oldest_ms: this.ageOf(oldest) };
  }
}

function fits({ waiting }: Box, { pending, bytes }: Figures, more: number, bounds: Bounds): boolean {
  if (pending + 1 > bounds.size || bytes + more > bounds.bytes) return false;
  return waiting.needed + 1 <= bounds.size + MAX_HANDLED && waiting.span + more <= bounds.bytes + MAX_HANDLED_BYTES;
}

function full({ subject }: Box, { pending, bytes }: Figures, bounds: Bounds): BusError {
  return new BusError(
    'MAILBOX_FULL',
    `The mailbox @${subject} holds ${pending} messages, as much as may wait; send again when some are handled.`,
    { mailbox: `@${subject}`, pending, bytes, limit: bounds.size, limit_bytes: bounds.bytes },
  );
}
