import { setTimeout as pause } from 'node:timers/promises';
import { CHANNEL } from '../envelope.ts';
import type { Figures } from '../figures.ts';
import type { Dialect, Resume } from '../peers/peer.ts';
import type { ResumeScenario } from '../scenarios.ts';
import { Connection } from './connection.ts';
import type { Faults } from './faults.ts';
import { Interval } from './interval.ts';
import type { Job } from './job.ts';
import { openConnections } from './open-connections.ts';
import { templateFor } from './publish.ts';
import { publisherArrivals } from './refusals.ts';
import { clock, Tally } from './tally.ts';

/** Concurrent handshakes: as many as the listen queue of a socket holds, so that none has to retry. */
const AT_ONCE = 500;
const REPLAY_MS = 60_000;
/** Time for the server to notice the lost connections. */
const GONE_MS = 1000;

/**
 * Disconnects the subscribers, publishes `events`, and reconnects all at once: measures how soon each has what it
 * missed.
 */
export async function runResume(
  scenario: ResumeScenario,
  dialect: Dialect,
  resume: Resume,
  job: Job,
  faults: Faults,
): Promise<Figures> {
  const options = { port: job.port, dialect, lost: faults.fault };
  const witness = await Connection.open(options);
  const position = resume.position(await witness.converse(dialect.subscribe(CHANNEL)));
  const subscribers = await openConnections(scenario.connections, options, () => dialect.subscribe(CHANNEL));
  for (const subscriber of subscribers) subscriber.cut();
  await pause(GONE_MS);

  const seen = new Tally(1, 1, faults.fault);
  witness.countMarks(seen.subscriber());
  const publisher = await Connection.open(options);
  publisher.count(publisherArrivals(dialect, faults));
  await Promise.race([publishAll(scenario.events, publisher, dialect, seen), faults.failed]);
  publisher.cut();
  witness.cut();

  const replayed = new Tally(scenario.connections, 1, faults.fault);
  replayed.publishing(scenario.events);
  const all = new Promise<void>((resolve) => {
    replayed.onProgress = () => replayed.completed === scenario.events && resolve();
  });
  const interval = new Interval(replayed, job.pid);
  const start = clock();
  const complete: number[] = [];
  let begun = 0;
  const comeBack = async (): Promise<void> => {
    while (begun < scenario.connections) {
      begun += 1;
      const connection = await Connection.open(options);
      const arrivals = replayed.subscriber();
      connection.countMarks({
        ...arrivals,
        arrived: (from, to) => {
          // The messages are as old as their publishing; what counts is how long their reader waited since the start.
          if (to === scenario.events) complete.push(clock() - start);
          arrivals.arrived(from, to);
        },
      });
      connection.say(resume.subscribe(CHANNEL, position));
    }
  };
  const comingBack = Promise.all(Array.from({ length: Math.min(AT_ONCE, scenario.connections) }, comeBack));
  const late = pause(REPLAY_MS, undefined, { ref: false }).then(() => {
    throw new Error(`after ${REPLAY_MS} ms ${complete.length} of ${scenario.connections} had what they missed`);
  });
  await Promise.race([Promise.all([comingBack, all]), late, faults.failed]);
  const { p99Us: _, messagesPerSecond: __, ...figures } = interval.end();
  complete.sort((one, other) => one - other);
  const maxUs = complete.at(-1)!;
  return {
    ...figures,
    resumedPerSecond: (scenario.connections * 1e6) / maxUs,
    p50Us: complete[Math.floor((complete.length - 1) / 2)]!,
    maxUs,
  };
}

/** Publishes `count` messages and waits until the witness has received them. */
async function publishAll(count: number, publisher: Connection, dialect: Dialect, seen: Tally): Promise<void> {
  const there = new Promise<void>((resolve) => {
    seen.onProgress = () => seen.completed === count && resolve();
  });
  seen.publishing(count);
  publisher.write(templateFor(dialect, CHANNEL).frames(1, count, clock()));
  await there;
}
