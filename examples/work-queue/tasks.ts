// Publishes tasks for the workers, waits until all are done, and prints how many each worker did.
//
//   node --import tsx examples/work-queue/tasks.ts [HOW-MANY] [MILLISECONDS-EACH]
import { setTimeout as pause } from 'node:timers/promises';
import { ArqonBusClient } from '@arqonbus/client';
import { newId } from '@arqonbus/protocol';
import { GROUP, RESULTS, type Task } from './place.ts';

const { ARQONBUS_WS_URL: url = 'ws://127.0.0.1:9100', ARQONBUS_TOKEN: token } = process.env;
const [count = 300, milliseconds = 20] = process.argv.slice(2).map(Number);
const client = new ArqonBusClient({ url, screenName: 'Tasks', ...(token === undefined ? {} : { token }) });
await client.connect();
// The group is created before the first task is published, so it has all of them, even without workers.
await client.command('group.create', GROUP);

const run = newId();
for (let number = 1; number <= count; number += 1) {
  const task: Task = { run, number, milliseconds };
  await client.publish(`${GROUP.room}:${GROUP.channel}`, task);
}
console.log(`${count} tasks published`);

const doneBy = new Map<string, number>();
let isOver = false;
process.once('SIGINT', () => {
  isOver = true;
});
while (!isOver) {
  const { pending, unacked } = await client.command('group.info', {
    room: GROUP.room,
    channel: GROUP.channel,
    group: GROUP.group,
  });
  if (pending + unacked === 0) break;
  await pause(200);
}
for await (const key of client.store.keys({ ...RESULTS, prefix: `${run}/` })) {
  const { value } = await client.store.get(key, RESULTS);
  const { by } = value as { by: string };
  doneBy.set(by, (doneBy.get(by) ?? 0) + 1);
}
const done = [...doneBy.values()].reduce((sum, each) => sum + each, 0);
console.log(`${done} of ${count} done: ${[...doneBy].map(([by, each]) => `${by} ${each}`).join(', ')}`);
await client.close();
process.exitCode = done === count ? 0 : 1;
