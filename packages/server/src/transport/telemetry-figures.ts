import type { Bus } from '../bus/bus.ts';
import type { Labelled, MetricReaders } from '../metrics/metrics.ts';
import { serverFigures } from './telemetry-stats.ts';

/** Counts by a text made of several labels. */
export class LabelledCounts<L extends string> {
  private readonly counts: Map<string, { labels: Readonly<Record<L, string>>; value: number }> = new Map();

  add(labels: Readonly<Record<L, string>>): void {
    const key = JSON.stringify(labels);
    const known = this.counts.get(key);
    if (known === undefined) this.counts.set(key, { labels, value: 1 });
    else known.value += 1;
  }

  all(): Labelled<L> {
    return this.counts.values();
  }
}

/** Open connections of the listeners there are at the moment. */
export interface OpenConnections {
  readonly websocket: () => number;
  readonly telemetry: () => number;
}

/** How a scrape reads the bus: from the numbers that it counts anyway. */
export function busReaders(
  bus: Bus,
  connections: () => OpenConnections,
  casilDecisions: LabelledCounts<'decision' | 'reason'>,
  webhookDeliveries: () => Labelled<'outcome'>,
): MetricReaders {
  const figures = () => serverFigures(bus, connections().telemetry());
  return {
    activeClients: () => figures().clients,
    receivedTotal: () => figures().messages_total,
    sentTotal: () => figures().deliveries_total,
    errorsTotal: () => [...bus.faults.errors].map(([code, value]) => ({ labels: { code }, value })),
    rooms: () => figures().rooms,
    channels: () => figures().channels,
    uptimeSeconds: () => (bus.options.now() - bus.startedAt) / 1000,
    websocketConnections: () => connections().websocket(),
    telemetryConnections: () => connections().telemetry(),
    slowConsumersTotal: () => bus.faults.slowConsumers,
    casilDecisionsTotal: () => casilDecisions.all(),
    webhookDeliveriesTotal: () => webhookDeliveries(),
  };
}
