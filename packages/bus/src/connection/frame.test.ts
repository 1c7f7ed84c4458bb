import { expect, it } from 'vitest';
import { cutFrames, Frame, framePayload, Run } from './frame.ts';
import { Batch } from './outbox.ts';

const texts = ['', 'a', 'é', 'a'.repeat(125), 'a'.repeat(126), 'é'.repeat(63), 'a'.repeat(65_535), '漢'.repeat(21_845)];
const longer = ['a'.repeat(65_536), '🚀'.repeat(50_000), 'a'.repeat(3 * 65_535), `${'a'.repeat(65_534)}é`];

it.each([...texts, ...longer].map((text) => [text.length, text]))('frames a text of %i characters', (_, text) => {
  const frame = new Frame(text);
  expect(frame.bytes.length).toBe(frame.length);
  expect(framePayload(frame.bytes).equals(Buffer.from(text))).toBe(true);
});

it('writes one frame for up to 65,535 bytes, and fragments beyond', () => {
  for (const text of texts) expect(cutFrames(new Frame(text).bytes, 0, 1)).toBe(new Frame(text).length);
  for (const text of longer) expect(cutFrames(new Frame(text).bytes, 0, 1)).toBeLessThan(new Frame(text).length);
});

it('joins the texts of a batch in their order, once for all who share it', () => {
  const frames = [...texts, ...longer].map((text) => new Frame(text));
  const batch = frames.reduce<Batch>((parent, frame) => new Batch(parent, frame), new Batch(null, null));
  const whole = batch.joined();
  expect(whole.equals(Buffer.concat(frames.map(({ bytes }) => bytes)))).toBe(true);
  expect(whole.length).toBe(batch.bytes);
  expect(batch.joined()).toBe(whole);
});

it('joins runs of texts among other texts, and tells the texts apart again', () => {
  const [first, second, third, last] = ['{"a":1}', 'é', longer[0], '{"b":2}'].map((text) => new Frame(text as string));
  const run = new Run([second!, third!]);
  const root = new Batch(null, null);
  const batch = new Batch(new Batch(new Batch(root, first!), run), last!);
  const frames = [first, second, third, last] as Frame[];
  expect(batch.joined().equals(Buffer.concat(frames.map(({ bytes }) => bytes)))).toBe(true);
  expect(batch.joined()).toHaveLength(batch.bytes);
  expect(batch.frames()).toEqual(frames);
  expect(batch.texts).toBe(4);
  expect(new Batch(root, run).joined()).toBe(run.bytes);
});
