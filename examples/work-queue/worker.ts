// One of several workers that share tasks. Kill it (kill -9) or freeze it (kill -STOP) during its work, and the
// others finish its tasks.
//
//   node --import tsx examples/work-queue/worker.ts Ada       in one terminal
//   node --import tsx examples/work-queue/worker.ts Grace     in another
//   node --import tsx examples/work-queue/tasks.ts 300        in a third one
//
// A task may be started twice if a worker dies. Its effect happens once, because only the first write of its key succeeds.
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
// The first worker creates the group, and the others use it.
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
    // The worker that has it now will find it done.
    console.log(`${name} was too late for task ${number} (${error.code})`);
  }
}

/** Writes the result of a task, unless it exists: version 0 means that the key does not exist. */
async function isFirst({ payload, id }: Delivery<Task>): Promise<boolean> {
  try {
    await client.store.set(`${payload.run}/${id}`, { number: payload.number, by: name }, { ...RESULTS, ifVersion: 0 });
    return true;
  } catch (error) {
    if (error instanceof CommandError && error.code === 'CONFLICT') return false;
    throw error;
  }
}
