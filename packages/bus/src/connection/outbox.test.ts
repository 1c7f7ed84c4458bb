import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, it, vi } from 'vitest';
import { Frame } from './frame.ts';
import { Line } from './line.suite.ts';
import { type Batch, Flusher, type Framing, Outbox } from './outbox.ts';

/** Writes each text as a line. */
class Lines extends Line implements Framing {
  readonly framing = this;

  bytesOf(batch: Batch): Buffer {
    return Buffer.from(
      batch
        .frames()
        .map((frame) => `${frame.text}\n`)
        .join(''),
    );
  }

  cut(bytes: Buffer, from: number, most: number): number {
    if (bytes.length - from <= most) return bytes.length;
    return bytes.lastIndexOf('\n', from + most - 1) + 1;
  }
}

function push(outbox: Outbox, texts: readonly string[]): void {
  for (const text of texts) outbox.push(new Frame(text));
}

describe('an outbox whose transport has a form of its own', () => {
  it('writes the texts of a turn at once, in that form', async () => {
    const line = new Lines();
    const outbox = new Outbox(line, new Flusher(), 1_000, () => {});
    push(outbox, ['a', 'b', 'c']);
    await nextTurn();
    push(outbox, ['d']);
    await nextTurn();
    expect(line.written).toEqual(['a\nb\nc\n', 'd\n']);
    expect([outbox.sent, outbox.backlog]).toEqual([4, 0]);
  });

  it('cuts what has to wait where the transport may cut it, and closes after the last of it', async () => {
    const line = new Lines();
    const outbox = new Outbox(line, new Flusher(), 1_000_000, () => {});
    const texts = Array.from({ length: 200 }, (_value, n) => `${n}`.padEnd(1_000, '.'));
    line.isFull = true;
    push(outbox, ['first']);
    await nextTurn();
    push(outbox, texts);
    await nextTurn();
    outbox.close(4000, 'over', 60_000);
    expect(line.written).toEqual(['first\n']);
    expect(outbox.backlog).toBe(6 + 200 * 1_001);
    line.drain();
    await expect.poll(() => line.written.at(-1)).toBe('close 4000');
    const pieces = line.written.slice(1, -1);
    expect(pieces.length).toBeGreaterThan(3);
    for (const piece of pieces) {
      expect(piece.length).toBeLessThanOrEqual(65_540);
      expect(piece.endsWith('\n')).toBe(true);
    }
    expect(pieces.join('')).toBe(texts.map((text) => `${text}\n`).join(''));
  });

  it('counts the bytes of that form against its limit', async () => {
    const line = new Lines();
    const overrun = vi.fn();
    // A frame has a header of four bytes, and the form here a line break.
    const outbox = new Outbox(line, new Flusher(), 6 + 3 * 30_001, overrun);
    line.isFull = true;
    push(outbox, ['first']);
    await nextTurn();
    push(
      outbox,
      Array.from({ length: 3 }, () => 'x'.repeat(30_000)),
    );
    await nextTurn();
    expect(overrun).not.toHaveBeenCalled();
    push(outbox, ['']);
    await nextTurn();
    expect(overrun).toHaveBeenCalledOnce();
  });
});
