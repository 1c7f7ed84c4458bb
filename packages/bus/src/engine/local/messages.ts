import type { Expectation, Publication, Published, Retention, StreamAddress, StreamEvent } from '../engine.ts';
import type { FrameReader, FrameWriter } from './frames.ts';

/** The frame types. Frequent ones have a binary form; the rest is JSON text. */
export const FRAME = {
  hello: 0,
  publish: 1,
  request: 2,
  event: 3,
  published: 4,
  answer: 5,
  failure: 6,
  told: 7,
} as const;

/** A worker's first message. */
export interface Hello {
  readonly node: string;
  /** The last key change it received, and from which host run; null when it is new. */
  readonly told: { readonly run: string; readonly change: number } | null;
}

/** An event's origin: the stream of a publication, with data only its publisher's worker is sent. */
export class Origin implements StreamAddress {
  readonly tenant: string;
  readonly room: string;
  readonly channel: string;
  readonly identity: string;
  readonly publisher: object;
  readonly number: number;

  constructor({ tenant, room, channel }: StreamAddress, identity: string, publisher: object, number: number) {
    this.tenant = tenant;
    this.room = room;
    this.channel = channel;
    this.identity = identity;
    this.publisher = publisher;
    this.number = number;
  }
}

const EXPECT = { nothing: 0, sequence: 1, position: 2, lastId: 3 } as const;
const NOT_GIVEN = -1;
const DURABILITIES = ['none', 'memory', 'disk', 'replicated'] as const;

export function writePublication(out: FrameWriter, number: number, publication: Publication): void {
  const { stream, draft, identity, retention, dedupeMs, firstSequence, expect } = publication;
  out.begin(FRAME.publish);
  out.count(number);
  writeStream(out, stream);
  out.text(draft.id);
  out.text(draft.from);
  out.number(draft.time);
  out.text(draft.open);
  out.text(identity);
  out.number(retention.size);
  out.number(retention.ttlMs);
  out.number(retention.bytes ?? NOT_GIVEN);
  out.byte(retention.keepLast === true ? 1 : 0);
  out.number(dedupeMs ?? NOT_GIVEN);
  out.number(firstSequence ?? NOT_GIVEN);
  writeExpectation(out, expect);
  out.end();
}

export function readPublication(frame: FrameReader, publisher: object): { number: number; publication: Publication } {
  const number = frame.count();
  const address = readStream(frame);
  const draft = { id: frame.text(), from: frame.text(), time: frame.number(), open: frame.text() };
  const identity = frame.text();
  const [size, ttlMs, bytes] = [frame.number(), frame.number(), frame.number()];
  const keepLast = frame.byte() === 1;
  const retention = { size, ttlMs, ...(bytes === NOT_GIVEN ? {} : { bytes }), ...(keepLast ? { keepLast } : {}) };
  const [dedupeMs, firstSequence] = [frame.number(), frame.number()];
  const expect = readExpectation(frame);
  const stream = new Origin(address, identity, publisher, number);
  const publication = {
    ...{ stream, draft, identity, retention },
    ...(dedupeMs === NOT_GIVEN ? {} : { dedupeMs }),
    ...(firstSequence === NOT_GIVEN ? {} : { firstSequence }),
    ...(expect === null ? {} : { expect }),
  };
  return { number, publication };
}

function writeExpectation(out: FrameWriter, expect: Expectation | undefined): void {
  if (expect === undefined) {
    out.byte(EXPECT.nothing);
  } else if ('lastId' in expect) {
    out.byte(EXPECT.lastId);
    out.text(expect.lastId);
  } else {
    const { sequence, epoch } = expect;
    out.byte(epoch === undefined ? EXPECT.sequence : EXPECT.position);
    out.number(sequence);
    if (epoch !== undefined) out.text(epoch);
  }
}

function readExpectation(frame: FrameReader): Expectation | null {
  switch (frame.byte()) {
    case EXPECT.sequence:
      return { sequence: frame.number() };
    case EXPECT.position:
      return { sequence: frame.number(), epoch: frame.text() };
    case EXPECT.lastId:
      return { lastId: frame.text() };
    default:
      return null;
  }
}

/** `number` is the publication's for the worker it came from, and 0 for all others. */
export function writeEvent(out: FrameWriter, number: number, event: StreamEvent): void {
  const { stream, sequence, id, from, text } = event;
  const identity = event.identity ?? (stream instanceof Origin ? stream.identity : undefined);
  out.begin(FRAME.event);
  out.count(number);
  writeStream(out, stream);
  out.number(sequence);
  out.text(id);
  out.text(from);
  out.byte(identity === undefined ? 0 : 1);
  out.text(identity ?? '');
  out.text(text);
  out.end();
}

/** Adapts a copy of another worker's event frame to this one. */
export function renumberEvent(frame: Buffer, number: number): void {
  // After the length and the type.
  frame.writeUInt32LE(number, 5);
}

export function readEvent(frame: FrameReader): { number: number; event: StreamEvent } {
  const number = frame.count();
  const stream = readStream(frame);
  const [sequence, id, from] = [frame.number(), frame.text(), frame.text()];
  const isKnown = frame.byte() === 1;
  const identity = frame.text();
  const event = { stream, sequence, id, from, text: frame.text() };
  return { number, event: isKnown ? { ...event, identity } : event };
}

export function writePublished(out: FrameWriter, number: number, published: Published): void {
  out.begin(FRAME.published);
  out.count(number);
  out.number(published.sequence);
  out.text(published.epoch);
  out.byte(DURABILITIES.indexOf(published.stored));
  out.byte(published.duplicate ? 1 : 0);
  out.end();
}

/** Without `delivered`, which the worker counts itself. */
export function readPublished(frame: FrameReader): { number: number; published: Omit<Published, 'delivered'> } {
  const number = frame.count();
  const [sequence, epoch] = [frame.number(), frame.text()];
  const stored = DURABILITIES[frame.byte()] ?? 'none';
  return { number, published: { sequence, epoch, stored, duplicate: frame.byte() === 1 } };
}

/** A {@link Retention} for JSON: null for an infinite time. */
export type SpelledRetention = Omit<Retention, 'ttlMs'> & { readonly ttlMs: number | null };

export function spellRetention(retention: Retention): SpelledRetention {
  const { ttlMs } = retention;
  return { ...retention, ttlMs: Number.isFinite(ttlMs) ? ttlMs : null };
}

export function readRetention(spelled: SpelledRetention): Retention {
  return { ...spelled, ttlMs: spelled.ttlMs ?? Number.POSITIVE_INFINITY };
}

/** A frame with a number and a JSON text. */
export function writeJson(out: FrameWriter, type: number, number: number, content: unknown): void {
  out.begin(type);
  out.count(number);
  out.text(JSON.stringify(content));
  out.end();
}

function writeStream(out: FrameWriter, { tenant, room, channel }: StreamAddress): void {
  out.text(tenant);
  out.text(room);
  out.text(channel);
}

function readStream(frame: FrameReader): StreamAddress {
  return { tenant: frame.text(), room: frame.text(), channel: frame.text() };
}
