import { seal } from '@arqonbus/protocol';
import type { EngineEvents, KeyChange, NodeMessage, StreamAddress } from '../engine.ts';
import { unavailable } from '../server-link.ts';
import type { Cursor, Interest, Standing } from './interest.ts';
import { fromKeyBytes } from './names.ts';
import type { Row, Session } from './session.ts';

/** Maximum polling interval, whether or not this node is notified. */
const POLL_MS = 100;
/** How often the time since the last look is checked. */
const TICK_MS = 25;
/** Maximum messages per look. */
const MOST_MESSAGES = 10_000;
/** Limit for bodies fetched at once. */
const MOST_BYTES = 4 * 1_048_576;
const MOST_ROWS = 500;
/** Of up to 1 MiB each. */
const MOST_SIGNALS = 16;
const MOST_NAMES = 100_000;
/** How often to check how much of what was seen has reached the server's disk. */
const PROOF_MS = 200;

/** The content of a pending publication of this process, so that the feed need not read it back. */
export interface OwnEvent {
  readonly id: string;
  readonly from: string;
  readonly identity: string;
  readonly open: string;
}

export interface FeedEvents {
  /** A publication of this process by its number, if it is still pending. */
  own(number: number): OwnEvent | undefined;
  /** It was delivered to this many connections. */
  arrived(number: number, delivered: number): void;
  changed(change: KeyChange): void;
  /** The spaces watched on this node. */
  watched(): readonly string[];
  /** The outbox contains events to be moved to their streams. */
  outbox(): void;
  failed(session: Session, error: unknown): void;
}

/** A message without its body. */
interface Headline {
  readonly position: number;
  readonly item: number;
  readonly ref: number;
  readonly sequence: number;
  /** The number of this process's publication; null for another process's. */
  readonly number: number | null;
  readonly bytes: number;
}

/** The result of one look. */
interface News {
  readonly snapshot: Snapshot;
  readonly messages: Headline[];
  readonly signals: number[];
  readonly changes: number[];
  readonly standings: Standing[];
  readonly hasOutbox: boolean;
}

/** What a transaction sees: everything below `xmax` except those in progress. */
interface Snapshot {
  readonly xmax: string;
  readonly xip: readonly string[];
}

/** A snapshot, and the position in the server's log that includes everything the snapshot saw as completed. */
interface Unproven {
  readonly snapshot: Snapshot;
  readonly log: number;
}

interface Place {
  readonly position: number;
  readonly item: number;
}

const START: Place = { position: -1, item: 0 };

interface Reading {
  readonly promise: Promise<void>;
  resolve(): void;
  reject(error: Error): void;
}

/**
 * Reads what was committed since this node last looked, whoever stored it: each look starts from the snapshot of the
 * previous one, so that nothing is missed and nothing is read twice, however transactions overlap.
 *
 * After a crash a server may reuse the numbers of transactions whose end was not yet on disk, such as that of a
 * notification. So a new connection continues from the last snapshot that is completely on the server's disk.
 */
export class Feed {
  private readonly node: string;
  private readonly origin: string;
  private readonly engine: EngineEvents;
  private readonly events: FeedEvents;
  private readonly interest: Interest;
  private readonly names = new Map<number, { readonly stream: StreamAddress; readonly epoch: string } | null>();
  private readonly timer: NodeJS.Timeout;
  private snapshot: Snapshot | null = null;
  /** The last snapshot that no crash can invalidate; null before the first connection. */
  private proven: Snapshot | null = null;
  private unproven: Unproven | null = null;
  private lastProof = 0;
  /** Signals and changes already reported that the proven snapshot, or the unproven one, does not include. */
  private told: Set<number> = new Set();
  private toldSince: Set<number> = new Set();
  private lineage = '';
  private session: Session | null = null;
  private closed = false;
  private underWay = false;
  private isDue = false;
  private lastLook = 0;
  /** Callers waiting for the next look to start. */
  private next: Reading | null = null;

  constructor(names: { node: string; origin: string }, interest: Interest, engine: EngineEvents, events: FeedEvents) {
    this.node = names.node;
    this.origin = names.origin;
    this.interest = interest;
    this.engine = engine;
    this.events = events;
    this.timer = setInterval(() => {
      if (performance.now() - this.lastLook >= POLL_MS - TICK_MS) this.wake();
    }, TICK_MS);
    this.timer.unref();
  }

