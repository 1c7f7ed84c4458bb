/** The load generator process: runs one job against one server and prints the outcome. Started by `measure.ts`. */
import type { Figures } from '../figures.ts';
import { peerNamed } from '../peers/all.ts';
import { runChannels } from './channels.ts';
import { runChurn } from './churn.ts';
import { makeFaults } from './faults.ts';
import { runIdle } from './idle.ts';
import type { Job, Outcome } from './job.ts';
import { runResume } from './resume.ts';
import { runChat, runReceive, runTraffic } from './traffic.ts';

function run(job: Job): Promise<Figures> {
  const { scenario } = job;
  const { dialect, subscriber, resume } = peerNamed(job.peer);
  const faults = makeFaults();
  switch (scenario.kind) {
    case 'idle':
      return runIdle(scenario, dialect, job, faults);
    case 'channels':
      return runChannels(scenario, dialect, job, faults);
    case 'receive':
      return runReceive(scenario, dialect, job, faults);
    case 'chat':
      return runChat(scenario, dialect, job, faults);
    case 'churn':
      return runChurn(scenario, dialect, job, faults);
    case 'resume':
      if (resume === undefined) throw new Error(`${job.peer} has no way to resume`);
      return runResume(scenario, dialect, resume, job, faults);
    default:
      return runTraffic(scenario, dialect, job, faults, subscriber?.dialect);
  }
}

function finish(outcome: Outcome): void {
  process.stdout.write(`${JSON.stringify(outcome)}\n`, () => process.exit(0));
}

async function main(): Promise<void> {
  try {
    finish({ figures: await run(JSON.parse(process.argv[2] ?? '') as Job) });
  } catch (error) {
    finish({ fault: (error as Error).message });
  }
}

void main();
