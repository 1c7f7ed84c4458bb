import { fileURLToPath } from 'node:url';
import { freePort } from '../test/fixtures/free-port.ts';
import type { Figures } from './figures.ts';
import type { Job, Outcome } from './load/job.ts';
import type { Cores } from './machine.ts';
import type { Peer } from './peers/peer.ts';
import { outputOf, withServer } from './processes.ts';
import type { Scenario } from './scenarios.ts';
import { discardScratch, makeScratch } from './scratch.ts';

const GENERATOR = fileURLToPath(new URL('./load/main.ts', import.meta.url));

export interface Measurement {
  readonly peer: Peer;
  readonly scenario: Scenario;
  readonly seconds: number;
  /** Before the measurement. */
  readonly warmupSeconds: number;
  readonly cores: Cores;
  readonly nodeFlags: readonly string[];
}

/** One run: a new server, a new load generator, one scenario. Rejects with a sentence if either fails. */
export async function measure(measurement: Measurement): Promise<Figures> {
  const { peer, scenario, cores, warmupSeconds } = measurement;
  const directory = makeScratch();
  try {
    const [port, httpPort] = [await freePort(), await freePort()];
    const launch = peer.launch({ port, httpPort, directory, nodeFlags: measurement.nodeFlags });
    const subscriberPort = peer.subscriber?.port === 'http' ? httpPort : port;
    return await withServer(launch, port, { cpu: cores.server }, async (pid) => {
      const job: Job = {
        scenario,
        peer: peer.name,
        port,
        subscriberPort,
        pid,
        warmupSeconds,
        seconds: measurement.seconds,
      };
      return generate(job, cores.generator);
    });
  } finally {
    discardScratch(directory);
  }
}

async function generate(job: Job, cpu: number | undefined): Promise<Figures> {
  const args = ['--import', 'tsx', GENERATOR, JSON.stringify(job)];
  const output = await outputOf({ command: process.execPath, args }, { cpu });
  if (output === '') throw new Error('the load generator ended without an outcome');
  const outcome = JSON.parse(output) as Outcome;
  if ('fault' in outcome) throw new Error(outcome.fault);
  return outcome.figures;
}
