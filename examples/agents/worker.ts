// A worker of the team: takes experiments as a member of a group, one at a time, and publishes the results.
//
//   node --import tsx examples/agents/worker.ts ada GROUP           see worker.py for the same in Python
//   node --import tsx examples/agents/worker.ts ada GROUP --hang    its model never answers
//
// It ends with its input (Ctrl-D).
import { once } from 'node:events';
import { ArqonBusClient } from '@arqonbus/client';
import { cardOf, type Experiment, RESULTS, type Result, TEAM, WORK } from './place.ts';

/** Longer than any experiment. A worker that is busy for longer is shown as lapsed. */
const BUSY_SECONDS = 1;

const [name = 'ada', group = 'lab', option] = process.argv.slice(2);
const url = process.env.ARQONBUS_WS_URL ?? 'ws://127.0.0.1:9100';

/** Replaces a language model; call your own model instead. */
async function model({ yeast, sugar, warm }: Experiment): Promise<boolean> {
  if (option === '--hang') await new Promise(() => {});
  return yeast && sugar && warm;
}

const client = new ArqonBusClient({ url, subject: name, screenName: name, clientType: 'ai-agent' });
await client.connect();
await client.identify({ card: cardOf('Makes doughs.', 'experiment'), state: 'idle', note: 'TypeScript' });
await client.join(TEAM);
// One experiment at a time. If this worker dies, its experiment goes to another one.
const work = await client.subscribe<Experiment>(WORK, { group, prefetch: 1 });
process.stdin.resume();
once(process.stdin, 'end')
  .then(() => client.drain({ timeoutMs: 5_000 }))
  .catch((error: Error) => {
    console.error(`${name} did not finish: ${error.message}`);
    process.exit(1);
  });

for await (const task of work) {
  const { number } = task.payload;
  await client.identify({ state: 'busy', note: `experiment ${number}`, ttlSeconds: BUSY_SECONDS });
  const result: Result = { ...task.payload, rises: await model(task.payload), by: name, attempt: task.attempt };
  // Publish before the acknowledgement: an experiment may run twice, but none is lost.
  await client.publish(RESULTS, result, { metadata: { causal_parent_id: task.id } });
  await client.identify({ state: 'idle', note: 'TypeScript' });
}
