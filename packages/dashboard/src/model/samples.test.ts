import { describe, expect, it } from 'vitest';
import { Samples, WINDOW_S } from './samples.ts';

const scrape = (received: number, clients = 3): string =>
  `arqonbus_messages_received_total ${received}\narqonbus_active_clients ${clients}\n`;

describe('Samples', () => {
  it('makes rates of counters and keeps gauges', () => {
    const samples = new Samples(2);
    samples.add(100, scrape(10));
    samples.add(102, scrape(50, 4));
    expect(samples.all.map(({ received, connections }) => [received, connections])).toEqual([
      [null, 3],
      [20, 4],
    ]);
    expect(samples.now?.sent).toBeNull();
  });

  it('shows a gap where scrapes failed or the page slept, and no rate across it', () => {
    const samples = new Samples(2);
    samples.add(100, scrape(10));
    samples.miss(102);
    samples.miss(104);
    samples.add(130, scrape(1_000_000));
    expect(samples.all.map(({ at, connections, received }) => [at, connections, received])).toEqual([
      [100, 3, null],
      [102, null, null],
      [102, null, null],
      [130, 3, null],
    ]);
  });

  it('knows a restart by a counter that fell', () => {
    const samples = new Samples(2);
    samples.add(100, scrape(1_000));
    samples.add(102, scrape(5));
    expect(samples.now?.received).toBeNull();
  });

  it('keeps a quarter of an hour', () => {
    const samples = new Samples(2);
    for (let at = 0; at <= WINDOW_S + 100; at += 2) samples.add(at, scrape(at));
    expect(samples.all[0]?.at).toBe(100);
    expect(samples.all).toHaveLength(WINDOW_S / 2 + 1);
  });
});
