import { randomUUID } from 'node:crypto';
import { BusError, ERRORS, newId, randomToken } from '@arqonbus/protocol';
import type { Access } from '../access.ts';
import { type Clock, systemClock } from '../clock.ts';
import type { Sender } from '../connection/session.ts';
import type { Awaitable, Engine, NodeMessage } from '../engine/engine.ts';
import type { Inspection, Inspector } from '../inspection.ts';
import type { MemoryGuard } from '../memory.ts';
import type { NodeCalls } from '../node-calls.ts';
import type { Principal } from '../principal.ts';
import type { Outcome, Publisher } from '../publish.ts';
import type { Rooms } from '../rooms.ts';
import { requireBytes } from '../rules/admission.ts';
import { serverPrincipal, systemSender } from '../system-sender.ts';
import type { KnownStream, KnownStreams, StreamRecord } from './known.ts';
import { END_ID, markText, type StreamOutcome } from './mark.ts';
import {
  type Ended,
  type Operation,
  type OperationName,
  type Operations,
  StreamOwners,
  unknownStream,
} from './operations.ts';
import type { Pieces } from './pieces.ts';
import { StreamRecords } from './records.ts';
import type { StreamTexts } from './texts.ts';
import { Writers } from './writers.ts';
import { requireRoom, sizeOf, type TextLimits, WrittenStream } from './written.ts';

const TEXT_LIMITS: TextLimits = { maxBytes: 1_048_576, maxBytesTogether: 67_108_864 };
/** UTF-8 bytes of a payload around its text. */
const AROUND_TEXT = Buffer.byteLength('{"text":""}');
/** UTF-16 units of preceding text that the content policy inspects with an append. */
const INSPECTED_BEFORE = 4_096;
/** Remembered ends, for writers that close again because the response was lost. */
const MAX_REMEMBERED = 1_000;

export interface Opened {
  readonly id: string;
  readonly room: string;
  readonly channel: string;
  /** The length of a stream that was open already. */
  readonly offset?: number;
}

/** A stream in a list. */
export interface ListedStream {
  readonly id: string;
  readonly record: StreamRecord;
  readonly length: number;
}

export interface StreamQuery {
  readonly room: string | undefined;
  readonly channel: string | undefined;
  readonly after: string;
  readonly limit: number;
}

export interface TokenStreamsParts {
  readonly engine: Engine;
  readonly rooms: Rooms;
  readonly access: Access;
  readonly publisher: Publisher;
  readonly inspector: Inspector;
  readonly memory: MemoryGuard;
  readonly calls: NodeCalls;
  readonly known: KnownStreams;
  readonly texts: StreamTexts;
  readonly pieces: Pieces;
  readonly options: {
    readonly node: string;
    readonly clock?: Clock | undefined;
    readonly now: () => number;
    readonly onFault: (error: unknown) => void;
  };
}

/**
 * Texts that grow while they are read: opened, written and ended by their writers, sent piece by piece, and stored as
 * one event at their end. Checks permissions; {@link Pieces} sends the pieces to members.
 */
export class TokenStreams {
  private readonly parts: TokenStreamsParts;
  private readonly limits: TextLimits;
  private readonly clock: Clock;
  private readonly writers: Writers;
  private readonly owners: StreamOwners;
  /** Null when streams end with the process. */
  private readonly records: StreamRecords | null;
  /** Identifies this start of the node. */
  private readonly started: string = randomToken(20);
  /** By tenant and id, oldest first. */
  private readonly remembered: Map<string, { readonly identity: string; readonly ended: Ended }> = new Map();

  constructor(parts: TokenStreamsParts, limits: TextLimits = TEXT_LIMITS) {
    const { engine, known, texts, calls, rooms, options } = parts;
    const { node } = options;
    this.parts = parts;
    this.limits = limits;
    this.clock = options.clock ?? systemClock(options.now);
    this.writers = new Writers({ rooms, presence: engine.presence, calls, node });
    const isKept = engine.presence !== null || engine.backend !== 'memory';
    this.records = !isKept
      ? null
      : new StreamRecords({
          ...{ store: engine.store, known, node, run: this.started, clock: this.clock },
          hasOthers: engine.presence !== null,
          written: () => texts.all(),
          owns: (tenant, id) => texts.get(tenant, id) !== undefined,
          onTaken: (tenant, id, record, text, isOrphan) => this.takeUp(tenant, id, record, text, isOrphan),
          onLost: (tenant, id) => {
            const stream = texts.get(tenant, id);
            if (stream !== undefined) texts.remove(stream);
          },
          onFault: (error) => this.fault(error),
        });
    this.owners = new StreamOwners({ known, calls, records: this.records });
    calls.serve('stream.operate', (operation: Operation) => this.operateHere(operation));
  }

