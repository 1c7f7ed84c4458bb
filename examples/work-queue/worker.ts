// One of several workers that share tasks. Kill it (kill -9) or freeze it (kill -STOP) in the middle of its work: the
// others do what it has not finished.
//
//   node --import tsx examples/work-queue/worker.ts Ada       in one terminal
//   node --import tsx examples/work-queue/worker.ts Grace     in another
//   node --import tsx examples/work-queue/tasks.ts 300        in a third one
//
// A task may be begun twice, when a worker dies over it. Its effect happens once: it is a write that only the first can make.
import { setTimeout as pause } from 'node:timers/promises';
import { ArqonBusClient, CommandError, type Delivery, LeaseLostError } from '@arqonbus/client';
import { GROUP, RESULTS, type Task } from './place.ts';

const { ARQONBUS_WS_URL: url = 'ws://127.0.0.1:9100', ARQONBUS_TOKEN: token } = process.env;
const name = process.argv[2] ?? 'Worker';
const client = new ArqonBusClient({
  url,
  clientType: 'service',
  screenName: name,
  ...(token === undefined ? {} : { token }),
});
await client.connect();
// Whoever comes first makes the group; for the others it is there.
await client.command('group.create', GROUP);
const tasks = await client.subscribe<Task>(`${GROUP.room}:${GROUP.channel}`, {
  group: GROUP.group,
  prefetch: 4,
  manualAck: true,
});
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void client.drain());
console.log(`${name} is ready (process ${process.pid})`);

for await (const task of tasks) {
  const { number, milliseconds } = task.payload;
  console.log(`${name} begins task ${number}, attempt ${task.attempt}`);
  await pause(milliseconds);
  if (await isFirst(task)) console.log(`${name} did task ${number}`);
  else console.log(`${name} finds task ${number} done already`);
  try {
    await task.ack();
  } catch (error) {
    if (!(error instanceof LeaseLostError)) throw error;
    // Whoever has it now will find it done.
    console.log(`${name} was too late for task ${number} (${error.code})`);
  }
}

/** Writes the result of a task, unless somebody has: the version 0 is that of a key that is not there. */
async function isFirst({ payload, id }: Delivery<Task>): Promise<boolean> {
  try {
    await client.store.set(`${payload.run}/${id}`, { number: payload.number, by: name }, { ...RESULTS, ifVersion: 0 });
    return true;
  } catch (error) {
    if (error instanceof CommandError && error.code === 'CONFLICT') return false;
    throw error;
  }
}
