import { afterEach, expect, it, vi } from 'vitest';
import { startTestServer, type TestServer } from '../../../test/fixtures/start.ts';

let server: TestServer;

afterEach(async () => {
  vi.useRealTimers();
  await server.stop();
});

it('logs once a minute that the clock of the machine has left that of the storage', async () => {
  vi.useFakeTimers({ toFake: ['Date', 'setInterval', 'clearInterval'] });
  server = await startTestServer({ ARQONBUS_LOG_LEVEL: 'warn', ARQONBUS_TELEMETRY_ENABLED: 'false' });
  const warnings = (): string[] => server.log.filter((line) => line.includes('The clock of this machine'));
  expect(warnings()).toEqual([]);
  vi.setSystemTime(Date.now() + 130_000);
  await vi.advanceTimersByTimeAsync(59_000);
  expect(warnings()).toEqual([]);
  await vi.advanceTimersByTimeAsync(61_000);
  expect(warnings()).toHaveLength(2);
  expect(JSON.parse(warnings()[0] ?? '')).toMatchObject({ level: 'warn', msg: expect.stringContaining('ahead of') });
});
