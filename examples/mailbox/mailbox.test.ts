import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { BusProcess } from '../../test/e2e/faults/bus-process.ts';
import { Running } from '../run.suite.ts';

let folder: string;
let bus: BusProcess;
const running: Running[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'arqonbus-mail-'));
  const path = join(folder, 'bus.db');
  bus = await BusProcess.start('mail', { ARQONBUS_STORAGE_BACKEND: 'sqlite', ARQONBUS_SQLITE_PATH: path });
}, 120_000);
afterAll(async () => {
  for (const example of running) example.kill();
  await bus.kill();
  await rm(folder, { recursive: true });
});

function run(name: string, ...args: string[]): Running {
  const example = new Running(`mailbox/${name}`, args, { ARQONBUS_WS_URL: bus.url });
  running.push(example);
  return example;
}

it('mailbox keeps mail for somebody who is away, with the bus killed between', { timeout: 90_000 }, async () => {
  const sender = run('send.ts', 'ada', '50');
  await sender.says(/50 letters queued, 50 wait for ada/);
  await bus.kill();
  await bus.start();
  const reader = run('read.ts', 'ada');
  await reader.says(/letter 50 \(attempt \d+\)/);
  // The sender is back on its line, and hears what became of each.
  await sender.says(/handled by ada \(50 of 50\)/);
  expect(await sender.end()).toBe(0);
  expect(await reader.interrupt()).toBe(0);
  const numbers = [...reader.output.matchAll(/from shop: letter (\d+) /g)].map(([, number]) => Number(number));
  expect(numbers).toEqual(Array.from({ length: 50 }, (_, index) => index + 1));
});