  /** Starts on a new connection: where the last one was, or from now. */
  async establish(session: Session): Promise<void> {
    const { lineage } = session.state;
    this.unproven = null;
    if (this.snapshot !== null && lineage !== this.lineage) {
      // This server may not have what the last one reported: members are brought up to date from history.
      this.snapshot = null;
      this.interest.restart();
      this.names.clear();
    }
    this.lineage = lineage;
    if (this.snapshot !== null) {
      this.snapshot = this.proven;
      return;
    }
    const [row] = await session.read('SELECT pg_current_snapshot()::text AS body');
    // What is committed after the look is on disk together with everything before it.
    await session.query(`SELECT pg_logical_emit_message(true, 'arqon', '')`);
    this.snapshot = snapshotOf(String(row?.body));
    this.proven = this.snapshot;
  }

  start(session: Session): void {
    this.session = session;
    this.wake();
  }

  stop(): void {
    this.session = null;
  }

  /** Rejects those still waiting. */
  abandon(reason: string): void {
    this.next?.reject(unavailable(reason));
    this.next = null;
  }

  close(): void {
    this.closed = true;
    clearInterval(this.timer);
    this.stop();
    this.abandon('the engine was closed.');
  }

  /** Signals that there may be something new. */
  wake(): void {
    this.isDue = true;
    this.look();
  }

  /** Resolves when everything committed by now has been delivered. Rejects when the server is unavailable. */
  pass(): Promise<void> {
    if (this.closed) return Promise.reject(unavailable('the engine was closed.'));
    this.next ??= reading();
    const { promise } = this.next;
    this.wake();
    return promise;
  }

  private look(): void {
    const { session } = this;
    if (session === null || this.underWay || !this.isDue) return;
    const waiting = this.next;
    this.next = null;
    this.isDue = false;
    this.underWay = true;
    this.lastLook = performance.now();
    this.readOn(session).then(
      () => {
        this.underWay = false;
        waiting?.resolve();
        this.look();
      },
      (error) => {
        this.underWay = false;
        this.isDue = true;
        this.wait(waiting);
        this.events.failed(session, error);
        this.look();
      },
    );
  }

  /** Callers waiting for a failed look wait for the next one. */
  private wait(waiting: Reading | null): void {
    if (waiting === null) return;
    if (this.next === null) this.next = waiting;
    else this.next.promise.then(waiting.resolve, waiting.reject);
  }

  private async readOn(session: Session): Promise<void> {
    const wishes = this.interest.wishes;
    const first = await this.read(session, START, wishes);
    let isFurther = false;
    for (let news = first; ; ) {
      const isWhole = await this.handOn(session, news.messages, isFurther);
      if (isWhole && news.messages.length < MOST_MESSAGES) break;
      // A restart repeats nothing: members' progress is known by sequence.
      isFurther = isWhole;
      news = await this.read(session, isWhole ? news.messages.at(-1)! : START, []);
    }
    await this.tellSignals(session, first.signals);
    await this.tellChanges(session, first.changes);
    // What was committed while further pages were read is included in the next look.
    this.snapshot = first.snapshot;
    await this.prove(session, first.snapshot);
    for (const { tenant, room } of this.interest.follow(wishes, first.standings)) this.engine.gap(tenant, room);
    if (first.hasOutbox) this.events.outbox();
  }

  /** Periodically checks how much of the server's log is on its disk: a snapshot before that position is proven. */
  private async prove(session: Session, snapshot: Snapshot): Promise<void> {
    if (performance.now() - this.lastProof < PROOF_MS) return;
    this.lastProof = performance.now();
    const [row] = await session.read(
      `SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::float8 AS log,
         pg_wal_lsn_diff(pg_current_wal_flush_lsn(), '0/0')::float8 AS flushed`,
    );
    if (this.unproven !== null && Number(row?.flushed) >= this.unproven.log) {
      this.proven = this.unproven.snapshot;
      this.told = this.toldSince;
      this.toldSince = new Set();
      this.unproven = null;
    }
    if (this.unproven !== null) return;
    for (const position of this.toldSince) this.told.add(position);
    this.toldSince = new Set();
    this.unproven = { snapshot, log: Number(row?.log) };
  }

