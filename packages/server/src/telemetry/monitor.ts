import type { Bus, Happening } from '@arqonbus/bus';
import type { Logger } from '../log.ts';
import type { Labelled, Metrics } from '../metrics/metrics.ts';
import { TelemetryFeed } from './feed.ts';
import { busReaders, type DecisionCounts, type OpenConnections } from './figures.ts';
import { logEvents, logRefusals } from './log.ts';
import { logRouting, sampleRouting } from './routing.ts';
import { reportStats } from './stats.ts';

export interface MonitorOptions {
  readonly telemetry: boolean;
  readonly bufferSize: number;
  readonly messageSampleRate: number;
  readonly statsIntervalMs: number;
}

const NOTHING_OPEN: OpenConnections = { websocket: () => 0, telemetry: () => 0 };

/**
 * Watches the bus for all who want to know: the feed of events, the metrics, the log. It lives as long as the bus;
 * listeners may close and open meanwhile.
 */
export class Monitor {
  readonly feed: TelemetryFeed;
  readonly metrics: Metrics;
  readonly requests: { total: number; errors: number } = { total: 0, errors: 0 };
  /** The listeners that are open now count what they hold. */
  connections: OpenConnections = NOTHING_OPEN;
  /** Whoever delivers webhooks counts here how they ended. */
  webhookDeliveries: () => Labelled<'outcome'> = () => [];
  /** Whoever inspects content counts here what was decided. */
  casilDecisions: () => DecisionCounts = () => [];
  private readonly stops: (() => void)[];

  /** @param metrics fresh ones; what they read is set here */
  constructor(bus: Bus, metrics: Metrics, log: Logger, options: MonitorOptions) {
    const { telemetry, bufferSize, messageSampleRate, statsIntervalMs } = options;
    this.metrics = metrics;
    this.feed = new TelemetryFeed({ enabled: telemetry, room: bus.options.telemetryRoom, bufferSize });
    metrics.read(
      busReaders(
        bus,
        () => this.connections,
        () => this.casilDecisions(),
        () => this.webhookDeliveries(),
      ),
    );
    bus.publisher.timing.observe = metrics.observeDelivery;
    this.stops = [
      bus.events.on((happening) => this.measure(happening)),
      bus.events.on((happening) => this.feed.record(happening)),
      logEvents(bus.events, log),
      logRefusals(bus.faults, log),
      logRouting(bus, log),
      sampleRouting(bus, telemetry ? messageSampleRate : 0),
      reportStats(bus, log, statsIntervalMs, () => this.connections.telemetry()),
    ];
  }

  answered(status: number): void {
    this.requests.total += 1;
    if (status >= 500) this.requests.errors += 1;
  }

  stop(): void {
    for (const stop of this.stops) stop();
    this.metrics.close();
  }

  private measure({ event: { eventType, payload }, submitted }: Happening): void {
    if (submitted || eventType !== 'command_executed') return;
    this.metrics.observeCommand(String(payload.command), Number(payload.duration_ms) / 1000);
  }
}
