import { afterAll, beforeAll, expect, it } from 'vitest';
import { startTestServer, type TestServer } from '../../test/fixtures/start.ts';
import { Running } from '../run.suite.ts';

let bus: TestServer;
const running: Running[] = [];

beforeAll(async () => {
  bus = await startTestServer();
});
afterAll(async () => {
  for (const example of running) example.kill();
  await bus.stop();
});

function run(name: string, ...args: string[]): Running {
  const example = new Running(`work-queue/${name}`, args, { ARQONBUS_WS_URL: bus.urls.bus });
  running.push(example);
  return example;
}

it('work-queue has each of 300 tasks done, though a worker is killed and one is frozen', {
  timeout: 120_000,
}, async () => {
  const [ada, grace, joan] = ['Ada', 'Grace', 'Joan'].map((name) => run('worker.ts', name)) as [
    Running,
    Running,
    Running,
  ];
  await Promise.all([ada, grace, joan].map((worker) => worker.says(/is ready/)));
  const tasks = run('tasks.ts', '300');
  await grace.says(/Grace did task/);
  grace.kill();
  await joan.says(/Joan did task/);
  joan.signal('SIGSTOP');
  const code = await tasks.end();
  expect([code, tasks.output]).toEqual([0, expect.stringMatching(/300 of 300 done: /)]);
  joan.signal('SIGCONT');
  // What it had in hand is somebody else's by now, and done.
  await joan.says(/Joan was too late for task \d+ \(LEASE_LOST\)/);
  expect(joan.output).toMatch(/Joan finds task \d+ done already/);
  expect(await joan.interrupt()).toBe(0);
  expect(await ada.interrupt()).toBe(0);
});
