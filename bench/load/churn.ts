import { createHistogram } from 'node:perf_hooks';
import { setTimeout as pause } from 'node:timers/promises';
import { channelNumbered } from '../envelope.ts';
import type { Figures } from '../figures.ts';
import type { Dialect } from '../peers/peer.ts';
import type { ChurnScenario } from '../scenarios.ts';
import type { Arrivals } from './arrivals.ts';
import { Connection, type ConnectionOptions } from './connection.ts';
import type { Faults } from './faults.ts';
import type { Job } from './job.ts';
import { openConnections } from './open-connections.ts';
import { clock } from './tally.ts';
import { runTraffic } from './traffic.ts';

/** Members of unused channels receive nothing of interest, but keep-alives are answered. */
const IGNORED: Arrivals = { every: Number.POSITIVE_INFINITY, inspect: () => {}, arrived: () => {}, aside: () => {} };

/** Members of many channels are replaced while one publisher sends to one subscriber, whose latency is measured. */
export async function runChurn(scenario: ChurnScenario, dialect: Dialect, job: Job, faults: Faults): Promise<Figures> {
  const options = { port: job.port, dialect, lost: faults.fault };
  const channelOf = (number: number): string => channelNumbered(number % scenario.channels);
  const members = await openConnections(scenario.connections, options, (n) => dialect.subscribe(channelOf(n)));
  for (const [number, member] of members.entries()) member.count(IGNORED, channelOf(number));
  const churn = replaceInTurn(members, options, channelOf, scenario, faults);
  const { name, rate } = scenario;
  try {
    const figures = await runTraffic({ kind: 'paced', name, subscribers: 1, rate }, dialect, job, faults);
    return { ...figures, ...churn.figures() };
  } finally {
    churn.stop();
  }
}

interface Churn {
  figures(): Pick<Figures, 'reconnectsPerSecond' | 'reconnectP99Us'>;
  stop(): void;
}

function replaceInTurn(
  members: Connection[],
  options: ConnectionOptions,
  channelOf: (number: number) => string,
  scenario: ChurnScenario,
  faults: Faults,
): Churn {
  const times = createHistogram({ lowest: 1, highest: 60_000_000, figures: 3 });
  const perSecond = (scenario.connections * scenario.perMinute) / 60;
  const began = clock();
  let stopped = false;
  let replaced = 0;
  const replace = async (number: number): Promise<void> => {
    members[number]!.cut();
    const start = clock();
    const connection = await Connection.open(options);
    await connection.converse(options.dialect.subscribe(channelOf(number)));
    times.record(Math.max(1, clock() - start));
    connection.count(IGNORED, channelOf(number));
    members[number] = connection;
  };
  const run = async (): Promise<void> => {
    while (!stopped) {
      const due = ((clock() - began) / 1e6) * perSecond;
      for (; replaced < due && !stopped; replaced += 1) {
        replace(replaced % members.length).catch((error: Error) => {
          if (!stopped) faults.fault(`a member did not come back: ${error.message}`);
        });
      }
      await pause(5);
    }
  };
  void run();
  return {
    figures: () => ({
      reconnectsPerSecond: times.count / ((clock() - began) / 1e6),
      ...(times.count === 0 ? {} : { reconnectP99Us: times.percentile(99) }),
    }),
    stop: () => {
      stopped = true;
    },
  };
}
