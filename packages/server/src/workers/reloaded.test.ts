import { expect, it } from 'vitest';
import type { Config } from '../config/config.ts';
import { loadConfig } from '../config/load.ts';
import { reloadedByWorkers } from './reloaded.ts';

function configOf(env: Readonly<Record<string, string>>): Config {
  const loaded = loadConfig({ env });
  if (!loaded.ok) throw new Error(loaded.faults.join('\n'));
  return loaded.config;
}

const BEFORE = configOf({});

it('replaces workers for what would reopen the listeners of one process', () => {
  const wanted = configOf({ ARQONBUS_MAX_MESSAGE_SIZE: '2048', ARQONBUS_LOG_LEVEL: 'warn' });
  expect(reloadedByWorkers(BEFORE, wanted)).toEqual({
    changed: ['log.level'],
    reopening: ['server.maxMessageSize'],
    needs_new_process: [],
  });
});

it.each([{ ARQONBUS_HTTP_PORT: '8081' }, { ARQONBUS_STORAGE_BACKEND: 'sqlite' }])(
  'replaces none while %o has changed, which they share',
  (shared) => {
    const wanted = configOf({ ...shared, ARQONBUS_MAX_MESSAGE_SIZE: '2048', ARQONBUS_LOG_LEVEL: 'warn' });
    const { changed, reopening, needs_new_process } = reloadedByWorkers(BEFORE, wanted);
    expect([changed, reopening]).toEqual([['log.level'], []]);
    expect(needs_new_process).toHaveLength(2);
    expect(needs_new_process).toContain('server.maxMessageSize');
  },
);
