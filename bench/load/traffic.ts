import { setTimeout as pause } from 'node:timers/promises';
import { ENVELOPE } from '../envelope.ts';
import type { Figures } from '../figures.ts';
import type { Dialect } from '../peers/peer.ts';
import { BLAST_PATH } from '../peers/raw.ts';
import type { ClosedScenario, PacedScenario, ReceiveScenario } from '../scenarios.ts';
import type { Arrivals } from './arrivals.ts';
import { Connection } from './connection.ts';
import { maskedFrame, OPCODE_BINARY, OPCODE_TEXT } from './frame-bytes.ts';
import { Interval } from './interval.ts';
import type { Job } from './job.ts';
import { MessageTemplate } from './message.ts';
import { openConnections } from './open-connections.ts';
import { type Publishing, publishPaced, publishWindow } from './publish.ts';
import { Tally } from './tally.ts';

/** Under full load the latency of every 16th message per subscriber: reading a mark must not slow the counting. */
const SATURATED_EVERY = 16;
/** A server that delivers nothing for this long has stalled. */
const STALL_MS = 10_000;

/** Rejects on the first thing that goes wrong, and never resolves. */
export interface Faults {
  readonly failed: Promise<never>;
  fault(reason: string): void;
}

/** Runs a scenario with a publisher against the job's server. */
export async function runTraffic(
  scenario: ClosedScenario | PacedScenario,
  dialect: Dialect,
  job: Job,
  faults: Faults,
): Promise<Figures> {
  const options = { port: job.port, dialect, lost: faults.fault };
  const tally = new Tally(scenario.subscribers, scenario.kind === 'closed' ? SATURATED_EVERY : 1, faults.fault);
  const subscribers = await openConnections(scenario.subscribers, options, dialect.subscribe);
  const publisher = await Connection.open(options);
  for (const subscriber of subscribers) subscriber.count(tally.subscriber(), ENVELOPE);
  publisher.count(publisherArrivals(faults), ENVELOPE);

  const publishing = publish(scenario, publisher, dialect, tally);
  const measured = measure(tally, job);
  const figures = await Promise.race([measured, faults.failed]);
  publishing.stop();
  return figures;
}

/** Measures what the generator takes in when a server does nothing but send. */
export async function runReceive(
  scenario: ReceiveScenario,
  dialect: Dialect,
  job: Job,
  faults: Faults,
): Promise<Figures> {
  const options = { port: job.port, dialect, lost: faults.fault, path: BLAST_PATH };
  const tally = new Tally(scenario.subscribers, Number.POSITIVE_INFINITY, faults.fault);
  const connections = await openConnections(scenario.subscribers, options, []);
  const join = maskedFrame(OPCODE_TEXT, Buffer.from('join'));
  for (const connection of connections) {
    connection.count(tally.subscriber(), ENVELOPE);
    connection.write(join);
  }
  const { messagesPerSecond: _, ...figures } = await Promise.race([measure(tally, job), faults.failed]);
  return figures;
}

function publish(
  scenario: ClosedScenario | PacedScenario,
  publisher: Connection,
  dialect: Dialect,
  tally: Tally,
): Publishing {
  const opcode = dialect.frames === 'text' ? OPCODE_TEXT : OPCODE_BINARY;
  const template = new MessageTemplate(
    dialect.publish(ENVELOPE),
    dialect.transport === 'websocket' ? opcode : undefined,
  );
  if (scenario.kind === 'closed') return publishWindow(publisher, template, tally, scenario.window);
  return publishPaced(publisher, template, tally, scenario.rate);
}

async function measure(tally: Tally, job: Job): Promise<Figures> {
  await pause(job.warmupSeconds * 1000);
  const interval = new Interval(tally, job.pid);
  await pause(job.seconds * 1000);
  if (tally.deliveries === 0) await pause(STALL_MS);
  const figures = interval.end();
  if (tally.deliveries === 0) throw new Error(`nothing was delivered, ${tally.inFlight} messages are on their way`);
  return figures;
}

/** A publisher is owed no messages. Whatever a server tells it is a refusal. */
function publisherArrivals(faults: Faults): Arrivals {
  return {
    every: 1,
    inspect: (_ordinal, bytes, start, end) =>
      faults.fault(`the publisher was told: ${bytes.toString('latin1', start, end)}`),
    arrived: () => {},
    aside: () => {},
  };
}