  start(): void {
    this.records?.start();
  }

  /** Loads the stored streams; called again after a storage outage. */
  async load(): Promise<void> {
    await this.records?.load();
  }

  /** Handles a piece from another node. */
  receive(message: NodeMessage): void {
    this.parts.pieces.receive(message);
  }

  /**
   * Opens a stream, or returns its length when the same writer has it open at the same channel. Rejects with
   * AUTHORIZATION_ERROR, ALREADY_EXISTS, LIMIT_EXCEEDED, and whatever refuses an event there.
   */
  async open(
    sender: Sender,
    at: { readonly room: string; readonly channel: string },
    ttlSeconds: number,
    given?: string,
  ): Promise<Opened> {
    const { room, channel } = at;
    const { tenant } = sender.principal;
    const { access, publisher, known, memory } = this.parts;
    access.require(sender.principal, 'publish', room, channel);
    const open = given === undefined ? null : await this.owners.find(tenant, given);
    if (given !== undefined && open !== null) return this.resume(sender, given, open, at);
    memory.requireRoom();
    publisher.admitSender(sender, at);
    known.requirePlace(tenant, sender.identity);
    publisher.target(sender, room, channel);
    const id = given ?? randomUUID();
    const record: StreamRecord = {
      ...{ room, channel, from: sender.id, identity: sender.identity, sender: sender.mark.record },
      ...{ opened_at: this.parts.options.now(), ttl_seconds: ttlSeconds },
      ...{ end_id: `${END_ID}${randomToken(20)}`, node: this.parts.options.node, run: this.started },
    };
    // Counts towards the limits from here on.
    const stream = known.open(tenant, id, record) as KnownStream;
    try {
      const other = (await this.records?.create(tenant, id, record)) ?? null;
      if (other !== null) {
        known.open(tenant, id, other);
        return await this.resume(sender, id, other, at);
      }
    } catch (error) {
      if (stream.record === record) known.gone(stream);
      throw error;
    }
    this.take(stream, record, sender.principal).known.shown = 0;
    return { id, room, channel };
  }

  /**
   * Appends to a stream; returns its new length in UTF-16 units. Throws or rejects with NOT_FOUND, AUTHORIZATION_ERROR,
   * LIMIT_EXCEEDED, RATE_LIMITED, and the errors of the content policy.
   */
  append(sender: Sender, id: string, text: string): Awaitable<number> {
    this.parts.memory.requireRoom();
    return this.operate(sender, id, 'append', { text });
  }

  /** Ends a stream: its text is published as one event. Throws or rejects with whatever refuses that event. */
  close(sender: Sender, id: string, state: StreamOutcome): Awaitable<Ended> {
    const { tenant } = sender.principal;
    const before = this.remembered.get(`${tenant}/${id}`);
    const isOpen = this.parts.texts.get(tenant, id) !== undefined;
    if (!isOpen && before !== undefined && before.identity === sender.identity) return before.ended;
    return this.operate(sender, id, 'close', { state });
  }

  /** Asks the writer to stop; resolves with the number of notices sent. Rejects with NOT_FOUND, AUTHORIZATION_ERROR. */
  async cancel(sender: Sender, id: string): Promise<number> {
    const { tenant } = sender.principal;
    const record = await this.owners.find(tenant, id);
    if (record === null) throw unknownStream(id);
    const { room, channel } = record;
    this.parts.access.require(sender.principal, 'subscribe', room, channel);
    const by = sender.mark.record;
    return this.writers.tell(tenant, record, { event: 'stream_cancel', stream_id: id, room, channel, by });
  }

  /** Open streams that a sender may read, by id, after `after` (exclusive); `more`: there are others. */
  async list(
    { principal }: Sender,
    { room, channel, after, limit }: StreamQuery,
  ): Promise<{ page: ListedStream[]; more: boolean }> {
    const { known, access, texts } = this.parts;
    const all = [...known.all(principal.tenant)]
      .filter((one) => one.id > after && (room ?? one.room) === one.room && (channel ?? one.channel) === one.channel)
      .filter((one) => access.may(principal, 'subscribe', one.room, one.channel))
      .sort((one, other) => (one.id < other.id ? -1 : 1));
    const streams = all.slice(0, limit);
    const lengths = await texts.lengths(streams);
    const page = streams.map(({ id, record }, at) => ({ id, record, length: lengths[at] ?? 0 }));
    return { page, more: all.length > limit };
  }

