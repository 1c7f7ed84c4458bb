import { expect, it } from 'vitest';
import type { Relayed } from './messages.ts';
import { TelemetryRelay } from './telemetry-relay.ts';

const event = (text: string): Relayed => [
  { tenant: 'default', eventType: 'client_connected', room: undefined, channel: undefined, text },
  'client_connected',
];

it('passes one batch at a time, and counts what came too fast', async () => {
  const batches: (readonly Relayed[])[] = [];
  const sent: (() => void)[] = [];
  const lost: number[] = [];
  const relay = new TelemetryRelay(
    (events, done) => {
      batches.push(events);
      sent.push(done);
    },
    (events) => lost.push(events),
    10,
  );
  relay.pass(event('one'));
  relay.pass(event('two'));
  await expect.poll(() => batches.length).toBe(1);
  expect(batches[0]?.map(([{ text }]) => text)).toEqual(['one', 'two']);
  for (let n = 0; n < 5; n += 1) relay.pass(event('three'));
  expect(batches).toHaveLength(1);
  sent.shift()?.();
  expect(batches[1]).toHaveLength(2);
  expect(lost).toEqual([3]);
  sent.shift()?.();
  relay.pass(event('four'));
  await expect.poll(() => batches.length).toBe(3);
  expect(lost).toEqual([3]);
});
