import { setTimeout as pause } from 'node:timers/promises';
import { CHANNEL, channelNumbered } from '../envelope.ts';
import type { Figures } from '../figures.ts';
import type { Dialect } from '../peers/peer.ts';
import { BLAST_PATH } from '../peers/raw.ts';
import type { ChatScenario, ClosedScenario, PacedScenario, ReceiveScenario, SseScenario } from '../scenarios.ts';
import { Connection } from './connection.ts';
import type { Faults } from './faults.ts';
import { maskedFrame, OPCODE_TEXT } from './frame-bytes.ts';
import { Interval } from './interval.ts';
import type { Job } from './job.ts';
import { openConnections } from './open-connections.ts';
import { type Publishing, publishPaced, publishWindow, templateFor } from './publish.ts';
import { publisherArrivals } from './refusals.ts';
import { createLatency, type Progress, Tallies, Tally } from './tally.ts';

/**
 * Under full load, latency is measured for every 16th message per subscriber: reading a mark must not slow the
 * counting.
 */
const SATURATED_EVERY = 16;
/** A server that delivers nothing for this long has stalled. */
const STALL_MS = 10_000;
/** Maximum messages in flight of one chat channel; there is only one at a time. */
const CHAT_IN_FLIGHT = 2;

/** Runs a scenario with a publisher against the job's server. Subscribers may use another dialect and port. */
export async function runTraffic(
  scenario: ClosedScenario | SseScenario | PacedScenario,
  dialect: Dialect,
  job: Job,
  faults: Faults,
  subscriberDialect: Dialect = dialect,
): Promise<Figures> {
  const options = { port: job.port, dialect, lost: faults.fault };
  const tally = new Tally(scenario.subscribers, scenario.kind === 'paced' ? 1 : SATURATED_EVERY, faults.fault);
  const subscribing = { ...options, port: job.subscriberPort, dialect: subscriberDialect };
  const subscribers = await openConnections(scenario.subscribers, subscribing, () =>
    subscriberDialect.subscribe(CHANNEL),
  );
  const publisher = await Connection.open(options);
  for (const subscriber of subscribers) subscriber.count(tally.subscriber());
  publisher.count(publisherArrivals(dialect, faults));

  const publishing = publish(scenario, publisher, dialect, tally);
  const figures = await Promise.race([measure(tally, job), faults.failed]);
  publishing.stop();
  return figures;
}

/** Many small channels at once: the work is in looking them up, not in copying to many subscribers. */
export async function runChat(scenario: ChatScenario, dialect: Dialect, job: Job, faults: Faults): Promise<Figures> {
  const options = { port: job.port, dialect, lost: faults.fault };
  const { channels, subscribers } = scenario;
  const channelOf = (number: number): string => channelNumbered(number % channels);
  const members = await openConnections(channels * subscribers, options, (n) => dialect.subscribe(channelOf(n)));
  const publishers = await openConnections(channels, options);
  const latency = createLatency();
  // A member gets few messages per second, however busy the server is, so each is inspected.
  const tallies = publishers.map(() => new Tally(subscribers, 1, faults.fault, latency, CHAT_IN_FLIGHT));
  for (const [n, member] of members.entries()) member.count(tallies[n % channels]!.subscriber(), channelOf(n));
  const publishing = publishers.map((publisher, n) => {
    publisher.count(publisherArrivals(dialect, faults), channelOf(n));
    return publishWindow(publisher, templateFor(dialect, channelOf(n)), tallies[n]!, 1);
  });
  const figures = await Promise.race([measure(new Tallies(tallies, latency), job), faults.failed]);
  for (const one of publishing) one.stop();
  return figures;
}

/** Measures how fast the generator can receive when the server does nothing but send. */
export async function runReceive(
  scenario: ReceiveScenario,
  dialect: Dialect,
  job: Job,
  faults: Faults,
): Promise<Figures> {
  const options = { port: job.port, dialect, lost: faults.fault, path: BLAST_PATH };
  const tally = new Tally(scenario.subscribers, Number.POSITIVE_INFINITY, faults.fault);
  const connections = await openConnections(scenario.subscribers, options);
  const join = maskedFrame(OPCODE_TEXT, Buffer.from('join'));
  for (const connection of connections) {
    connection.count(tally.subscriber());
    connection.write(join);
  }
  const { messagesPerSecond: _, ...figures } = await Promise.race([measure(tally, job), faults.failed]);
  return figures;
}

function publish(
  scenario: ClosedScenario | SseScenario | PacedScenario,
  publisher: Connection,
  dialect: Dialect,
  tally: Tally,
): Publishing {
  const template = templateFor(dialect, CHANNEL);
  if (scenario.kind === 'paced') return publishPaced(publisher, template, tally, scenario.rate);
  return publishWindow(publisher, template, tally, scenario.window);
}

async function measure(progress: Progress, job: Job): Promise<Figures> {
  await pause(job.warmupSeconds * 1000);
  const interval = new Interval(progress, job.pid);
  await pause(job.seconds * 1000);
  if (progress.deliveries === 0) await pause(STALL_MS);
  const figures = interval.end();
  if (progress.deliveries === 0)
    throw new Error(`nothing was delivered, ${progress.inFlight} messages are on their way`);
  return figures;
}
