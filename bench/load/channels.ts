import { CHANNEL, channelNumbered } from '../envelope.ts';
import type { Figures } from '../figures.ts';
import type { Dialect } from '../peers/peer.ts';
import type { ChannelsScenario } from '../scenarios.ts';
import { Connection } from './connection.ts';
import type { Faults } from './faults.ts';
import { settledKib } from './idle.ts';
import type { Job } from './job.ts';
import { templateFor } from './publish.ts';
import { publisherArrivals } from './refusals.ts';
import { clock, Tally } from './tally.ts';

/** Channels created before the measurement, so that one-time costs of a server are not counted per channel. */
const FIRST = 1000;
/** Channels per write. */
const BATCH = 500;

/**
 * Publishes one event to each of many channels, which then stay idle, and measures the memory of each with its event.
 */
export async function runChannels(
  scenario: ChannelsScenario,
  dialect: Dialect,
  job: Job,
  faults: Faults,
): Promise<Figures> {
  const options = { port: job.port, dialect, lost: faults.fault };
  const witness = await Connection.open(options);
  await witness.converse(dialect.subscribe(CHANNEL));
  const tally = new Tally(1, 1, faults.fault);
  witness.count(tally.subscriber());
  const publisher = await Connection.open(options);
  publisher.count(publisherArrivals(dialect, faults));
  const last = templateFor(dialect, CHANNEL);

  /** A server processes a connection's messages in order, so the last one shows that all were processed. */
  const publish = async (from: number, to: number): Promise<void> => {
    for (let at = from; at < to; at += BATCH) {
      const numbers = Array.from({ length: Math.min(BATCH, to - at) }, (_, index) => at + index);
      const there = new Promise<void>((resolve) => {
        tally.onProgress = resolve;
      });
      tally.publishing(1);
      const frames = numbers.map((number) =>
        templateFor(dialect, channelNumbered(number)).frames(number + 1, 1, clock()),
      );
      publisher.write(Buffer.concat([...frames, last.frames(tally.published, 1, clock())]));
      await Promise.race([there, faults.failed]);
    }
  };

  await publish(0, FIRST);
  const before = await settledKib(job.pid);
  const start = clock();
  await publish(FIRST, FIRST + scenario.channels);
  const seconds = (clock() - start) / 1e6;
  const after = await Promise.race([settledKib(job.pid), faults.failed]);
  return {
    channelsPerSecond: scenario.channels / seconds,
    ...(before === undefined || after === undefined ? {} : { kibPerChannel: (after - before) / scenario.channels }),
  };
}
