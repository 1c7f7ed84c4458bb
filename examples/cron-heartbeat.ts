// The bus itself sends a heartbeat to a channel, and a monitor raises an alarm when one is missing. This detects
// any failure between the two.
//
//   node --import tsx examples/cron-heartbeat.ts                     one beat a second until Ctrl-C
//   node --import tsx examples/cron-heartbeat.ts --every 0.2 --beats 3
import { parseArgs } from 'node:util';
import { ArqonBusClient } from '@arqonbus/client';

const { ARQONBUS_WS_URL: url = 'ws://127.0.0.1:9100', ARQONBUS_TOKEN: token } = process.env;
const { values } = parseArgs({ options: { every: { type: 'string' }, beats: { type: 'string' } } });
const everySeconds = Number(values.every ?? 1);
const beats = Number(values.beats ?? 0);
const [room, channel] = ['monitoring', 'heartbeat'];

const client = new ArqonBusClient({
  url,
  clientType: 'service',
  screenName: 'Monitor',
  ...(token === undefined ? {} : { token }),
});
await client.connect();
const heartbeat = await client.subscribe<{ alive: boolean }>(`${room}:${channel}`);

// The job ends with its owner's connection; `durable: true` keeps it across restarts. For a time of day use
// `cron: '0 9 * * MON-FRI', timezone: 'Europe/Berlin'` instead of the two seconds.
const job = await client.cron.schedule({
  room,
  channel,
  payload: { alive: true },
  delay_seconds: everySeconds,
  interval_seconds: everySeconds,
  repeat_count: beats,
});
console.log(`${job.job_id} beats in ${room}:${channel} every ${everySeconds} s`);

let alarm: NodeJS.Timeout | undefined;
function expectNext(): void {
  clearTimeout(alarm);
  alarm = setTimeout(() => console.error('ALARM: no heartbeat'), (everySeconds * 3 + 1) * 1_000);
}
process.once('SIGINT', () => void client.close());

expectNext();
for await (const { from, timestamp, envelope } of heartbeat) {
  expectNext();
  const iteration = envelope.metadata?.iteration;
  console.log(`beat ${iteration} from ${from} at ${timestamp}`);
  if (iteration === beats) break;
}
clearTimeout(alarm);
await client.close();