  /** Hands its streams over to other nodes that accept them. */
  async handOver(): Promise<void> {
    const { engine, texts } = this.parts;
    const streams = [...texts.all()];
    if (this.records === null || engine.presence === null || streams.length === 0) return;
    for (const stream of streams) {
      stream.show();
      texts.remove(stream);
    }
    let left: readonly WrittenStream[] = streams;
    try {
      left = await this.records.handOver(streams);
    } catch (error) {
      // A stream that another node took nevertheless ends under the same event id: it is stored once.
      this.fault(error);
    }
    for (const { known, record, principal, text } of left) this.take(known, record, principal).takeUp(text);
  }

  /** Hands its streams over, and ends those that no other node accepts. */
  async drain(): Promise<void> {
    await this.handOver();
    const { texts, options } = this.parts;
    const ends = [...texts.all()].map((stream) => this.end(stream, 'orphaned').catch(options.onFault));
    await Promise.all(ends);
  }

  async stop(): Promise<void> {
    for (const stream of [...this.parts.texts.all()]) this.parts.texts.remove(stream);
    await this.records?.stop();
  }

  // Streams of this node ----------------------------------------------------------------------------------------------

  private take(stream: KnownStream, record: StreamRecord, principal: Principal): WrittenStream {
    const { pieces, texts } = this.parts;
    const written = new WrittenStream(stream, record, principal, this.clock, {
      onPiece: ({ known, record: { from } }, piece) => pieces.emit(known, from, piece),
      onSilence: (silent) => void this.end(silent, 'orphaned').catch((error) => this.fault(error)),
    });
    texts.add(written);
    return written;
  }

  /** Takes over a stream of another node, or of an earlier start of this one. */
  private takeUp(tenant: string, id: string, record: StreamRecord, text: string, isOrphan: boolean): void {
    const { known, pieces } = this.parts;
    const stream = known.open(tenant, id, record);
    if (stream === null) return;
    const written = this.take(stream, record, serverPrincipal(tenant));
    written.takeUp(text);
    if (isOrphan) void this.end(written, 'orphaned').catch((error) => this.fault(error));
    else pieces.refresh(stream);
  }

  /** Publishes the whole text. A permanent error ends the stream as failed, with nothing stored. */
  private async end(stream: WrittenStream, state: StreamOutcome): Promise<Ended> {
    const { known, record, text } = stream;
    const { tenant, id, room, channel } = known;
    if (stream.isEnding) throw ending(stream);
    stream.isEnding = true;
    stream.stop();
    let outcome: Outcome;
    try {
      outcome = await this.parts.publisher.publish(writerOf(stream), {
        ...{ id: record.end_id, type: 'event', room, channel, payload: { text } },
        marks: (payload) =>
          markText({ id, offset: 0, state, ...(payload.text === text ? {} : { revised: true as const }) }),
      });
    } catch (error) {
      if (error instanceof BusError && ERRORS[error.code].retryable) stream.resume();
      else await this.fail(stream);
      throw error;
    }
    const { sequence, epoch, stored, delivered } = outcome.published;
    const ended = { sequence, epoch, stored, delivered, length: text.length };
    this.remember(tenant, id, record.identity, ended);
    this.parts.known.end(known);
    await this.forget(stream);
    return ended;
  }

  private async fail(stream: WrittenStream): Promise<void> {
    const { known, record, shownLength } = stream;
    this.parts.pieces.emitEnd(known, record.from, stream.envelope(shownLength, shownLength, 'failed'));
    await this.forget(stream);
  }

  private async forget(stream: WrittenStream): Promise<void> {
    const { tenant, id } = stream.known;
    this.parts.texts.remove(stream);
    await this.records?.remove(tenant, id);
  }

  private remember(tenant: string, id: string, identity: string, ended: Ended): void {
    this.remembered.delete(`${tenant}/${id}`);
    this.remembered.set(`${tenant}/${id}`, { identity, ended });
    if (this.remembered.size <= MAX_REMEMBERED) return;
    const [oldest = ''] = this.remembered.keys();
    this.remembered.delete(oldest);
  }

