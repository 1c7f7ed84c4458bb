import type { Bus } from '@arqonbus/bus';
import type { Labelled, MetricReaders } from '../metrics/metrics.ts';
import { serverFigures } from './stats.ts';

/** How often content inspection decided what. Whoever scrapes may read it, so it names no room and no tenant. */
export type DecisionCounts = Iterable<{
  readonly decision: string;
  readonly reason: string;
  readonly count: number;
}>;

/** Open connections of the listeners there are at the moment. */
export interface OpenConnections {
  readonly websocket: () => number;
  readonly telemetry: () => number;
}

/** How a scrape reads the bus: from the numbers that it counts anyway. */
export function busReaders(
  bus: Bus,
  connections: () => OpenConnections,
  casilDecisions: () => DecisionCounts,
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
    casilDecisionsTotal: () => [...casilDecisions()].map(({ count, ...labels }) => ({ labels, value: count })),
    webhookDeliveriesTotal: () => webhookDeliveries(),
  };
}
