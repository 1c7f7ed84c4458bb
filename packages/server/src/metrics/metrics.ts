import { AggregatorRegistry, Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';

/** The metrics of one process, in a form that can be sent to another. */
export type Figures = readonly object[];

/** Returns the metrics of all processes of a server; takes those of the calling one. */
export type GatherFigures = (own: Figures) => Promise<readonly Figures[]>;

/** Labels and values of one metric. */
export type Labelled<L extends string> = Iterable<{
  readonly labels: Readonly<Record<L, string>>;
  readonly value: number;
}>;

/**
 * Sources of the scraped values: plain counters that the server keeps anyway, read on demand. All `…Total` only grow.
 */
export interface MetricReaders {
  activeClients(): number;
  receivedTotal(): number;
  sentTotal(): number;
  errorsTotal(): Labelled<'code'>;
  rooms(): number;
  channels(): number;
  uptimeSeconds(): number;
  websocketConnections(): number;
  telemetryConnections(): number;
  slowConsumersTotal(): number;
  casilDecisionsTotal(): Labelled<'decision' | 'reason'>;
  webhookDeliveriesTotal(): Labelled<'outcome'>;
  hookAnswersTotal(): Labelled<'hook' | 'outcome'>;
  hookBreakersOpen(): number;
  ingressPausedTotal(): number;
  connectionsRefusedTotal(): Labelled<'status'>;
  storageHealthy(): boolean;
  memoryLimitBytes(): number;
  memoryRefusedTotal(): number;
  rateLimitedTotal(): number;
  eventsSuppressedTotal(): number;
  telemetryDroppedTotal(): number;
  cronRunsTotal(): Labelled<'outcome'>;
  cronJobsRefusedTotal(): number;
  storeRefusedTotal(): Labelled<'reason'>;
  webhookRulesRefusedTotal(): number;
  groups(): GroupFigures;
  groupHandOutsTotal(): number;
  groupEventsSettledTotal(): Labelled<'outcome'>;
}

/** The groups driven by this process, and their pending and unacknowledged events. */
interface GroupFigures {
  readonly driven: number;
  readonly pending: number;
  readonly unacked: number;
}

const DELIVERY_SECONDS = [
  0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.5, 1,
];
const INSPECTION_SECONDS = [0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.005, 0.025, 0.1];
const OPERATION_SECONDS = [0.000_01, 0.000_1, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5];

/** Gauges of the default metrics that are named like counters; each only sums up another gauge. */
const MISNAMED = ['nodejs_active_handles_total', 'nodejs_active_requests_total', 'nodejs_active_resources_total'];

/**
 * The metrics of one server, in a separate registry, so that two servers in one process do not mix. No label names a
 * room, tenant or client, because the page may be public.
 */
export class Metrics {
  readonly registry: Registry = new Registry();
  private readonly delivery: Histogram;
  private readonly inspection: Histogram;
  private readonly storage: Histogram<'backend' | 'operation'>;
  private readonly command: Histogram<'command'>;
  /** The time series of each command, so that its labels are not hashed at every call. */
  private readonly commands: Map<string, Histogram.Internal<'command'>> = new Map();

  private readonly gather: GatherFigures | null;

  /** @param gather for a server of several processes: the text then sums up all of them */
  constructor(gather: GatherFigures | null = null) {
    this.gather = gather;
    const registers = [this.registry];
    this.delivery = new Histogram({
      name: 'arqonbus_delivery_duration_seconds',
      help: 'From accepting an event to having handed it to the connections of this node; sampled.',
      buckets: DELIVERY_SECONDS,
      registers,
    });
    this.inspection = new Histogram({
      name: 'arqonbus_casil_inspection_seconds',
      help: 'Time that one inspection of content took.',
      buckets: INSPECTION_SECONDS,
      registers,
    });
    this.storage = new Histogram({
      name: 'arqonbus_storage_operation_seconds',
      help: 'Time until the storage backend answered one operation.',
      labelNames: ['backend', 'operation'],
      buckets: OPERATION_SECONDS,
      registers,
    });
    this.command = new Histogram({
      name: 'arqonbus_command_duration_seconds',
      help: 'Time until a command had its result.',
      labelNames: ['command'],
      buckets: OPERATION_SECONDS,
      registers,
    });
    collectDefaultMetrics({ register: this.registry });
    for (const name of MISNAMED) this.registry.removeSingleMetric(name);
  }

  readonly observeDelivery = (seconds: number): void => this.delivery.observe(seconds);

  observeInspection(seconds: number): void {
    this.inspection.observe(seconds);
  }

  observeStorage(backend: string, operation: string, seconds: number): void {
    this.storage.observe({ backend, operation }, seconds);
  }

  /** `command` must come from a bounded set: each new name is a new time series. */
  observeCommand(command: string, seconds: number): void {
    let series = this.commands.get(command);
    if (series === undefined) {
      series = this.command.labels(command);
      this.commands.set(command, series);
    }
    series.observe(seconds);
  }

  /** Registers the metrics that are read on each scrape. Call once. */
  read(readers: MetricReaders): void {
    this.gauge('arqonbus_active_clients', 'Clients connected to this node.', readers.activeClients);
    this.counter('arqonbus_messages_received_total', 'Valid envelopes from clients.', readers.receivedTotal);
    this.counter('arqonbus_messages_sent_total', 'Messages handed to connections.', readers.sentTotal);
    this.labelled('arqonbus_errors_total', 'Refusals and faults told to clients.', ['code'], readers.errorsTotal);
    // All processes of a server have the same rooms.
    this.gauge('arqonbus_rooms_total', 'Rooms of all tenants.', readers.rooms, 'max');
    this.gauge('arqonbus_channels_total', 'Channels of all tenants.', readers.channels, 'max');
    this.gauge('arqonbus_uptime_seconds', 'Time since the start.', readers.uptimeSeconds, 'max');
    this.gauge('arqonbus_workers', 'Processes that these figures are of.', () => 1);
    this.gauge('arqonbus_memory_usage_bytes', 'Resident memory of the process.', () => process.memoryUsage.rss());
    this.gauge('arqonbus_websocket_connections', 'Open sockets of the bus.', readers.websocketConnections);
    this.gauge('arqonbus_telemetry_connections', 'Open telemetry connections.', readers.telemetryConnections);
    this.counter(
      'arqonbus_slow_consumers_total',
      'Connections cut because they read too slowly.',
      readers.slowConsumersTotal,
    );
    this.labelled(
      'arqonbus_casil_decisions_total',
      'Decisions of content inspection.',
      ['decision', 'reason'],
      readers.casilDecisionsTotal,
    );
    this.labelled(
      'arqonbus_webhook_deliveries_total',
      'Webhook deliveries by how they ended.',
      ['outcome'],
      readers.webhookDeliveriesTotal,
    );
    this.labelled(
      'arqonbus_hook_answers_total',
      'Questions to backends, by what they were about and what became of them.',
      ['hook', 'outcome'],
      readers.hookAnswersTotal,
    );
    this.gauge(
      'arqonbus_hook_breakers_open',
      'Backends left alone because they did not answer.',
      readers.hookBreakersOpen,
    );
    this.readBounds(readers);
  }

  /** Counts of what was delayed, dropped or refused because of a limit. */
  private readBounds(readers: MetricReaders): void {
    this.counter(
      'arqonbus_ingress_paused_total',
      'Times that a connection was not read because enough of it waited.',
      readers.ingressPausedTotal,
    );
    this.labelled(
      'arqonbus_connections_refused_total',
      'WebSocket handshakes answered with an HTTP refusal.',
      ['status'],
      readers.connectionsRefusedTotal,
    );
    this.gauge('arqonbus_storage_healthy', 'Whether the storage answers: 1, or 0.', () =>
      readers.storageHealthy() ? 1 : 0,
    );
    this.gauge(
      'arqonbus_memory_limit_bytes',
      'Heap beyond which connections and messages are refused.',
      readers.memoryLimitBytes,
    );
    this.counter(
      'arqonbus_memory_refused_total',
      'Connections and messages refused because the heap was at its limit.',
      readers.memoryRefusedTotal,
    );
    this.counter(
      'arqonbus_rate_limited_total',
      'Messages and HTTP requests refused because they came too fast.',
      readers.rateLimitedTotal,
    );
    this.counter(
      'arqonbus_events_suppressed_total',
      'Log lines and telemetry events about single clients that were only counted.',
      readers.eventsSuppressedTotal,
    );
    this.counter(
      'arqonbus_telemetry_dropped_total',
      'Telemetry events that slow watchers did not get.',
      readers.telemetryDroppedTotal,
    );
    this.labelled('arqonbus_cron_runs_total', 'Due runs by what became of them.', ['outcome'], readers.cronRunsTotal);
    this.counter(
      'arqonbus_cron_jobs_refused_total',
      'Jobs that were not scheduled because there were too many.',
      readers.cronJobsRefusedTotal,
    );
    this.labelled(
      'arqonbus_store_refused_total',
      'Requests to the key-value store that were refused.',
      ['reason'],
      readers.storeRefusedTotal,
    );
    this.counter(
      'arqonbus_webhook_rules_refused_total',
      'Webhook rules that were not registered because there were too many.',
      readers.webhookRulesRefusedTotal,
    );
    this.readGroups(readers);
  }

  private readGroups({ groups, groupHandOutsTotal, groupEventsSettledTotal }: MetricReaders): void {
    this.gauge('arqonbus_groups_driven', 'Groups that this process drives.', () => groups().driven);
    this.gauge('arqonbus_group_events_pending', 'Their events that nobody has yet.', () => groups().pending);
    this.gauge('arqonbus_group_events_unacked', 'Their events that a member has.', () => groups().unacked);
    this.counter('arqonbus_group_hand_outs_total', 'Events handed to members, each time counted.', groupHandOutsTotal);
    this.labelled(
      'arqonbus_group_events_settled_total',
      'Events of groups by how they were settled.',
      ['outcome'],
      groupEventsSettledTotal,
    );
  }

  get contentType(): string {
    return this.registry.contentType;
  }

  /** The metrics of this process. */
  async figures(): Promise<Figures> {
    return this.registry.getMetricsAsJSON();
  }

  /** The current Prometheus text for all processes of this server. */
  async text(): Promise<string> {
    if (this.gather === null) return this.registry.metrics();
    return AggregatorRegistry.aggregate([...(await this.gather(await this.figures()))]).metrics();
  }

  /** Releases all metrics. */
  close(): void {
    this.registry.clear();
  }

  private gauge(name: string, help: string, read: () => number, aggregator: 'sum' | 'max' = 'sum'): void {
    const registers = [this.registry];
    new Gauge({
      name,
      help,
      registers,
      aggregator,
      collect() {
        this.set(read());
      },
    });
  }

  private counter(name: string, help: string, read: () => number): void {
    const registers = [this.registry];
    new Counter({
      name,
      help,
      registers,
      collect() {
        this.reset();
        this.inc(read());
      },
    });
  }

  private labelled<L extends string>(name: string, help: string, labelNames: L[], read: () => Labelled<L>): void {
    const registers = [this.registry];
    new Counter<L>({
      name,
      help,
      labelNames,
      registers,
      collect() {
        this.reset();
        for (const { labels, value } of read()) this.inc(labels as Record<L, string>, value);
      },
    });
  }
}
