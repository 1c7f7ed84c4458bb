import type { Figures } from '../figures.ts';
import { cpuSeconds, residentKib } from './process-figures.ts';
import { clock, type Tally } from './tally.ts';

/** Measures from its making on: the tally's counts against wall time and the CPU time of both processes. */
export class Interval {
  readonly #tally: Tally;
  readonly #pid: number;
  readonly #start: number;
  readonly #completed: number;
  readonly #serverCpu: number | undefined;
  readonly #ownCpu: NodeJS.CpuUsage;

  constructor(tally: Tally, pid: number) {
    tally.restart();
    this.#tally = tally;
    this.#pid = pid;
    this.#completed = tally.completed;
    this.#serverCpu = cpuSeconds(pid);
    this.#ownCpu = process.cpuUsage();
    this.#start = clock();
  }

  end(): Figures {
    const seconds = (clock() - this.#start) / 1e6;
    const own = process.cpuUsage(this.#ownCpu);
    const { deliveries, completed, latency } = this.#tally;
    const latencies =
      latency.count === 0 ? {} : { p50Us: latency.percentile(50), p99Us: latency.percentile(99), maxUs: latency.max };
    return {
      deliveriesPerSecond: deliveries / seconds,
      messagesPerSecond: (completed - this.#completed) / seconds,
      generatorCpuShare: (own.user + own.system) / 1e6 / seconds,
      ...latencies,
      ...this.#serverFigures(seconds, deliveries),
    };
  }

  #serverFigures(seconds: number, deliveries: number): Figures {
    const now = cpuSeconds(this.#pid);
    if (now === undefined || this.#serverCpu === undefined || deliveries === 0) return {};
    const cpu = now - this.#serverCpu;
    const kib = residentKib(this.#pid);
    return {
      serverCpuShare: cpu / seconds,
      serverCpuUsPerDelivery: (cpu * 1e6) / deliveries,
      ...(kib === undefined ? {} : { serverMib: kib / 1024 }),
    };
  }
}
