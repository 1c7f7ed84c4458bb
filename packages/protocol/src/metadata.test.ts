import { describe, expect, it } from 'vitest';
import { splitMetadata } from './metadata.ts';

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
