import { describe, expect, it } from 'vitest';
import { ENVELOPE } from '../envelope.ts';
import { findMark, MessageTemplate, readMark } from './message.ts';

describe('MessageTemplate', () => {
  it('numbers consecutive envelopes and changes nothing else', () => {
    const frames = new MessageTemplate(ENVELOPE, undefined).frames(9_999, 2, 1_234_567_890_123);
    const [first, second] = [frames.subarray(0, frames.length / 2), frames.subarray(frames.length / 2)];
    const zeros = JSON.parse(ENVELOPE);
    const numbered = (id: string, mark: string): unknown => ({ ...zeros, id, payload: { ...zeros.payload, mark } });
    expect(JSON.parse(first.toString())).toEqual(numbered('arq_bench_0000009999', '~0000009999~0001234567890123~'));
    expect(JSON.parse(second.toString())).toEqual(numbered('arq_bench_0000010000', '~0000010000~0001234567890123~'));
  });

  it('masks a frame as RFC 6455 section 5.3 says, changed digits too', () => {
    const frame = new MessageTemplate(ENVELOPE, 1).frames(12, 1, 34);
    const key = frame.subarray(4, 8);
    const unmasked = Buffer.from(frame.subarray(8).map((byte, i) => byte ^ key[i & 3]!));
    expect(unmasked).toEqual(new MessageTemplate(ENVELOPE, undefined).frames(12, 1, 34));
    expect([frame[0], frame[1], frame.readUInt16BE(2)]).toEqual([0x81, 0xfe, ENVELOPE.length]);
    expect(key).not.toEqual(Buffer.alloc(4));
  });

  it('writes the mark where a receiver finds and reads it, inside any text around the envelope', () => {
    const template = new MessageTemplate(`42["publish",${ENVELOPE}]`, undefined);
    const bytes = template.frames(7, 1, 42);
    const at = findMark(bytes, 0, bytes.length, 0);
    expect(readMark(bytes, at)).toEqual({ number: 7, time: 42 });
    expect(findMark(bytes, 0, bytes.length, at)).toBe(at);
  });

  it('finds no mark in other text, nor one that ends behind the message', () => {
    const bytes = new MessageTemplate(ENVELOPE, undefined).frames(1, 1, 1);
    const at = findMark(bytes, 0, bytes.length, 0);
    expect(findMark(bytes, 0, at + 20, 0)).toBe(-1);
    expect(findMark(Buffer.from('a ~ b ~ c'), 0, 9, 0)).toBe(-1);
  });
});
