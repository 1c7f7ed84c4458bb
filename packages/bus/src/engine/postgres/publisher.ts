import { type BusError, IDEMPOTENCE_WINDOW_MS, randomToken } from '@arqonbus/protocol';
import { type Durability, type Publication, type Published, type Retention, streamKey } from '../engine.ts';
import { conflict } from '../expectation.ts';
import { REST_MS } from '../rest.ts';
import { Batcher } from './batcher.ts';
import type { OwnEvent } from './feed.ts';
import { spelled } from './names.ts';
import type { Parameter, Session } from './session.ts';

const EPOCH_LENGTH = 16;
/** The size of a publication besides its text, in characters. */
const OVERHEAD = 400;

/** A publication being stored; the feed finds it by its number when it arrives. */
interface Numbered {
  readonly publication: Publication;
  readonly number: number;
}

/** Where the database stored it. */
interface Placed {
  readonly sequence: number;
  readonly epoch: string;
  readonly isDuplicate: boolean;
  /** The error for a publication whose expectation failed; it was not stored. */
  readonly refusal: BusError | null;
  readonly stored: Durability;
  /** Resolves when this node's members have received its whole transaction; null when none of them wants it. */
  readonly passed: Promise<void> | null;
}

interface Own {
  readonly event: OwnEvent;
  delivered: number;
}

export interface PublisherParts {
  /** Like {@link Link.ask}. */
  ask<T>(work: (session: Session, again: boolean) => Promise<T>): Promise<T>;
  isFollowed(tenant: string, room: string): boolean;
  /** Something was committed: this node and others must read it. Resolves when this node has. */
  committed(): Promise<void>;
  /** A stream, identified by its row id, has grown. */
  touched(stream: number): void;
}

/**
 * Stores what this node publishes: everything that arrives while one transaction is in progress goes into the next, in
 * order, on one connection. A publication is answered once this node's members have received it through the feed, like
 * all events.
 */
export class Publisher {
  /** Publications that were answered. */
  operations = 0;
  private readonly origin: string;
  private readonly parts: PublisherParts;
  private readonly own = new Map<number, Own>();
  private readonly batcher: Batcher<Numbered, Placed>;
  private lastNumber = 0;

  constructor(origin: string, parts: PublisherParts) {
    this.origin = origin;
    this.parts = parts;
    this.batcher = new Batcher((items) => this.store(items), fits);
  }

  async publish(publication: Publication): Promise<Published> {
    const { id, from, open } = publication.draft;
    this.lastNumber += 1;
    const number = this.lastNumber;
    const own: Own = { event: { id, from, identity: publication.identity, open }, delivered: 0 };
    this.own.set(number, own);
    try {
      const placed = await this.batcher.add({ publication, number }, open.length + OVERHEAD);
      const { sequence, epoch, isDuplicate: duplicate, stored, passed } = placed;
      if (placed.refusal !== null) throw placed.refusal;
      // If the server becomes unavailable now, it is stored anyway, and delivered when the server is back.
      if (!duplicate && passed !== null) await passed.catch(() => {});
      this.operations += 1;
      return { sequence, epoch, stored, delivered: own.delivered, duplicate };
    } finally {
      this.own.delete(number);
    }
  }

  find(number: number): OwnEvent | undefined {
    return this.own.get(number)?.event;
  }

  arrived(number: number, delivered: number): void {
    const own = this.own.get(number);
    if (own !== undefined) own.delivered = delivered;
  }

  /** Rejects new publications from now on; resolves when all pending ones are stored or rejected. */
  close(): Promise<void> {
    return this.batcher.close();
  }

  private async store(items: readonly Numbered[]): Promise<Placed[]> {
    const { streams, parameters } = layOut(items, this.origin);
    const tag = randomToken(26);
    const [answer, stored] = await this.parts.ask(async (session, again) => {
      const [row] = await session.write(APPEND, [tag, again, ...parameters]);
      return [JSON.parse(String(row?.answer)) as Answer, session.state.durability] as const;
    });
    for (const stream of answer.streams) this.parts.touched(stream);
    const isWanted = items.some(({ publication: { stream } }) => this.parts.isFollowed(stream.tenant, stream.room));
    const committed = this.parts.committed();
    committed.catch(() => {});
    return items.map(({ publication: { stream } }, index) => {
      const [sequence, outcome] = answer.rows[index]!;
      const at = streams[index]! - 1;
      const epoch = answer.epochs[at]!;
      const standing = { sequence: answer.sequences[at]!, epoch, lastId: answer.ids[at] ?? null };
      return {
        ...{ sequence, epoch, stored },
        isDuplicate: outcome === DUPLICATE,
        refusal: outcome === ELSEWHERE ? conflict(standing) : null,
        passed: isWanted && this.parts.isFollowed(stream.tenant, stream.room) ? committed : null,
      };
    });
  }
}

