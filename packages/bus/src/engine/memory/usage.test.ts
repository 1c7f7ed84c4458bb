import { describe, expect, it } from 'vitest';
import { publication, range, stream } from '../suite/rig.suite.ts';
import { createMemoryEngine } from './memory.ts';

const retention = { size: 100, ttlMs: 86_400_000 };

describe('what streams in memory keep', () => {
  it('is counted a megabyte of text at a time, and told in characters until then', () => {
    const { broker } = createMemoryEngine();
    const lines = range(1, 4).map((n) => stream(`c${n}`));
    // Three bytes a character, and fewer characters than a stream counts by itself.
    const payload = { body: '漢'.repeat(600_000) };
    for (const line of lines) broker.publish(publication(line, { retention, payload }));
    const bytesOf = (): number[] => (broker.usage(lines) as { bytes: number }[]).map(({ bytes }) => bytes);
    const exact = (counted: number): boolean[] => lines.map((_, index) => index < counted);
    expect(bytesOf().map((bytes) => bytes > 1_800_000)).toEqual(exact(2));
    expect(bytesOf().map((bytes) => bytes > 1_800_000)).toEqual(exact(4));
  });
});
