import { expect, it } from 'vitest';
import { APPLIED, appliedHow, changesBetween, withChanges } from './changes.ts';
import type { Config } from './config.ts';
import { loadConfig } from './load.ts';
import { SETTINGS } from './settings.ts';

function configOf(env: Readonly<Record<string, string>>): Config {
  const loaded = loadConfig({ env });
  if (!loaded.ok) throw new Error(loaded.faults.join('\n'));
  return loaded.config;
}

it('names settings and sections that there are', () => {
  const names = SETTINGS.flatMap(({ path, keys: [section] }) => [path, `${section}.*`]);
  expect(Object.keys(APPLIED).filter((name) => !names.includes(name))).toEqual([]);
});

it('takes a new process for what it does not name', () => {
  expect(appliedHow({ path: 'storage.backend', keys: ['storage', 'backend'] })).toBe('start');
  expect(appliedHow({ path: 'casil.mode', keys: ['casil', 'mode'] })).toBe('now');
});

it('tells what changed by how it comes into force, and never a value', () => {
  const before = configOf({ ARQONBUS_HTTP_API_KEY: 'first-key' });
  const after = configOf({
    ARQONBUS_HTTP_API_KEY: 'second-key',
    ARQONBUS_HTTP_PORT: '0',
    ARQONBUS_STORAGE_BACKEND: 'sqlite',
    ARQONBUS_RULES: '[{"match":"a:b"}]',
    ARQONBUS_CASIL_MODE: 'enforce',
  });
  expect(changesBetween(before, after)).toEqual({
    now: ['rules', 'http.apiKey', 'casil.mode'],
    reopened: ['http.port'],
    start: ['storage.backend'],
  });
  const now = withChanges(before, after, ['now']);
  expect(now.http).toMatchObject({ apiKey: 'second-key', port: 8080 });
  expect(now.casil.mode).toBe('enforce');
  expect(now.storage.backend).toBe('memory');
  expect(changesBetween(now, after)).toEqual({ now: [], reopened: ['http.port'], start: ['storage.backend'] });
  expect(before.http.apiKey).toBe('first-key');
});
