import { describe, expect, it } from 'vitest';
import type { Config } from './config.ts';
import { isLoopbackHost, listeners, onLoopbackOnly } from './listeners.ts';
import { loadConfig } from './load.ts';

function configOf(env: Readonly<Record<string, string>>): Config {
  const loaded = loadConfig({ env });
  if (!loaded.ok) throw new Error(loaded.faults.join('\n'));
  return loaded.config;
}

describe('isLoopbackHost', () => {
  it('knows loopback in every spelling', () => {
    const names = ['localhost', 'LOCALHOST', 'app.localhost', 'localhost.', '127.0.0.1', '127.8.9.10'];
    const addresses = ['::1', '[::1]', '0:0:0:0:0:0:0:1', '::ffff:127.0.0.1', '[::ffff:7f00:1]'];
    for (const host of [...names, ...addresses]) expect(isLoopbackHost(host), host).toBe(true);
  });

  it('is not fooled by what looks like it', () => {
    const names = ['', 'localhost.example', 'notlocalhost', 'localhost:80', '127.0.0.1.example', '127.1', '0x7f.0.0.1'];
    const addresses = ['0.0.0.0', '::', '::2', '128.0.0.1', '10.0.0.1', '::ffff:10.0.0.1', '[', '[]'];
    for (const host of [...names, ...addresses]) expect(isLoopbackHost(host), host).toBe(false);
  });
});

describe('listeners', () => {
  it('are three by default, all on loopback', () => {
    const config = configOf({});
    expect(listeners(config)).toEqual([
      { name: 'bus', host: '127.0.0.1', port: 9100 },
      { name: 'telemetry', host: '127.0.0.1', port: 9101 },
      { name: 'http', host: '127.0.0.1', port: 8080 },
    ]);
    expect(onLoopbackOnly(config)).toBe(true);
  });

  it('are as many as are on', () => {
    const off = configOf({ ARQONBUS_ENABLE_TELEMETRY: 'no', ARQONBUS_HTTP_PORT: 'off' });
    expect(listeners(off).map(({ name }) => name)).toEqual(['bus']);
    expect(listeners(configOf({ ARQONBUS_TELEMETRY_PORT: 'off' })).map(({ name }) => name)).toEqual(['bus', 'http']);
  });

  it('are on loopback only when each of them is', () => {
    expect(onLoopbackOnly(configOf({ ARQONBUS_SERVER_HOST: '0.0.0.0' }))).toBe(false);
    expect(onLoopbackOnly(configOf({ ARQONBUS_HTTP_HOST: '10.0.0.1' }))).toBe(false);
    expect(onLoopbackOnly(configOf({ ARQONBUS_HTTP_HOST: '10.0.0.1', ARQONBUS_HTTP_PORT: 'off' }))).toBe(true);
    expect(onLoopbackOnly(configOf({ ARQONBUS_TELEMETRY_HOST: '::', ARQONBUS_ENABLE_TELEMETRY: '0' }))).toBe(true);
  });
});
