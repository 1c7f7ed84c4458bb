import { describe, expect, it } from 'vitest';
import { checkFiles, checkNode } from './machine.ts';
import { checkClock, checkVersion } from './ports.ts';

describe('the doctor', () => {
  it('wants a Node.js that runs the server', () => {
    expect(checkNode('20.0.0').outcome).toBe('ok');
    expect(checkNode('18.19.1')).toMatchObject({ outcome: 'fail', remedy: expect.stringContaining('20') });
    expect(checkNode().outcome).toBe('ok');
  });

  it('counts the files that connections need', () => {
    expect(checkFiles(1_000, 1_100).outcome).toBe('ok');
    expect(checkFiles(1_000, 1_099)).toMatchObject({
      outcome: 'warn',
      remedy: expect.stringContaining('ulimit -n 1100'),
    });
    expect(checkFiles(1).outcome).toBe('ok');
  });

  it('tells clocks that are apart, and versions that differ', () => {
    const now = Date.parse('2026-01-01T00:00:10Z');
    expect(checkClock('2026-01-01T00:00:05Z', now).outcome).toBe('ok');
    expect(checkClock('2026-01-01T00:00:16Z', now)).toMatchObject({
      outcome: 'warn',
      message: expect.stringContaining('6 s'),
    });
    expect(checkVersion('0.0.0-other').outcome).toBe('warn');
  });
});