  private async read(
    session: Session,
    after: Place,
    wishes: readonly { tenant: string; room: string }[],
  ): Promise<News> {
    const { xmax, xip } = this.snapshot ?? { xmax: '0', xip: [] };
    for (;;) {
      const spaces = this.events.watched();
      const rows = await session.read(
        'SELECT * FROM arqon_read($1::text::xid8, $2::text[]::xid8[], $3, $4, $5, $6, $7, $8, $9, $10)',
        [
          ...[xmax, xip, after.position, after.item, this.interest.isEmpty ? 0 : MOST_MESSAGES, this.node, this.origin],
          spaces,
          wishes.map(({ tenant }) => tenant),
          wishes.map(({ room }) => room),
        ],
      );
      // If a space started to be watched in the meantime, some of its changes may have been skipped.
      if (this.events.watched().length === spaces.length) return newsOf(rows);
    }
  }

  /** Delivers messages in order. Returns false if one is missing that another page must contain. */
  private async handOn(session: Session, messages: readonly Headline[], isFurtherPage: boolean): Promise<boolean> {
    await this.learn(session, messages);
    for (let from = 0; from < messages.length; ) {
      let to = from;
      for (let bytes = 0; to < messages.length && to - from < MOST_ROWS && bytes < MOST_BYTES; to += 1) {
        bytes += messages[to]!.bytes;
      }
      const wanted = messages.slice(from, to).filter((one) => this.isNews(one));
      const bodies = await this.fetch(session, wanted);
      for (const headline of wanted) {
        if (this.isNews(headline) && !this.deliver(headline, bodies, isFurtherPage)) return false;
      }
      from = to;
    }
    return true;
  }

  private isNews({ ref, sequence }: Headline): boolean {
    const cursor = this.cursorOf(ref);
    return cursor !== undefined && sequence > cursor.last;
  }

  private deliver(headline: Headline, bodies: ReadonlyMap<string, OwnEvent>, isFurtherPage: boolean): boolean {
    const { ref, sequence, number } = headline;
    const cursor = this.cursorOf(ref)!;
    const { stream, epoch } = cursor;
    const event = bodies.get(`${ref} ${sequence}`);
    if (sequence > cursor.last + 1 || event === undefined) {
      if (isFurtherPage && event !== undefined) return false;
      // Retention was faster than this node.
      this.engine.gap(stream.tenant, stream.room);
    }
    cursor.last = sequence;
    if (event === undefined) return true;
    const { id, from, identity, open } = event;
    const delivered = this.engine.deliver({ stream, sequence, id, from, identity, text: seal(open, sequence, epoch) });
    if (number !== null) this.events.arrived(number, delivered);
    return true;
  }

  /** Undefined when this node does not want the stream. */
  private cursorOf(ref: number): Cursor | undefined {
    const known = this.interest.cursor(ref);
    if (known !== undefined) return known;
    const name = this.names.get(ref);
    if (name === undefined || name === null || !this.interest.isFollowed(name.stream.tenant, name.stream.room))
      return undefined;
    return this.interest.begin(ref, name.stream, name.epoch);
  }

  /** Looks up the names of unknown streams. */
  private async learn(session: Session, messages: readonly Headline[]): Promise<void> {
    const unknown = new Set<number>();
    for (const { ref } of messages) {
      if (this.interest.cursor(ref) === undefined && !this.names.has(ref)) unknown.add(ref);
    }
    if (unknown.size === 0) return;
    if (this.names.size + unknown.size > MOST_NAMES) this.names.clear();
    const rows = await session.read(
      'SELECT id, tenant, room, channel, epoch FROM arqon_streams WHERE id = ANY ($1::bigint[])',
      [[...unknown]],
    );
    // A missing stream was dropped, along with its events.
    for (const ref of unknown) this.names.set(ref, null);
    for (const { id, tenant, room, channel, epoch } of rows as unknown as NamedRow[]) {
      this.names.set(id, { stream: { tenant, room, channel }, epoch });
    }
  }

