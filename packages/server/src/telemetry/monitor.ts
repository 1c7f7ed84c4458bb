import type { Bus } from '@arqonbus/bus';
import type { Logger } from '../log.ts';
import type { Metrics } from '../metrics/metrics.ts';
import { TelemetryFeed } from './feed.ts';
import { busReaders, type DecisionCounts, type OpenConnections } from './figures.ts';
import { logEvents, logRefusals } from './log.ts';
import { logRouting, sampleRouting } from './routing.ts';
import { reportStats } from './stats.ts';

/** What may change while the bus runs. */
export interface MonitorRates {
  /** Share of routed messages that make an event. */
  readonly messageSampleRate: number;
  readonly statsIntervalMs: number;
}

export interface MonitorOptions extends MonitorRates {
  readonly telemetry: boolean;
  readonly bufferSize: number;
  /** What content inspection decided, by whoever counts it. */
  readonly casilDecisions: () => DecisionCounts;
}

const NOTHING_OPEN: OpenConnections = { websocket: () => 0, telemetry: () => 0, dropped: () => 0 };

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
  /** What content inspection decided, by room. */
  readonly casilDecisions: () => DecisionCounts;
  private readonly stops: (() => void)[];
  private readonly repeat: (rates: MonitorRates) => () => void;
  private stopRepeating: () => void;

  /** @param metrics fresh ones; what they read is set here */
  constructor(bus: Bus, metrics: Metrics, log: Logger, options: MonitorOptions) {
    const { telemetry, bufferSize } = options;
    this.metrics = metrics;
    this.casilDecisions = options.casilDecisions;
    this.feed = new TelemetryFeed({ enabled: telemetry, room: bus.options.telemetryRoom, bufferSize });
    metrics.read(
      busReaders(
        bus,
        () => this.connections,
        options.casilDecisions,
        () => Object.entries(bus.webhooks?.outcomes ?? {}).map(([outcome, value]) => ({ labels: { outcome }, value })),
      ),
    );
    bus.publisher.timing.observe = metrics.observeDelivery;
    bus.runner.executed.add((command, seconds) => metrics.observeCommand(command, seconds));
    this.stops = [
      bus.events.on((happening) => this.feed.record(happening)),
      logEvents(bus.events, log),
      logRefusals(bus.faults, log),
    ];
    this.repeat = ({ messageSampleRate, statsIntervalMs }) => {
      const stopLogging = logRouting(bus, log);
      const stopSampling = sampleRouting(bus, telemetry ? messageSampleRate : 0);
      const stopReporting = reportStats(bus, log, statsIntervalMs, () => this.connections.telemetry());
      return () => {
        stopReporting();
        stopSampling();
        stopLogging();
      };
    };
    this.stopRepeating = this.repeat(options);
  }

  answered(status: number): void {
    this.requests.total += 1;
    if (status >= 500) this.requests.errors += 1;
  }

  /** Samples and reports at other rates from now on, and logs at the level that the log then has. */
  adjust(rates: MonitorRates): void {
    this.stopRepeating();
    this.stopRepeating = this.repeat(rates);
  }

  stop(): void {
    this.stopRepeating();
    for (const stop of this.stops) stop();
    this.metrics.close();
  }
}
