import { IDEMPOTENCE_WINDOW_MS, randomToken } from '@arqonbus/protocol';
import type { Durability, Expectation, Publication, Published, StreamAddress } from '../engine.ts';
import { conflict } from '../expectation.ts';
import type { Confirmed } from './confirmations.ts';
import { type Entry, encodeBody } from './entry.ts';
import { verdict } from './faults.ts';
import { exact, hashTag, type Keys } from './keys.ts';
import { APPEND, BROKER_SCRIPTS, limitsOf } from './scripts.ts';
import { type Argument, lossyRun, type Session } from './session.ts';

/** Maximum batches in flight: the server always has the next one available, and waiting items form larger batches. */
const BATCHES = 4;
const BATCH_ITEMS = 128;
/** UTF-16 units of text after which a batch is full, so that no script blocks the server for long. */
const BATCH_TEXT = 262_144;
const OVERDUE_MS = 1_000;
/** The script's results for a publication that it did not store. */
const DUPLICATE = 1;
const ELSEWHERE = 2;

/** A publication between its acceptance and its answer. */
export interface Pending {
  readonly number: number;
  readonly publication: Publication;
  readonly topic: string;
  /** With partitions, publications of the same partition may share a script. */
  readonly shard: string;
  readonly body: string;
  readonly idempotenceKey: string;
  /** Where the server stored it; null while unknown. */
  place: { readonly sequence: number; readonly epoch: string } | null;
  answeredAt: number;
  /** The number of connections it was delivered to; null until it has arrived. */
  delivered: number | null;
  /** The batch whose confirmation is awaited; null if none is. */
  confirming: readonly Pending[] | null;
  confirmed: Confirmed;
  /** Its sender's later publications no longer wait for it. */
  isPassed: boolean;
  resolve(published: Published): void;
  reject(error: Error): void;
}

export interface PublisherEvents {
  /** The current time in milliseconds. */
  now(): number;
  /** Whether an event is still on its way to this node's members. */
  expects(topic: string, channel: string, epoch: string, sequence: number): boolean;
  /** An event was published a while ago and has not arrived. */
  overdue(pending: Pending): void;
  /** The server refused to store it: nothing was stored. */
  refused(pending: Pending, reason: string): void;
  stored(): void;
  /** The server cannot take writes now. */
  unfit(session: Session, reason: string): void;
}

/**
 * Sends publications to the server, many per script and several scripts concurrently, and keeps each until it is
 * answered.
 *
 * A publication is answered when its event has come back through the feed (so that its delivery is counted, in stream
 * order), or by the script if this node does not follow its room or it was a duplicate. When the connection is lost,
 * unanswered publications are resent in order on the next one; their tags make that safe.
 */
export class Publisher {
  private readonly origin: string;
  private readonly keys: Keys;
  private readonly events: PublisherEvents;
  private readonly pending = new Map<number, Pending>();
  private readonly drained: (() => void)[] = [];
  private unsent: Pending[] = [];
  private session: Session | null = null;
  private durability: Durability = 'memory';
  /** Topics of rooms known to be in this server's index. */
  private readonly indexed = new Set<string>();
  private readonly order = new SenderOrder();
  private outstanding = 0;
  private retrying = false;
  private scheduled = false;
  private count = 0;
  private readonly overdue: NodeJS.Timeout;
  /** Publications that the server answered. */
  operations = 0;

  constructor(origin: string, keys: Keys, events: PublisherEvents) {
    this.origin = origin;
    this.keys = keys;
    this.events = events;
    this.overdue = setInterval(() => this.lookForOverdue(), OVERDUE_MS);
    this.overdue.unref();
  }

  publish(publication: Publication): Promise<Published> {
    return new Promise((resolve, reject) => {
      const { stream, draft, identity } = publication;
      this.count += 1;
      const tag = `${this.origin}.${this.count}`;
      const { dedupeMs = IDEMPOTENCE_WINDOW_MS } = publication;
      const topic = this.keys.topic(stream.tenant, stream.room);
      const pending: Pending = {
        number: this.count,
        publication,
        topic,
        shard: this.keys.partitioned ? hashTag(topic) : '',
        body: encodeBody(tag, draft, identity),
        idempotenceKey:
          dedupeMs > 0 ? this.keys.idempotence(stream, draft.id, exact(identity)) : this.keys.once(stream, tag),
        place: null,
        answeredAt: 0,
        delivered: null,
        confirming: null,
        confirmed: null,
        isPassed: false,
        resolve,
        reject,
      };
      this.pending.set(pending.number, pending);
      this.unsent.push(pending);
      this.schedule();
    });
  }

  /** A publication of this process arrived in the feed. */
  arrived(number: number, entry: Entry, delivered: number): void {
    const pending = this.pending.get(number);
    if (pending === undefined) return;
    pending.place = { sequence: entry.sequence, epoch: entry.epoch };
    pending.delivered = delivered;
    this.conclude(pending);
  }

  /** Sends on this session, starting with the unanswered publications of earlier ones, in order. */
  resume(session: Session): void {
    this.session = session;
    this.durability = session.durability;
    this.indexed.clear();
    this.outstanding = 0;
    this.again();
  }

