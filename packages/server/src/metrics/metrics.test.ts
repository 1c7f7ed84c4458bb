import { afterEach, describe, expect, it } from 'vitest';
import { type MetricReaders, Metrics } from './metrics.ts';

const made: Metrics[] = [];

function metrics(readers: Partial<MetricReaders> = {}): Metrics {
  const one = new Metrics();
  made.push(one);
  const zero = (): number => 0;
  const none = () => [];
  one.read({
    activeClients: zero,
    receivedTotal: zero,
    sentTotal: zero,
    errorsTotal: none,
    rooms: zero,
    channels: zero,
    uptimeSeconds: zero,
    websocketConnections: zero,
    telemetryConnections: zero,
    slowConsumersTotal: zero,
    casilDecisionsTotal: none,
    webhookDeliveriesTotal: none,
    hookAnswersTotal: none,
    hookBreakersOpen: zero,
    ingressPausedTotal: zero,
    connectionsRefusedTotal: none,
    storageHealthy: () => true,
    memoryLimitBytes: zero,
    memoryRefusedTotal: zero,
    rateLimitedTotal: zero,
    eventsSuppressedTotal: zero,
    telemetryDroppedTotal: zero,
    cronRunsTotal: none,
    cronJobsRefusedTotal: zero,
    storeRefusedTotal: none,
    webhookRulesRefusedTotal: zero,
    groups: () => ({ driven: 0, pending: 0, unacked: 0 }),
    groupHandOutsTotal: zero,
    groupEventsSettledTotal: none,
    ...readers,
  });
  return one;
}

afterEach(() => {
  for (const one of made.splice(0)) one.close();
});

describe('metrics', () => {
  it('has every name that is promised, and those of Node.js', async () => {
    const text = await metrics().text();
    for (const [name, type] of [
      ['active_clients', 'gauge'],
      ['messages_received_total', 'counter'],
      ['messages_sent_total', 'counter'],
      ['errors_total', 'counter'],
      ['rooms_total', 'gauge'],
      ['channels_total', 'gauge'],
      ['uptime_seconds', 'gauge'],
      ['memory_usage_bytes', 'gauge'],
      ['websocket_connections', 'gauge'],
      ['telemetry_connections', 'gauge'],
      ['command_duration_seconds', 'histogram'],
      ['delivery_duration_seconds', 'histogram'],
      ['casil_decisions_total', 'counter'],
      ['casil_inspection_seconds', 'histogram'],
      ['slow_consumers_total', 'counter'],
      ['webhook_deliveries_total', 'counter'],
      ['hook_answers_total', 'counter'],
      ['hook_breakers_open', 'gauge'],
      ['storage_operation_seconds', 'histogram'],
      ['ingress_paused_total', 'counter'],
      ['connections_refused_total', 'counter'],
      ['memory_refused_total', 'counter'],
      ['rate_limited_total', 'counter'],
      ['events_suppressed_total', 'counter'],
      ['telemetry_dropped_total', 'counter'],
      ['cron_runs_total', 'counter'],
      ['cron_jobs_refused_total', 'counter'],
      ['store_refused_total', 'counter'],
      ['webhook_rules_refused_total', 'counter'],
    ]) {
      expect(text).toContain(`# TYPE arqonbus_${name} ${type}\n`);
    }
    expect(text).toMatch(/^nodejs_version_info\{/m);
    expect(text).toMatch(/^process_cpu_seconds_total \d/m);
    expect(text).toMatch(/^arqonbus_memory_usage_bytes \d{6,}/m);
  });

  it('name no gauge like a counter, but for the two that are promised so', async () => {
    const gauges = [...(await metrics().text()).matchAll(/^# TYPE (\w+) gauge$/gm)].map(([, name]) => name);
    expect(gauges.length).toBeGreaterThan(20);
    expect(gauges.filter((name) => name?.endsWith('_total'))).toEqual([
      'arqonbus_rooms_total',
      'arqonbus_channels_total',
    ]);
  });

  it('reads numbers at each scrape, and only then', async () => {
    let reads = 0;
    let total = 5;
    const one = metrics({
      receivedTotal: () => {
        reads += 1;
        return total;
      },
    });
    expect(reads).toBe(0);
    expect(await one.text()).toContain('\narqonbus_messages_received_total 5\n');
    total = 8;
    expect(await one.text()).toContain('\narqonbus_messages_received_total 8\n');
    expect(reads).toBe(2);
  });

  it('reads labelled counts', async () => {
    const one = metrics({
      errorsTotal: () => [{ labels: { code: 'NO_ROUTE' }, value: 3 }],
      casilDecisionsTotal: () => [{ labels: { decision: 'BLOCK', reason: 'X' }, value: 2 }],
      webhookDeliveriesTotal: () => [{ labels: { outcome: 'delivered' }, value: 4 }],
    });
    for (const text of [await one.text(), await one.text()]) {
      expect(text).toContain('\narqonbus_errors_total{code="NO_ROUTE"} 3\n');
      expect(text).toContain('\narqonbus_casil_decisions_total{decision="BLOCK",reason="X"} 2\n');
      expect(text).toContain('\narqonbus_webhook_deliveries_total{outcome="delivered"} 4\n');
    }
  });

  it('reads what groups do', async () => {
    const one = metrics({
      groups: () => ({ driven: 2, pending: 7, unacked: 3 }),
      groupHandOutsTotal: () => 40,
      groupEventsSettledTotal: () => [{ labels: { outcome: 'rejected' }, value: 5 }],
    });
    const text = await one.text();
    expect(text).toContain('\narqonbus_groups_driven 2\n');
    expect(text).toContain('\narqonbus_group_events_pending 7\n');
    expect(text).toContain('\narqonbus_group_events_unacked 3\n');
    expect(text).toContain('\narqonbus_group_hand_outs_total 40\n');
    expect(text).toContain('\narqonbus_group_events_settled_total{outcome="rejected"} 5\n');
  });

  it('puts durations into buckets', async () => {
    const one = metrics();
    one.observeDelivery(0.000_03);
    one.observeInspection(0.000_2);
    one.observeStorage('redis', 'publish', 0.003);
    one.observeCommand('ping', 0.000_05);
    const text = await one.text();
    expect(text).toContain('arqonbus_delivery_duration_seconds_bucket{le="0.000025"} 0\n');
    expect(text).toContain('arqonbus_delivery_duration_seconds_bucket{le="0.00005"} 1\n');
    expect(text).toContain('arqonbus_casil_inspection_seconds_sum 0.0002\n');
    expect(text).toContain('arqonbus_storage_operation_seconds_count{backend="redis",operation="publish"} 1\n');
    expect(text).toContain('arqonbus_command_duration_seconds_count{command="ping"} 1\n');
  });

  it('keeps the figures of two servers in one process apart', async () => {
    const [one, other] = [metrics({ rooms: () => 1 }), metrics({ rooms: () => 2 })];
    one.observeDelivery(1);
    expect(await other.text()).toContain('arqonbus_delivery_duration_seconds_count 0\n');
    expect(await one.text()).toContain('\narqonbus_rooms_total 1\n');
    expect(await other.text()).toContain('\narqonbus_rooms_total 2\n');
  });
});
