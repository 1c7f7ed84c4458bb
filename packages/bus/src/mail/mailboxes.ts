import { setTimeout as pause } from 'node:timers/promises';
import { BusError, type Envelope, INBOX, MAIL_ROOM, mailboxChannel, openDraft } from '@arqonbus/protocol';
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

/** What may wait in one mailbox unless a rule says otherwise: messages, and UTF-8 bytes of their envelopes. */
const MAX_WAITING = 1_000;
const MAX_WAITING_BYTES = 16_777_216;
/** How long mail waits unless a rule says otherwise, in seconds. */
const KEPT_SECONDS = 7 * 86_400;
/** How much longer it is kept than it waits, so that its end can be told, in milliseconds. */
const TELLING_MS = 60_000;
/**
 * What a stream keeps beyond what may wait, from the oldest message that waits on: handled ones. One that is never handled
 * must not keep any number of others.
 */
const MAX_HANDLED = 15 * MAX_WAITING;
const MAX_HANDLED_BYTES = 3 * MAX_WAITING_BYTES;
/** Messages read at a time to learn their sizes. */
const READ = 16;
/** Messages that this node knows the sizes of, and mailboxes that it knows of. */
const MAX_KNOWN = 200_000;
const MAX_BOXES = 10_000;
/** More than what closes an envelope: its sequence and epoch. */
const SEAL_BYTES = 160;
/** How often it is tried again when another node was faster. */
const MAX_TRIES = 200;
/** The longest wait before that, in milliseconds. */
const MAX_PAUSE_MS = 50;
/** Where no stream ever stands: what expects it is stored only if it was stored before. */
const NOWHERE = { sequence: Number.MAX_SAFE_INTEGER };

/** What a rule says of a mailbox; what it leaves out is as without it. */
type GivenBounds = NonNullable<RuleSettings['history']>;

/** What may wait in a mailbox: messages, UTF-8 bytes of their envelopes, and for how long. */
type Bounds = Required<GivenBounds>;

const BOUNDS: Bounds = { size: MAX_WAITING, bytes: MAX_WAITING_BYTES, ttl_seconds: KEPT_SECONDS };

/** A mailbox as this node knows it. */
class Box {
  readonly stream: StreamAddress;
  readonly subject: string;
  readonly waiting: Waiting = new Waiting();
  /** The end of what is under way here: one message after the other. */
  last: Promise<unknown> = Promise.resolve();
  users = 0;
  /** Of its messages, how many the service has counted. */
  counted = 0;

  constructor(tenant: string, subject: string) {
    this.stream = { tenant, room: MAIL_ROOM, channel: mailboxChannel(subject) };
    this.subject = subject;
  }
}

/**
 * Mailboxes: streams of the room `@`, each kept for one subject, whoever is connected. What waits there is what the group
 * `inbox` has not settled; every node finds it out from the stream, the group's record and the sizes that it has read.
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

  /** @param boundsOf what rules say of a mailbox, by its channel */
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
   * Stores one message in the mailboxes of subjects. Rejects with MAILBOX_FULL when it does not fit into one of them:
   * then it was stored in none, unless one became full in this very moment; sent again with its id it is a duplicate there.
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

  /** Whether a message is in a mailbox, handled or not. Reads it; for what happens seldom. */
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

  /** Runs something with a mailbox after all that this node does with it already. */
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

  /** Lets go of what was not used for the longest time. */
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
        // Two nodes that keep step would let one of them wait for ever.
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
   * Sees to it that the sender of a stored message is told when its time is over, whoever is there then, if it wants to be
   * told. Rejects with STORAGE_UNAVAILABLE: sent again, the message is a duplicate whose end is expected.
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
      // Somebody may have made it meanwhile, which is as well.
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
    // Whose end is told says when that is.
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

  /** Finds out what waits. Rejects with STORAGE_UNAVAILABLE. */
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

  /** How far the inbox is; null when nobody has read it yet. */
  private async handled({ tenant, room, channel }: StreamAddress): Promise<Handled | null> {
    const key = groupKey({ room, channel, group: INBOX });
    const state = await this.store.get({ tenant, space: STATE_SPACE, namespace: '' }, key);
    if (state !== null) return readProgress(state.value, channel);
    const group = await this.store.get({ tenant, space: MAIL_SPACE, namespace: '' }, key);
    const begin = group === null ? undefined : (JSON.parse(group.value) as GroupRecord).begin[channel];
    return begin === undefined ? null : { epoch: begin.epoch, floor: begin.sequence, settled: new Ranges() };
  }

  /** What was answered when this message was stored before; null when it was not. */
  private repeated(
    box: Box,
    sender: Sender,
    draft: ReturnType<typeof openDraft>,
    { size, ttl_seconds }: Bounds,
  ): Promise<Published | null> {
    const retention = { size: size + MAX_HANDLED, ttlMs: ttl_seconds * 1000 + TELLING_MS };
    return this.publish(box, sender, { draft, retention, expect: NOWHERE });
  }

  /** Publishes if the stream stands where it is expected to; null when it does not. */
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
    const oldest_ms = oldest === null ? 0 : Math.max(0, Math.round(this.now() - oldest));
    return { stored, duplicate, pending, oldest_ms };
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
