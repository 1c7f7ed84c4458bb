import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ENVELOPE, envelopeFor } from '../envelope.ts';
import type { Arrivals, ControlFrames, Receiver } from './arrivals.ts';
import { FrameReceiver } from './frame-receiver.ts';
import { MarkReceiver } from './mark-receiver.ts';
import { MessageTemplate } from './message.ts';
import { RecordReceiver } from './record-receiver.ts';
import { UnframingReceiver } from './unframing-receiver.ts';

/** An unmasked frame, as a server sends it. */
function frame(opcode: number, payload: Buffer): Buffer {
  const { length } = payload;
  if (length < 126) return Buffer.concat([Buffer.from([0x80 | opcode, length]), payload]);
  if (length < 65_536) return Buffer.concat([Buffer.from([0x80 | opcode, 126, length >> 8, length & 255]), payload]);
  const head = Buffer.alloc(10);
  head[0] = 0x80 | opcode;
  head[1] = 127;
  head.writeBigUInt64BE(BigInt(length), 2);
  return Buffer.concat([head, payload]);
}

interface Heard {
  messages: number;
  asides: string[];
  pings: string[];
  closed: string[];
  inspected: { ordinal: number; text: string }[];
}

function listen(every = 1): { heard: Heard; arrivals: Arrivals; control: ControlFrames } {
  const heard: Heard = { messages: 0, asides: [], pings: [], closed: [], inspected: [] };
  const arrivals: Arrivals = {
    every,
    inspect: (ordinal, bytes, start, end) =>
      heard.inspected.push({ ordinal, text: bytes.toString('latin1', start, end) }),
    arrived: (from, to) => {
      expect(from).toBe(heard.messages);
      heard.messages = to;
    },
    aside: (text) => heard.asides.push(text),
  };
  const control: ControlFrames = {
    ping: (payload) => heard.pings.push(payload.toString()),
    closed: (code, reason) => heard.closed.push(`${code} ${reason}`),
  };
  return { heard, arrivals, control };
}

/** Feeds `stream` in pieces cut at `cuts`, through one buffer that is overwritten after each piece. */
function feed(receiver: Receiver, stream: Buffer, cuts: readonly number[]): void {
  const edges = [0, ...cuts.map((cut) => cut % (stream.length + 1)).sort((a, b) => a - b), stream.length];
  const shared = Buffer.alloc(stream.length + 1);
  for (let i = 1; i < edges.length; i++) {
    const size = stream.copy(shared, 0, edges[i - 1], edges[i]);
    receiver.receive(shared, 0, size);
    shared.fill(0xff);
  }
}

const message = fc.integer({ min: 64, max: 700 }).map((size) => 'm'.repeat(size));
const cuts = fc.array(fc.nat(100_000), { maxLength: 40 });

describe('FrameReceiver', () => {
  const piece = fc.oneof(
    message.map((text) => ({ kind: 'message' as const, text })),
    fc.constantFrom('2', 'pong').map((text) => ({ kind: 'aside' as const, text })),
    fc.constantFrom('', 'are you there').map((text) => ({ kind: 'ping' as const, text })),
  );

  it('counts the same whatever way the stream is cut into chunks', () => {
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 30 }), cuts, (pieces, where) => {
        const { heard, arrivals, control } = listen();
        const stream = Buffer.concat(pieces.map(({ kind, text }) => frame(kind === 'ping' ? 9 : 1, Buffer.from(text))));
        feed(new FrameReceiver(arrivals, control), stream, where);
        const of = (kind: string): string[] => pieces.filter((p) => p.kind === kind).map((p) => p.text);
        expect(heard.messages).toBe(of('message').length);
        expect(heard.asides).toEqual(of('aside'));
        expect(heard.pings).toEqual(of('ping'));
        for (const { ordinal, text } of heard.inspected) expect(text).toBe(of('message')[ordinal - 1]);
      }),
    );
  });

  it('counts a message when its last byte has come, not before', () => {
    const { heard, arrivals, control } = listen();
    const receiver = new FrameReceiver(arrivals, control);
    const bytes = frame(1, Buffer.alloc(70_000, 'x'));
    receiver.receive(bytes, 0, bytes.length - 1);
    expect(heard.messages).toBe(0);
    receiver.receive(bytes, bytes.length - 1, bytes.length);
    expect(heard.messages).toBe(1);
  });

  it('inspects every n-th message', () => {
    const { heard, arrivals, control } = listen(3);
    const stream = Buffer.concat(Array.from({ length: 10 }, () => frame(1, Buffer.alloc(100, 'x'))));
    feed(new FrameReceiver(arrivals, control), stream, []);
    expect(heard.inspected.map(({ ordinal }) => ordinal)).toEqual([3, 6, 9]);
  });

  it('tells the close code and reason', () => {
    const { heard, arrivals, control } = listen();
    const payload = Buffer.concat([Buffer.from([0x11, 0x4d]), Buffer.from('too slow')]);
    feed(new FrameReceiver(arrivals, control), frame(8, payload), [3]);
    expect(heard.closed).toEqual(['4429 too slow']);
  });
});

