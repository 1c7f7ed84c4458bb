import type { Figures } from '../figures.ts';
import { machineCpuSeconds } from '../machine-time.ts';
import { cpuSeconds, residentKib } from './process-figures.ts';
import { clock, type Progress } from './tally.ts';

/** Measures from its creation: the tally's counts against wall time and the CPU time of both processes. */
export class Interval {
  readonly #tally: Progress;
  readonly #pid: number;
  readonly #start: number;
  readonly #completed: number;
  readonly #serverCpu: number | undefined;
  readonly #machineCpu: number | undefined;
  readonly #ownCpu: NodeJS.CpuUsage;

  constructor(tally: Progress, pid: number) {
    tally.restart();
    this.#tally = tally;
    this.#pid = pid;
    this.#completed = tally.completed;
    this.#serverCpu = cpuSeconds(pid);
    this.#machineCpu = machineCpuSeconds();
    this.#ownCpu = process.cpuUsage();
    this.#start = clock();
  }

  end(): Figures {
    const seconds = (clock() - this.#start) / 1e6;
    const own = process.cpuUsage(this.#ownCpu);
    const ownCpu = (own.user + own.system) / 1e6;
    const { deliveries, completed, latency } = this.#tally;
    const latencies =
      latency.count === 0 ? {} : { p50Us: latency.percentile(50), p99Us: latency.percentile(99), maxUs: latency.max };
    return {
      deliveriesPerSecond: deliveries / seconds,
      messagesPerSecond: (completed - this.#completed) / seconds,
      generatorCpuShare: ownCpu / seconds,
      ...latencies,
      ...this.#serverFigures(seconds, deliveries, ownCpu),
    };
  }

  #serverFigures(seconds: number, deliveries: number, ownCpu: number): Figures {
    const now = cpuSeconds(this.#pid);
    if (now === undefined || this.#serverCpu === undefined || deliveries === 0) return {};
    const cpu = now - this.#serverCpu;
    const machine = machineCpuSeconds();
    const kib = residentKib(this.#pid);
    return {
      serverCpuShare: cpu / seconds,
      serverCpuUsPerDelivery: (cpu * 1e6) / deliveries,
      ...(machine === undefined || this.#machineCpu === undefined
        ? {}
        : { otherCpuShare: Math.max(0, (machine - this.#machineCpu - cpu - ownCpu) / seconds) }),
      ...(kib === undefined ? {} : { serverMib: kib / 1024 }),
    };
  }
}
