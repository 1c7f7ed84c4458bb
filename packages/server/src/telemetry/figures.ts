import type { Bus } from '@arqonbus/bus';
import type { Labelled, MetricReaders } from '../metrics/metrics.ts';
import { serverFigures } from './stats.ts';

/** Counts of content inspection decisions. Any scraper may read them, so they name no room and no tenant. */
export type DecisionCounts = Iterable<{
  readonly decision: string;
  readonly reason: string;
  readonly count: number;
}>;

/** Connection counts of the open listeners. */
export interface OpenConnections {
  readonly websocket: () => number;
  readonly telemetry: () => number;
  /** Telemetry events dropped for slow clients. */
  readonly dropped: () => number;
}

/** How a scrape reads the bus: from counters it keeps anyway. */
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
    hookAnswersTotal: () => bus.http.outcomes,
    hookBreakersOpen: () => bus.http.openBreakers,
    ingressPausedTotal: () => bus.ingress.paused,
    connectionsRefusedTotal: () =>
      [...bus.refusals()].map(([status, value]) => ({ labels: { status: `${status}` }, value })),
    storageHealthy: () => bus.engine.healthy(),
    memoryLimitBytes: () => bus.memory.limit,
    memoryRefusedTotal: () => bus.memory.refused,
    rateLimitedTotal: () => bus.faults.rateLimited,
    eventsSuppressedTotal: () => bus.events.budget.suppressed,
    telemetryDroppedTotal: () => connections().dropped(),
    cronRunsTotal: () => counted(bus.cron?.counts, CRON_RUNS, (outcome) => ({ outcome })),
    cronJobsRefusedTotal: () => bus.cron?.counts.over_quota ?? 0,
    storeRefusedTotal: () => counted(bus.store?.counts, STORE_REFUSALS, (reason) => ({ reason })),
    webhookRulesRefusedTotal: () => bus.webhooks?.counts.over_quota ?? 0,
    groups: () => bus.groups.figures,
    groupHandOutsTotal: () => bus.groups.totals.handOuts,
    groupEventsSettledTotal: () => counted(bus.groups.totals.settled, SETTLEMENTS, (outcome) => ({ outcome })),
  };
}

const CRON_RUNS = ['fired', 'missed', 'limited', 'refused', 'failed'] as const;
const SETTLEMENTS = ['handled', 'rejected', 'expired', 'lost'] as const;
const STORE_REFUSALS = ['over_quota', 'refused'] as const;

/** Some counts of an operator with their labels; empty if the operator is disabled. */
function counted<K extends string, L extends string>(
  counts: Readonly<Record<K, number>> | undefined,
  names: readonly K[],
  labelled: (name: K) => Readonly<Record<L, string>>,
): Labelled<L> {
  return counts === undefined ? [] : names.map((name) => ({ labels: labelled(name), value: counts[name] }));
}
