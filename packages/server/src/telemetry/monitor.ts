import type { Bus } from '@arqonbus/bus';
import type { Logger } from '../log.ts';
import type { Metrics } from '../metrics/metrics.ts';
import { TelemetryFeed } from './feed.ts';
import { busReaders, type DecisionCounts, type OpenConnections } from './figures.ts';
import { logEvents, logRefusals } from './log.ts';
import { logRouting, sampleRouting } from './routing.ts';
import { reportStats } from './stats.ts';

/** Settings that can change while the bus runs. */
export interface MonitorRates {
  /** Fraction of routed messages that produce an event. */
  readonly messageSampleRate: number;
  readonly statsIntervalMs: number;
}

export interface MonitorOptions extends MonitorRates {
  readonly telemetry: boolean;
  readonly bufferSize: number;
  /** The counts of content inspection decisions. */
  readonly casilDecisions: () => DecisionCounts;
}

const NOTHING_OPEN: OpenConnections = { websocket: () => 0, telemetry: () => 0, dropped: () => 0 };

/** Observes the bus for telemetry, metrics and the log. Lives as long as the bus, across restarts of the listeners. */
export class Monitor {
  readonly feed: TelemetryFeed;
  readonly metrics: Metrics;
  readonly requests: { total: number; errors: number } = { total: 0, errors: 0 };
  /** Connection counts of the listeners that are open now. */
  connections: OpenConnections = NOTHING_OPEN;
  /** Counts of content inspection decisions. */
  readonly casilDecisions: () => DecisionCounts;
  private readonly stops: (() => void)[];
  private readonly repeat: (rates: MonitorRates) => () => void;
  private stopRepeating: () => void;

  /** @param metrics a new instance; its readers are set here */
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

  /** Applies new sampling and reporting rates, and the current log level. */
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
