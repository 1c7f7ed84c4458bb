import { describe, expect, it } from 'vitest';
import { checkMetadata, splitMetadata } from './metadata.ts';

describe('splitMetadata', () => {
  it('takes apart what the sender wrote and what the server did', () => {
    const metadata = { note: 'mine', sequence: 3, epoch: 'e', cron_job_id: 'j', causal_parent_id: 'arq_1' };
    expect(splitMetadata(metadata)).toEqual({
      own: { note: 'mine', causal_parent_id: 'arq_1' },
      server: { sequence: 3, epoch: 'e', cron_job_id: 'j' },
    });
  });

  it('copies nothing when all of it is of one hand', () => {
    const own = { note: 'mine' };
    const server = { sequence: 3 };
    expect(splitMetadata(own)).toEqual({ own, server: undefined });
    expect(splitMetadata(own).own).toBe(own);
    expect(splitMetadata(server)).toEqual({ own: undefined, server });
    expect(splitMetadata({})).toEqual({ own: undefined, server: undefined });
  });

  it('keeps a key that is called __proto__ a key', () => {
    const metadata = JSON.parse('{"__proto__":{"x":1},"sequence":1}');
    const { own } = splitMetadata(metadata);
    expect(JSON.stringify(own)).toBe('{"__proto__":{"x":1}}');
  });

  it('leaves a client the mark of its own requests, and nothing that reads like the server’s', () => {
    expect(splitMetadata({ request: true })).toEqual({ own: { request: true }, server: undefined });
    const request = { deadline: '2030-01-01T00:00:00.000Z' };
    expect(splitMetadata({ request })).toEqual({ own: undefined, server: { request } });
  });
});

describe('checkMetadata', () => {
  it('drops the keys that the server alone writes, and copies nothing when there is none', () => {
    expect(checkMetadata({ note: 'mine', sequence: 3 }, undefined)).toEqual({ note: 'mine' });
    const own = { note: 'mine', request: true };
    expect(checkMetadata(own, undefined)).toBe(own);
    expect(checkMetadata({ sequence: 3 }, undefined)).toBeUndefined();
    expect(checkMetadata({}, undefined)).toBeUndefined();
  });

  it('notes the time of the client, and leaves what it was given alone', () => {
    const own = JSON.parse('{"__proto__":{"x":1}}');
    const noted = checkMetadata(own, '2026-01-31T12:00:00.000Z');
    expect(JSON.stringify(noted)).toBe('{"__proto__":{"x":1},"client_timestamp":"2026-01-31T12:00:00.000Z"}');
    expect(JSON.stringify(own)).toBe('{"__proto__":{"x":1}}');
  });

  it('judges a clock by every member of it', () => {
    expect(checkMetadata({ vector_clock: { a: 1, b: 0 } }, undefined)).toEqual({ vector_clock: { a: 1, b: 0 } });
    for (const clock of [{ a: 1, b: -1 }, { a: 1.5 }, [1], 7]) {
      expect(() => checkMetadata({ vector_clock: clock }, undefined)).toThrow('vector_clock');
    }
  });
});
