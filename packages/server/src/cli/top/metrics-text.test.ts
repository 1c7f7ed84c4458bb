import { describe, expect, it } from 'vitest';
import { Metrics } from '../../metrics/metrics.ts';
import { bucketsOf, parseMetrics, quantile, readValue } from './metrics-text.ts';

describe('Prometheus text', () => {
  it('is read with labels and without, past comments and escapes', () => {
    const metrics = parseMetrics('# HELP a b\na 1\nb{x="1",y="q\\"{}"} 2.5e3\n\nnonsense\n');
    expect(metrics).toEqual([
      { name: 'a', labels: {}, value: 1 },
      { name: 'b', labels: { x: '1', y: 'q\\"{}' }, value: 2_500 },
    ]);
    expect(readValue(metrics, 'a')).toBe(1);
    expect(readValue(metrics, 'missing')).toBe(0);
  });

  it('gives quantiles of what happened between two scrapes', async () => {
    const server = new Metrics();
    const scrape = async () => bucketsOf(parseMetrics(await server.text()), 'arqonbus_delivery_duration_seconds');
    for (let i = 0; i < 100; i += 1) server.observeDelivery(0.9);
    const before = await scrape();
    expect(quantile(before, before, 0.5)).toBeUndefined();
    for (let i = 0; i < 90; i += 1) server.observeDelivery(0.000_2);
    for (let i = 0; i < 10; i += 1) server.observeDelivery(0.004);
    const now = await scrape();
    expect(quantile(now, before, 0.5)).toBeGreaterThan(0.000_1);
    expect(quantile(now, before, 0.5)).toBeLessThanOrEqual(0.000_25);
    expect(quantile(now, before, 0.99)).toBeGreaterThan(0.002_5);
    expect(quantile(now, before, 0.99)).toBeLessThanOrEqual(0.005);
    server.observeDelivery(100);
    expect(quantile(await scrape(), now, 1)).toBe(1);
  });
});