  suspend(): void {
    this.session = null;
  }

  /** Answers publications whose event will no longer arrive. */
  release(): void {
    for (const pending of this.pending.values()) this.conclude(pending);
  }

  /** The server is unavailable: stored publications are answered, the rest is passed to `decide` in order. */
  abandon(decide: (pending: Pending) => void): void {
    const all = [...this.pending.values()];
    this.unsent = [];
    for (const pending of all) {
      if (pending.place !== null) this.settle(pending, pending.place, pending.delivered ?? 0, false);
      else this.hand(pending, decide);
    }
  }

  /** Resolves when no publication is pending. */
  drain(): Promise<void> {
    return this.pending.size === 0 ? Promise.resolve() : new Promise((resolve) => this.drained.push(resolve));
  }

  close(): void {
    clearInterval(this.overdue);
    this.session = null;
  }

  private schedule(): void {
    if (this.scheduled || this.session === null) return;
    this.scheduled = true;
    // Publications of one turn of the event loop share a script.
    setImmediate(() => {
      this.scheduled = false;
      this.flush();
    });
  }

  private flush(): void {
    while (this.session !== null && !this.retrying && this.outstanding < BATCHES) {
      const batch = this.cut(this.session.partitioned);
      if (batch.length === 0) break;
      this.send(this.session, batch);
    }
  }

  /** Takes the next batch from the queue. */
  private cut(isPartitioned: boolean): Pending[] {
    if (isPartitioned) {
      const [batch, waiting] = this.order.cut(this.unsent, BATCH_ITEMS, BATCH_TEXT);
      this.unsent = waiting;
      return batch;
    }
    let size = 0;
    let text = 0;
    for (const pending of this.unsent) {
      if (size === BATCH_ITEMS || text >= BATCH_TEXT) break;
      size += 1;
      text += pending.body.length;
    }
    return this.unsent.splice(0, size);
  }

  private send(session: Session, batch: readonly Pending[]): void {
    const keys: string[] = [];
    const args: Argument[] = [randomToken(16), lossyRun(session), IDEMPOTENCE_WINDOW_MS];
    args.push(session.cluster ? 'SPUBLISH' : 'PUBLISH');
    for (const { publication, topic, body, idempotenceKey, number } of batch) {
      const { stream, retention, dedupeMs = IDEMPOTENCE_WINDOW_MS, expect, firstSequence = 1 } = publication;
      if (!this.indexed.has(topic)) this.index(session, topic, stream);
      keys.push(this.keys.stream(stream), this.keys.room(stream.tenant, stream.room), idempotenceKey);
      const [size, ttl, most, keeps] = limitsOf(retention);
      args.push(stream.channel, `${this.origin}.${number}`, size, ttl, most, topic, body, keeps);
      args.push(Math.max(0, Math.ceil(dedupeMs)), firstSequence, expect === undefined ? '' : expected(expect));
    }
    this.outstanding += 1;
    const { answers: answered, confirmed } = session.append(APPEND, keys, args);
    if (confirmed !== null) this.awaitConfirmation(batch, confirmed);
    answered.then(
      (answers) => {
        if (this.session !== session) return;
        this.outstanding -= 1;
        for (const [index, pending] of batch.entries()) this.answer(session, pending, (answers as string[][])[index]);
        this.next(session);
      },
      (error: Error) => {
        if (this.session !== session) return;
        this.outstanding -= 1;
        // Without an answer the outcome is unknown: such a batch waits for the next connection.
        const answered = error.name === 'ReplyError';
        if (!answered && session.cluster) this.retrying = true;
        else if (!answered) this.events.unfit(session, error.message);
        else for (const pending of batch) this.fail(session, pending, error.message);
        this.next(session);
      },
    );
  }

  /** Adds a room to its tenant's index, before its first event. */
  private index(session: Session, topic: string, { tenant, room }: StreamAddress): void {
    this.indexed.add(topic);
    Promise.all([
      session.command('sadd', this.keys.tenants, tenant),
      session.command('sadd', this.keys.rooms(tenant), room),
    ]).catch(() => this.indexed.delete(topic));
  }

  private answer(session: Session, pending: Pending, answer: readonly (string | number)[] = []): void {
    const [sequence, epoch, outcome, id] = answer;
    if (epoch === undefined) {
      this.fail(session, pending, String(sequence ?? 'the script gave no answer'));
      return;
    }
    this.operations += 1;
    this.events.stored();
    // An empty room may have been removed from the index.
    if (Number(sequence) === 1) this.index(session, pending.topic, pending.publication.stream);
    if (!this.pending.has(pending.number)) return;
    const place = { sequence: Number(sequence), epoch: String(epoch) };
    if (Number(outcome) === ELSEWHERE) {
      const lastId = id === '' || id === undefined ? null : String(id);
      this.hand(pending, ({ reject }) => reject(conflict({ ...place, lastId })));
      return;
    }
    pending.place = place;
    pending.answeredAt = this.events.now();
    if (Number(outcome) === DUPLICATE) this.settle(pending, place, 0, true);
    else this.conclude(pending);
  }

