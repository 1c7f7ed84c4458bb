import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';

/** Maximum bytes of memory of a channel at rest, including its event. */
const MOST = 1_536;
const CHANNELS = 20_000;
/** Characters of the payload; with them an event has about 500. */
const NOTE = 220;

const SCRIPT = `
import { createBus } from ${JSON.stringify(new URL('./bus.ts', import.meta.url).href)};
const bus = await createBus({ limits: { maxChannelsPerSubject: 100_000 } });
const used = () => {
  for (let n = 0; n < 3; n += 1) gc();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
};
const publish = (n, note) => bus.publish('science:channel-' + n, { n, note }, { id: 'arq_' + String(n).padStart(20, '0') });
const note = 'x'.repeat(${NOTE});
for (let n = 0; n < 1000; n += 1) await publish('warm' + n, note);
const before = used();
for (let n = 0; n < ${CHANNELS}; n += 1) await publish(n, note);
console.log((used() - before) / ${CHANNELS});
await bus.close();
`;

it('takes no more than 1.5 KiB at rest, its last event included', async () => {
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ['--expose-gc', '--import', 'tsx', '--input-type=module', '--eval', SCRIPT],
    { cwd: new URL('../../..', import.meta.url).pathname },
  );
  const bytes = Number(stdout);
  expect(bytes).toBeGreaterThan(NOTE);
  expect(bytes).toBeLessThanOrEqual(MOST);
}, 120_000);
