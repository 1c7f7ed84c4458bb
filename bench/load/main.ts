/** The load generator's process: runs one job against one server and prints the outcome. Started by `measure.ts`. */
import type { Figures } from '../figures.ts';
import { peerNamed } from '../peers/all.ts';
import { runIdle } from './idle.ts';
import type { Job, Outcome } from './job.ts';
import { type Faults, runReceive, runTraffic } from './traffic.ts';

function makeFaults(): Faults {
  let fail: (error: Error) => void = () => {};
  const failed = new Promise<never>((_resolve, reject) => {
    fail = reject;
  });
  // It is raced against the run; a fault between two races must not end the process.
  failed.catch(() => {});
  return { failed, fault: (reason) => fail(new Error(reason)) };
}

function run(job: Job): Promise<Figures> {
  const { scenario } = job;
  const { dialect } = peerNamed(job.peer);
  const faults = makeFaults();
  if (scenario.kind === 'idle') return runIdle(scenario, dialect, job, faults);
  if (scenario.kind === 'receive') return runReceive(scenario, dialect, job, faults);
  return runTraffic(scenario, dialect, job, faults);
}

function finish(outcome: Outcome): void {
  process.stdout.write(`${JSON.stringify(outcome)}\n`, () => process.exit(0));
}

const job = JSON.parse(process.argv[2] ?? '') as Job;
run(job).then(
  (figures) => finish({ figures }),
  (error: Error) => finish({ fault: error.message }),
);
