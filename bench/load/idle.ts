import { setTimeout as pause } from 'node:timers/promises';
import { CHANNEL } from '../envelope.ts';
import type { Figures } from '../figures.ts';
import type { Dialect } from '../peers/peer.ts';
import type { IdleScenario } from '../scenarios.ts';
import type { Faults } from './faults.ts';
import type { Job } from './job.ts';
import { openConnections } from './open-connections.ts';
import { cpuSeconds, residentKib } from './process-figures.ts';
import { clock } from './tally.ts';

/**
 * Connections opened before the measurement, so that one-time costs of a server (loading, compiling) are not counted
 * per connection.
 */
const FIRST = 100;
/** Resident memory has settled if it changes by less than this share within a second. */
const SETTLED = 0.005;
const SETTLE_SECONDS = 10;

/** Opens connections that then stay idle: measures the accept rate and the memory of each. */
export async function runIdle(scenario: IdleScenario, dialect: Dialect, job: Job, faults: Faults): Promise<Figures> {
  const options = { port: job.port, dialect, lost: faults.fault };
  const exchanges = () => (scenario.subscribed ? dialect.subscribe(CHANNEL) : []);
  await openConnections(FIRST, options, exchanges);
  const before = await settledKib(job.pid);
  const cpuBefore = cpuSeconds(job.pid);
  const start = clock();
  await Promise.race([openConnections(scenario.connections, options, exchanges), faults.failed]);
  const seconds = (clock() - start) / 1e6;
  const cpuAfter = cpuSeconds(job.pid);
  const after = await Promise.race([settledKib(job.pid), faults.failed]);
  return {
    connectionsPerSecond: scenario.connections / seconds,
    ...(before === undefined || after === undefined
      ? {}
      : { kibPerConnection: (after - before) / scenario.connections }),
    ...(cpuBefore === undefined || cpuAfter === undefined
      ? {}
      : { serverCpuUsPerConnection: ((cpuAfter - cpuBefore) * 1e6) / scenario.connections }),
  };
}

/** Resident memory of a process once it has settled, in KiB. */
export async function settledKib(pid: number): Promise<number | undefined> {
  let last = residentKib(pid);
  for (let second = 0; second < SETTLE_SECONDS && last !== undefined; second++) {
    await pause(1000);
    const now = residentKib(pid) ?? last;
    if (Math.abs(now - last) <= last * SETTLED) return now;
    last = now;
  }
  return last;
}