  private write(stream: WrittenStream, text: string): number {
    const { rooms, texts } = this.parts;
    const { tenant, room, channel } = stream.known;
    if (stream.isEnding) throw ending(stream);
    const there = rooms.tenants.get(tenant)?.find(room, channel);
    const policy = there === undefined ? rooms.policyAt(tenant, room, channel) : rooms.policy(there);
    there?.rates?.take(stream.record.identity, performance.now());
    const size = sizeOf(text);
    requireRoom(stream, size, texts.bytes, this.limits);
    requireBytes(policy, AROUND_TEXT + stream.size.encoded + size.encoded);
    if (text !== '') this.inspect(stream, text, policy.casil);
    stream.append(text, size);
    return stream.text.length;
  }

  /**
   * Inspects the end of the text with the new part; throws the error of a content policy that blocks it. When the
   * policy would change it, no more pieces are sent until the whole text is published.
   */
  private inspect(stream: WrittenStream, text: string, mode: Inspection['mode']): void {
    const { inspector } = this.parts;
    const { tenant, room, channel } = stream.known;
    if (stream.isWithheld || !inspector.enabledFor(tenant)) return;
    const seen = tailOf(stream.text, INSPECTED_BEFORE) + text;
    const inspection = { type: 'event', id: newId(), tenant, room, channel, payload: { text: seen }, mode } as const;
    if (inspector.inspect(inspection, writerOf(stream)).payload.text !== seen) stream.isWithheld = true;
  }

  // The writer's side -------------------------------------------------------------------------------------------------

  private async resume(
    sender: Sender,
    id: string,
    { identity, room, channel }: StreamRecord,
    at: { readonly room: string; readonly channel: string },
  ): Promise<Opened> {
    if (identity !== sender.identity || room !== at.room || channel !== at.channel) {
      throw new BusError('ALREADY_EXISTS', `There is an open stream ${id} already; choose another id.`, {
        stream_id: id,
      });
    }
    return { id, room, channel, offset: await this.operate(sender, id, 'resume', {}) };
  }

  /** Runs an operation here, or on the node that has the stream. */
  private operate<N extends OperationName>(
    sender: Sender,
    id: string,
    name: N,
    args: Operations[N]['args'],
  ): Awaitable<Operations[N]['result']> {
    const { tenant } = sender.principal;
    const own = this.parts.texts.get(tenant, id);
    const operation: Operation<N> = { tenant, id, identity: sender.identity, name, args };
    if (own === undefined) return this.owners.ask(operation, (record) => this.requireWriter(sender, id, record));
    this.requireWriter(sender, id, own.record);
    own.principal = sender.principal;
    return this.run(own, name, args);
  }

  /** Runs an operation that a writer requested on another node. */
  private operateHere({ tenant, id, identity, name, args }: Operation): Awaitable<unknown> {
    const stream = this.parts.texts.get(tenant, id);
    if (stream === undefined || stream.record.identity !== identity) throw unknownStream(id);
    return this.run(stream, name, args);
  }

  private run<N extends OperationName>(
    stream: WrittenStream,
    name: N,
    args: Operations[N]['args'],
  ): Awaitable<Operations[N]['result']> {
    const run: { readonly [K in OperationName]: (args: Operations[K]['args']) => Awaitable<Operations[K]['result']> } =
      {
        append: ({ text }) => this.write(stream, text),
        close: ({ state }) => this.end(stream, state),
        resume: () => {
          stream.sign();
          return stream.text.length;
        },
      };
    return run[name](args);
  }

  private requireWriter({ principal, identity }: Sender, id: string, record: StreamRecord): void {
    if (record.identity !== identity) {
      throw new BusError('AUTHORIZATION_ERROR', `Only whoever opened the stream ${id} may write to it.`, {
        stream_id: id,
      });
    }
    this.parts.access.require(principal, 'publish', record.room, record.channel);
  }

  private fault(error: unknown): void {
    // A storage outage is already reported elsewhere.
    if (!(error instanceof BusError && error.code === 'STORAGE_UNAVAILABLE')) this.parts.options.onFault(error);
  }
}

/** The sender of inspected text and of the final event: the stream's writer, without a connection. */
function writerOf({ principal, record: { from, identity, sender } }: WrittenStream): Sender {
  return systemSender(from, principal, identity, { record: sender, text: `"sender":${JSON.stringify(sender)}` });
}

/** The last `units` of a text, or one less, to avoid half a surrogate pair. */
function tailOf(text: string, units: number): string {
  const tail = text.slice(-units);
  return /^[\uDC00-\uDFFF]/.test(tail) ? tail.slice(1) : tail;
}

function ending({ known: { id } }: WrittenStream): BusError {
  return new BusError('CONFLICT', `The stream ${id} is being ended.`, { stream_id: id });
}
