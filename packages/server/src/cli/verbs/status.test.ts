import { afterEach, describe, expect, it, vi } from 'vitest';
import { createProgram } from '../program.ts';
import { onTerminal } from '../terminal/capture.suite.ts';
import { CLI_VERSION } from '../version.ts';

// Nothing answers at the default addresses, whatever runs on the machine of the test.
vi.mock('../remote/find.ts', () => ({
  findBus: async () => {
    throw new Error('no bus answers at ws://127.0.0.1:9100 (ECONNREFUSED); start one with "arqon serve".');
  },
}));

const run = (...args: string[]): Promise<string> =>
  onTerminal(() => createProgram().parseAsync(['node', 'arqon', 'version', ...args]), { env: { NO_COLOR: '1' } });

afterEach(() => {
  process.exitCode = undefined;
});

describe('arqon version without a bus', () => {
  it('prints its own version and says that none answers, which is no failure when none was named', async () => {
    expect(await run()).toBe(
      `arqon     ${CLI_VERSION}\narqon: no bus answers at ws://127.0.0.1:9100 (ECONNREFUSED); start one with "arqon serve".\n`,
    );
    expect(JSON.parse((await run('--json')).replace(/arqon: .*\n/, ''))).toEqual({ arqon: CLI_VERSION, server: null });
    expect(process.exitCode).toBeUndefined();
  });

  it('fails when one was named', async () => {
    await expect(run('--ws-url', 'ws://127.0.0.1:1')).rejects.toThrow('no bus answers');
    await expect(run('--http-url', 'http://127.0.0.1:1')).rejects.toThrow('no bus answers');
  });
});
