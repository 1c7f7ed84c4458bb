import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startTestServer, type TestServer } from '../../fixtures/start.ts';
import { Arqon } from './arqon.ts';

const typed = (properties: object) => ({ schema: { type: 'object', properties }, mode: 'enforce' });
const RULES = [
  { match: 'orders:new', schema: typed({ id: { type: 'integer' } }) },
  { match: 'yard:*', schema: typed({ gate: { type: 'boolean' } }) },
  { match: 'orders:>', history: { size: 5 } },
];

let server: TestServer;
let arqon: Arqon;
beforeAll(async () => {
  server = await startTestServer({ ARQONBUS_RULES: JSON.stringify(RULES) });
});
afterAll(() => server.stop());
beforeEach(() => {
  arqon = Arqon.at(server);
});
afterEach(() => arqon.stop());

describe('arqon types', () => {
  it('writes the types of a bus, of its own rules before those of its configuration', async () => {
    const own = [{ match: 'orders:new', schema: typed({ sku: { type: 'string' } }) }];
    await arqon.run(['rules', 'set', '-'], { input: JSON.stringify(own) });
    const { code, stdout, stderr } = await arqon.run(['types', '--lang', 'ts']);
    expect([code, stderr]).toEqual([0, '']);
    expect(stdout).toContain('export interface OrdersNewPayload {\n  sku?: string;\n}');
    expect(stdout).toContain('  "orders:new": OrdersNewPayload;');
    expect(stdout).toContain('  "yard:*": YardAnyPayload;');
    expect(stdout).not.toContain('id?: number');
    await arqon.run(['types', '--lang', 'python', '--room', 'yard', '-o', 'types.py']);
    const python = readFileSync(join(arqon.folder, 'types.py'), 'utf8');
    expect(python).toContain('"gate": bool,');
    expect(python).not.toContain('orders');
  });

  it('reads a configuration file without a bus, and says what is wrong', async () => {
    const offline = new Arqon();
    try {
      const write = (rules: unknown) =>
        writeFileSync(join(offline.folder, 'bus.config.json'), JSON.stringify({ rules }));
      const run = (...args: string[]) => offline.run(['types', '--config', 'bus.config.json', ...args]);
      write(RULES);
      expect((await run('--lang', 'ts', '--room', 'orders')).stdout).toContain('id?: number');
      const nowhere = await run('--lang', 'ts', '--room', 'ord*');
      expect([nowhere.code, nowhere.stderr]).toEqual([2, expect.stringContaining('--room')]);
      const unwritable = await run('--lang', 'ts', '-o', 'no/such/folder.ts');
      expect([unwritable.code, unwritable.stderr]).toEqual([
        2,
        'arqon: --out names no/such/folder.ts, which cannot be written (ENOENT).\n',
      ]);
      write([{ match: 'orders:new', schem: {} }]);
      const wrong = await run('--lang', 'ts');
      expect([wrong.code, wrong.stderr]).toEqual([2, expect.stringContaining('rules.0.schem')]);
    } finally {
      await offline.stop();
    }
  });
});
