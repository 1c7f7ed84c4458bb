/**
 * A process that publishes as fast as the engine takes it and says on its standard output which ids were acknowledged,
 * until it is killed: `crash-writer.suite.ts PATH RUN`.
 */
import { writeSync } from 'node:fs';
import { openDraft } from '@arqonbus/protocol';
import { createSqliteEngine } from './sqlite.ts';

const [path = '', run = ''] = process.argv.slice(2);
const engine = createSqliteEngine({ path });
await engine.open({ deliver: () => 1, receive() {}, health() {}, historyGap() {}, gap() {}, trimmed() {} });
const retention = { size: 1_000_000, ttlMs: 86_400_000 };

async function publisher(number: number): Promise<void> {
  for (let count = 0; ; count += 1) {
    const id = `arq_${run}_${number}_${count}`;
    const stream = { tenant: 'default', room: 'science', channel: `channel-${(number + count) % 3}` };
    const { room, channel } = stream;
    const draft = openDraft({ id, type: 'event', room, channel, from: 'http:writer', payload: { count } });
    const { sequence } = await engine.broker.publish({ stream, draft, identity: `writer-${number}`, retention });
    // Synchronous, so that what was acknowledged is told before the process can be killed by the next event.
    writeSync(1, `${channel} ${sequence} ${id} ${number}\n`);
  }
}

for (let number = 0; number < 16; number += 1) void publisher(number);
