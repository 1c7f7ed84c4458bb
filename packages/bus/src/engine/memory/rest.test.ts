import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';

/** What a resting channel may take, in bytes, beside the events that it keeps. */
const MOST = 1_536;
const CHANNELS = 20_000;

const SCRIPT = `
import { createMemoryEngine } from ${JSON.stringify(new URL('./memory.ts', import.meta.url).href)};
const engine = createMemoryEngine();
await engine.open({ deliver: () => 0, receive() {}, health() {}, historyGap() {}, gap() {}, trimmed() {} });
const text = JSON.stringify({ payload: { n: 1 } }).slice(0, -1) + ',"metadata":{';
const used = () => {
  for (let n = 0; n < 3; n += 1) gc();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
};
const publish = (n) => engine.broker.publish({
  stream: { tenant: 'default', room: 'science', channel: 'channel-of-a-usual-length-' + n },
  draft: { id: 'arq_' + String(n).padStart(20, '0'), from: 'arq_client_0123456789', time: Date.now(), open: text },
  identity: 'user-' + (n % 100),
  retention: { size: 500, ttlMs: 86400000, bytes: 16777216 },
});
for (let n = 0; n < 1000; n += 1) publish('warm' + n);
const before = used();
for (let n = 0; n < ${CHANNELS}; n += 1) publish(n);
console.log((used() - before) / ${CHANNELS});
await engine.close();
`;

it('a channel that rests takes no more than 1.5 KiB, its last event included', async () => {
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ['--expose-gc', '--import', 'tsx', '--input-type=module', '--eval', SCRIPT],
    { cwd: new URL('../../../../..', import.meta.url).pathname },
  );
  const bytes = Number(stdout);
  expect(bytes).toBeGreaterThan(0);
  expect(bytes).toBeLessThanOrEqual(MOST);
}, 120_000);