describe('RecordReceiver', () => {
  const record = `MSG load 1 3\r\nabc\r\n`;
  const piece = fc.constantFrom(record, 'PING\r\n', '+OK\r\n');

  it('counts fixed-length records and tells the lines between them, bare or inside WebSocket frames', () => {
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 40 }), cuts, cuts, (pieces, chunks, frames) => {
        const text = pieces.join('');
        const expected = pieces.filter((p) => p === record).length;
        const asides = pieces.filter((p) => p !== record).map((p) => p.trimEnd());

        const bare = listen();
        feed(new RecordReceiver(bare.arrivals, 'M'.charCodeAt(0), record.length), Buffer.from(text), chunks);
        expect([bare.heard.messages, bare.heard.asides]).toEqual([expected, asides]);

        const framed = listen();
        const edges = [0, ...frames.map((cut) => cut % (text.length + 1)).sort((a, b) => a - b), text.length];
        const stream = edges.slice(1).map((edge, i) => frame(2, Buffer.from(text.slice(edges[i], edge))));
        const records = new RecordReceiver(framed.arrivals, 'M'.charCodeAt(0), record.length);
        feed(
          new UnframingReceiver(records, framed.control),
          Buffer.concat([frame(9, Buffer.from('p')), ...stream]),
          chunks,
        );
        expect([framed.heard.messages, framed.heard.asides, framed.heard.pings]).toEqual([expected, asides, ['p']]);
      }),
    );
  });
});

describe('MarkReceiver', () => {
  const template = new MessageTemplate(ENVELOPE, undefined);

  it('counts marks whatever stands between them and wherever chunks are cut', () => {
    // Tildes that are no marks, right before one and far from it, and gaps of changing length.
    const between = fc.constantFrom('', '~', '~12~', '\n', 'data: ', `{"push":{"offset":${'9'.repeat(12)}}}`, '~~~');
    fc.assert(
      fc.property(
        fc.array(between, { minLength: 1, maxLength: 12 }),
        cuts,
        fc.integer({ min: 1, max: 4 }),
        (gaps, chunks, every) => {
          const { heard, arrivals } = listen(every);
          const stream = Buffer.concat(gaps.flatMap((gap, i) => [Buffer.from(gap), template.frames(i + 1, 1, i)]));
          feed(new MarkReceiver(arrivals, undefined), stream, chunks);
          expect(heard.messages).toBe(gaps.length);
          for (const { ordinal, text } of heard.inspected) {
            expect(text).toBe(`~${String(ordinal).padStart(10, '0')}~${String(ordinal - 1).padStart(16, '0')}~`);
          }
          expect(heard.inspected.length).toBe(Math.floor(gaps.length / every));
        },
      ),
    );
  });

  it('tells of a refusal, and of nothing else', () => {
    const { heard, arrivals } = listen();
    const receiver = new MarkReceiver(arrivals, '"error":{');
    for (const text of ['{"id":3,"publish":{}}', '{"id":3,"error":{"code":103}}']) {
      receiver.receive(Buffer.from(text), 0, text.length);
    }
    expect(heard.asides).toEqual(['{"id":3,"error":{"code":103}}']);
  });
});

describe('envelopeFor', () => {
  it('makes envelopes of one length, whose ids differ from channel to channel', () => {
    const [one, other] = ['c000001', 'c000002'].map((channel) => JSON.parse(envelopeFor(channel)));
    expect([one.channel, envelopeFor('c000001').length]).toEqual(['c000001', ENVELOPE.length]);
    expect(one.id).not.toBe(other.id);
    const [numbered] = [new MessageTemplate(envelopeFor('c000001'), undefined).frames(12, 1, 0).toString()];
    expect(JSON.parse(numbered!).id).toBe(`${one.id.slice(0, -2)}12`);
  });
});