  private fail(session: Session, pending: Pending, reason: string): void {
    const meaning = verdict(reason);
    if (meaning === 'reconnect') this.events.unfit(session, reason);
    else if (meaning === 'retry') this.retrying = true;
    else this.hand(pending, (each) => this.events.refused(each, reason));
  }

  private next(session: Session): void {
    if (this.session !== session) return;
    if (!this.retrying) this.flush();
    else if (this.outstanding === 0) this.retry(session);
  }

  private retry(session: Session): void {
    // Everything sent is answered, so a retry keeps the order.
    session.load(BROKER_SCRIPTS).then(
      () => {
        if (this.session === session) this.again();
      },
      (error: Error) => {
        if (this.session === session) this.events.unfit(session, error.message);
      },
    );
  }

  private again(): void {
    this.retrying = false;
    this.order.reset();
    this.unsent = [...this.pending.values()].filter((pending) => pending.place === null);
    this.flush();
  }

  /** The acks of a batch wait until it is known whether replicas or disks have it. */
  private awaitConfirmation(batch: readonly Pending[], confirmed: Promise<Confirmed>): void {
    for (const pending of batch) pending.confirming = batch;
    confirmed.then((promised) => {
      for (const pending of batch) {
        // If it was sent again, it waits for that batch's confirmation.
        if (pending.confirming !== batch) continue;
        pending.confirming = null;
        pending.confirmed = promised;
        this.conclude(pending);
      }
    });
  }

  /** Answers a publication once nothing is pending for it. */
  private conclude(pending: Pending): void {
    if (pending.place === null) return;
    if (pending.delivered === null && this.isExpected(pending)) return;
    this.pass(pending);
    if (pending.confirming !== null) return;
    this.settle(pending, pending.place, pending.delivered ?? 0, false);
  }

  private isExpected({ topic, publication, place }: Pending): boolean {
    return place !== null && this.events.expects(topic, publication.stream.channel, place.epoch, place.sequence);
  }

  private lookForOverdue(): void {
    const now = this.events.now();
    for (const pending of this.pending.values()) {
      if (pending.place !== null && now - pending.answeredAt >= OVERDUE_MS) this.events.overdue(pending);
    }
  }

  private settle(
    pending: Pending,
    place: { readonly sequence: number; readonly epoch: string },
    delivered: number,
    duplicate: boolean,
  ): void {
    const stored = pending.confirmed ?? this.durability;
    this.hand(pending, ({ resolve }) => resolve({ stored, delivered, duplicate, ...place }));
  }

  /** Its position is known: its sender's next publication may go to another server. */
  private pass(pending: Pending): void {
    if (pending.isPassed || !this.session?.partitioned) return;
    pending.isPassed = true;
    this.order.done(pending);
    this.schedule();
  }

  private hand(pending: Pending, decide: (pending: Pending) => void): void {
    if (!this.pending.delete(pending.number)) return;
    this.pass(pending);
    decide(pending);
    if (this.pending.size > 0) return;
    for (const resolve of this.drained.splice(0)) resolve();
  }
}

/** An expectation in the script's format. */
function expected(expect: Expectation): string {
  return 'lastId' in expect ? `=${expect.lastId}` : `${expect.sequence} ${expect.epoch ?? ''}`;
}

/**
 * Builds batches for several servers. A batch belongs to one shard, and so to one server. Shards are on servers that
 * are independent of each other, so a sender's publication to another shard waits until its previous ones have come
 * back. Thus its own node sees them in the order sent; another node may not, for as long as the cluster takes to
 * forward an event.
 */
export class SenderOrder {
  private readonly senders = new Map<string, { readonly shard: string; open: number }>();

  /**
   * Selects the next batch: the shard of the first publication that may be sent, and all that may go with it. Returns
   * the batch and the publications that keep waiting.
   */
  cut(unsent: readonly Pending[], mostItems: number, mostText: number): [batch: Pending[], waiting: Pending[]] {
    const batch: Pending[] = [];
    const waiting: Pending[] = [];
    const overtaken = new Set<string>();
    let text = 0;
    for (const pending of unsent) {
      const { identity } = pending.publication;
      const shard = batch[0]?.shard ?? pending.shard;
      const sent = this.senders.get(identity);
      const free = pending.shard === shard && (sent === undefined || sent.shard === shard) && !overtaken.has(identity);
      if (free && batch.length < mostItems && text < mostText) {
        batch.push(pending);
        text += pending.body.length;
        this.sent(identity, shard);
      } else {
        waiting.push(pending);
        overtaken.add(identity);
      }
    }
    return [batch, waiting];
  }

  /** A publication in a batch was stored. */
  done({ publication: { identity } }: Pending): void {
    const sender = this.senders.get(identity);
    if (sender === undefined) return;
    sender.open -= 1;
    if (sender.open <= 0) this.senders.delete(identity);
  }

  /** Everything unanswered will be batched again. */
  reset(): void {
    this.senders.clear();
  }

  private sent(identity: string, shard: string): void {
    const sender = this.senders.get(identity);
    if (sender === undefined) this.senders.set(identity, { shard, open: 1 });
    else sender.open += 1;
  }
}
