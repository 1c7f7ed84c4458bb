import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Loaded } from './load.ts';
import { DEFAULT_CONFIG_FILE, readSources } from './sources.ts';

let directory = '';
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'arqonbus-config-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

const port = (loaded: Loaded): unknown => (loaded.ok ? loaded.config.server.port : loaded.faults);

describe('readSources', () => {
  it('does without a file', () => {
    expect(port(readSources({ directory }))).toBe(9100);
  });

  it('takes the file in the working directory, and a later change of it', () => {
    writeFileSync(join(directory, DEFAULT_CONFIG_FILE), 'server: {port: 1}');
    expect(port(readSources({ directory }))).toBe(1);
    writeFileSync(join(directory, DEFAULT_CONFIG_FILE), 'server: {port: 2}');
    expect(port(readSources({ directory }))).toBe(2);
    expect(port(readSources({ directory, env: { ARQONBUS_SERVER_PORT: '3' } }))).toBe(3);
  });

  it('takes the named file instead', () => {
    writeFileSync(join(directory, DEFAULT_CONFIG_FILE), 'server: {port: 1}');
    writeFileSync(join(directory, 'other.json'), '{"server": {"port": 4}}');
    expect(port(readSources({ directory, configPath: 'other.json' }))).toBe(4);
    expect(port(readSources({ directory: tmpdir(), configPath: join(directory, 'other.json') }))).toBe(4);
  });

  it('does not start without the named file, and tells the other faults too', () => {
    const loaded = readSources({ directory, configPath: 'gone.yaml', env: { ARQONBUS_SERVER_PORT: 'x' } });
    expect(port(loaded)).toEqual([
      'The configuration file gone.yaml cannot be read (ENOENT).',
      'ARQONBUS_SERVER_PORT is "x"; expected a whole number from 0 to 65535.',
    ]);
  });

  it('does not pass over a file that is there and cannot be read', () => {
    mkdirSync(join(directory, DEFAULT_CONFIG_FILE));
    expect(port(readSources({ directory }))).toEqual([
      'The configuration file arqonbus.config.yaml cannot be read (EISDIR).',
    ]);
  });

  it('reads the files of secrets', () => {
    const path = join(directory, 'key');
    writeFileSync(path, 'hunter2\n');
    const loaded = readSources({ directory, env: { ARQONBUS_HTTP_API_KEY_FILE: path } });
    expect(loaded.ok && loaded.config.http.apiKey).toBe('hunter2');
  });
});