  private async fetch(session: Session, wanted: readonly Headline[]): Promise<Map<string, OwnEvent>> {
    const bodies = new Map<string, OwnEvent>();
    const missing = wanted.filter(({ ref, sequence, number }) => {
      const own = number === null ? undefined : this.events.own(number);
      if (own !== undefined) bodies.set(`${ref} ${sequence}`, own);
      return own === undefined;
    });
    if (missing.length === 0) return bodies;
    const rows = await session.read(
      `SELECT m.stream, m.sequence, m.id, m.sender, m.identity, m.body
       FROM unnest($1::bigint[], $2::bigint[]) w (stream, sequence)
       JOIN arqon_messages m ON m.stream = w.stream AND m.sequence = w.sequence`,
      [missing.map(({ ref }) => ref), missing.map(({ sequence }) => sequence)],
    );
    for (const { stream, sequence, id, sender, identity, body } of rows as unknown as BodyRow[]) {
      bodies.set(`${stream} ${sequence}`, {
        id,
        from: sender,
        identity: JSON.parse(`"${identity}"`) as string,
        open: body,
      });
    }
    return bodies;
  }

  private async tellSignals(session: Session, positions: readonly number[]): Promise<void> {
    await this.tell(positions, MOST_SIGNALS, async (some) => {
      const rows = await session.read(
        'SELECT position, body FROM arqon_signals WHERE position = ANY ($1::bigint[]) ORDER BY position',
        [some],
      );
      return rows.map((row) => () => this.engine.receive(JSON.parse(String(row.body)) as NodeMessage));
    });
  }

  private async tellChanges(session: Session, positions: readonly number[]): Promise<void> {
    await this.tell(positions, MOST_ROWS, async (some) => {
      const rows = await session.read(
        `SELECT space, tenant, namespace, key, operation, version, value FROM arqon_changes
         WHERE position = ANY ($1::bigint[]) ORDER BY position`,
        [some],
      );
      return (rows as unknown as ChangeRow[]).map((row) => () => this.events.changed(changeOf(row)));
    });
  }

  /** Reports each once, even if a look that failed halfway is repeated. */
  private async tell(
    positions: readonly number[],
    most: number,
    fetch: (some: readonly number[]) => Promise<(() => void)[]>,
  ): Promise<void> {
    const untold = positions.filter((position) => !this.told.has(position) && !this.toldSince.has(position));
    for (let from = 0; from < untold.length; from += most) {
      const some = untold.slice(from, from + most);
      for (const tell of await fetch(some)) tell();
      for (const position of some) this.toldSince.add(position);
    }
  }
}

interface NamedRow {
  readonly id: number;
  readonly tenant: string;
  readonly room: string;
  readonly channel: string;
  readonly epoch: string;
}

interface BodyRow {
  readonly stream: number;
  readonly sequence: number;
  readonly id: string;
  readonly sender: string;
  readonly identity: string;
  readonly body: string;
}

interface ChangeRow {
  readonly space: string;
  readonly tenant: string;
  readonly namespace: Uint8Array;
  readonly key: Uint8Array;
  readonly operation: KeyChange['operation'];
  readonly version: number;
  readonly value: string | null;
}

function changeOf({ space, tenant, namespace, key, operation, version, value }: ChangeRow): KeyChange {
  return {
    at: { tenant, space, namespace: fromKeyBytes(namespace) },
    key: fromKeyBytes(key),
    operation,
    version,
    value,
  };
}

function newsOf(rows: readonly Row[]): News {
  let snapshot: Snapshot = { xmax: '0', xip: [] };
  let hasOutbox = false;
  const messages: Headline[] = [];
  const signals: number[] = [];
  const changes: number[] = [];
  const standings: Standing[] = [];
  for (const row of rows) {
    const { kind, position, item, ref, sequence, number, bytes, body } = row;
    if (kind === 'message') messages.push({ position, item, ref, sequence, number, bytes } as Headline);
    else if (kind === 'signal') signals.push(position as number);
    else if (kind === 'change') changes.push(position as number);
    else if (kind === 'outbox') hasOutbox = true;
    else if (kind === 'snapshot') snapshot = snapshotOf(body as string);
    else {
      const [tenant = '', room = '', channel = '', epoch = ''] = (body as string).split('\n');
      standings.push({ ref: ref as number, stream: { tenant, room, channel }, epoch, sequence: sequence as number });
    }
  }
  return { snapshot, messages, signals, changes, standings, hasOutbox };
}

/** Parses `XMIN:XMAX:XIP,XIP,…`. */
function snapshotOf(text: string): Snapshot {
  const [, xmax = '0', xip = ''] = text.split(':');
  return { xmax, xip: xip === '' ? [] : xip.split(',') };
}

function reading(): Reading {
  let resolve!: () => void;
  let reject!: (error: Error) => void;
  const promise = new Promise<void>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  promise.catch(() => {});
  return { promise, resolve, reject };
}
