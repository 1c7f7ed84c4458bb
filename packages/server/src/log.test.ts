import { PassThrough } from 'node:stream';
import { BusError } from '@arqonbus/protocol';
import { expect, it } from 'vitest';
import { createLog, logFault } from './log.ts';

function lineOf(error: unknown): Record<string, unknown> {
  const destination = new PassThrough();
  logFault(createLog({ level: 'info', destination }), error);
  return JSON.parse(String(destination.read()));
}

it('tells a fault with its stack, and what an outage of the storage broke off in one sentence', () => {
  expect(lineOf(new RangeError('out of range'))).toMatchObject({
    level: 'error',
    msg: 'unexpected fault',
    err: { type: 'RangeError', stack: expect.stringContaining('log.test.ts') },
  });
  const away = lineOf(new BusError('STORAGE_UNAVAILABLE', 'The storage backend is away: it was lost.'));
  expect(away).toMatchObject({ level: 'warn', reason: 'The storage backend is away: it was lost.' });
  expect(away).not.toHaveProperty('err');
});