const STORED = 0;
const DUPLICATE = 1;
const ELSEWHERE = 2;

/** The result of `arqon_append`. */
interface Answer {
  /** The streams' row ids, and their epochs. */
  readonly streams: readonly number[];
  readonly epochs: readonly string[];
  readonly sequences: readonly number[];
  readonly ids: readonly (string | null)[];
  readonly rows: readonly (readonly [sequence: number, outcome: typeof STORED | typeof DUPLICATE | typeof ELSEWHERE])[];
}

export const APPEND =
  'SELECT arqon_append($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24) AS answer';

/**
 * Whether a publication may share a transaction with others: a stream has one retention per transaction, and a
 * publication with an expectation must be its stream's only one.
 */
function fits(batch: readonly Numbered[], { publication }: Numbered): boolean {
  const { stream, retention, expect } = publication;
  const key = streamKey(stream);
  const other = batch.findLast(({ publication }) => streamKey(publication.stream) === key)?.publication;
  if (other === undefined) return true;
  if (expect !== undefined || other.expect !== undefined) return false;
  return isSame(other.retention, retention) && windowOf(other) === windowOf(publication);
}

function isSame(one: Retention, other: Retention): boolean {
  if (one === other) return true;
  const isAlike = one.size === other.size && one.ttlMs === other.ttlMs && one.bytes === other.bytes;
  return isAlike && one.keepLast === other.keepLast;
}

/** A publication's deduplication window, in whole milliseconds. */
function windowOf({ dedupeMs = IDEMPOTENCE_WINDOW_MS }: Publication): number {
  return Math.max(0, Math.ceil(dedupeMs));
}

/** A stream's limits for SQL functions: size, time to live, bytes, whether the last event is always kept. */
export function limitsOf({
  size,
  ttlMs,
  bytes,
  keepLast = false,
}: Retention): [number, number, number | null, boolean] {
  return [keepLast ? Math.max(1, size) : size, ttlMs, bytes ?? null, keepLast];
}

/** The parameters of {@link APPEND} after the first two; `streams`: the index of each publication's stream, from 1. */
export function layOut(
  items: readonly Numbered[],
  origin: string,
): { readonly streams: readonly number[]; readonly parameters: Parameter[] } {
  const places = new Map<string, number>();
  const distinct: Publication[] = [];
  const streams = items.map(({ publication }) => {
    const key = streamKey(publication.stream);
    const known = places.get(key);
    if (known !== undefined) return known;
    distinct.push(publication);
    places.set(key, distinct.length);
    return distinct.length;
  });
  const column = <T>(of: (publication: Publication) => T): T[] => items.map(({ publication }) => of(publication));
  return {
    streams,
    parameters: [
      origin,
      REST_MS,
      distinct.map(({ stream }) => stream.tenant),
      distinct.map(({ stream }) => stream.room),
      distinct.map(({ stream }) => stream.channel),
      distinct.map(() => randomToken(EPOCH_LENGTH)),
      distinct.map(({ retention }) => limitsOf(retention)[0]),
      distinct.map(({ retention }) => limitsOf(retention)[1]),
      distinct.map(({ retention }) => limitsOf(retention)[2]),
      distinct.map(({ retention }) => (limitsOf(retention)[3] ? 't' : 'f')),
      distinct.map(windowOf),
      distinct.map(({ firstSequence = 1 }) => firstSequence),
      ...expectations(distinct),
      streams,
      items.map(({ number }) => number),
      column(({ draft }) => draft.id),
      column(({ identity }) => spelled(identity)),
      column(({ draft }) => draft.from),
      column(({ draft }) => draft.time),
      column(({ draft }) => draft.open),
    ],
  };
}

/** The expected positions of streams: sequences, epochs, ids of their last events. */
function expectations(publications: readonly Publication[]): Parameter[] {
  const column = <T>(of: (expect: NonNullable<Publication['expect']>) => T | undefined): (T | null)[] =>
    publications.map(({ expect }) => (expect === undefined ? null : (of(expect) ?? null)));
  return [
    column((expect) => ('sequence' in expect ? expect.sequence : undefined)),
    column((expect) => ('sequence' in expect ? expect.epoch : undefined)),
    column((expect) => ('lastId' in expect ? expect.lastId : undefined)),
  ];
}
