import { randomBytes } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { WITH_AUTH } from '../../test/fixtures/tokens.ts';
import { type Attack, flood, unmet, until, user } from './attack.ts';
import { type Client, type Frame, tell } from './client.ts';

/** The answers are not read at first: the bus must not buffer them all. */
const historyCalls: Attack = {
  name: 'history',
  title: '440 pipelined `history` calls on 10 MB',
  maxRssMib: 350,
  stage: async () => ({
    serve: { env: WITH_AUTH },
    witness: await user('witness'),
    prepare: async ({ open }) => {
      const writer = await open({ token: await user('writer') });
      const text = 'y'.repeat(20_000);
      for (let n = 0; n < 500; n += 1) {
        writer.send({ type: 'event', room: 'lab', channel: 'log', payload: { n, text }, ack: true });
      }
      await writer.when(() => writer.frames === 500);
      writer.told.clear();
      writer.end();
    },
    run: async ({ open, told }) => {
      const reader = await open({ token: await user('reader'), blind: true });
      reader.pause(true);
      reader.pipelined(() => {
        for (let n = 0; n < 440; n += 1) reader.command('history', { room: 'lab', channel: 'log', limit: 500 });
      });
      await pause(3_000);
      reader.pause(false);
      await reader.when(() => reader.frames === 440);
      tell(told, `answers of ${(reader.bytes / reader.frames / 1_048_576).toFixed(1)} MiB`, reader.frames);
      return unmet({
        'every call is answered': reader.frames === 440,
        'the reader stays connected': reader.isOpen,
        'no answer is over 1.1 MiB': reader.bytes / reader.frames < 1.1 * 1_048_576,
      });
    },
  }),
};

const JOB_OWNERS = 50;

/** 50 owners have the maximum number of jobs, 1,000 in total; one of them requests 1,000 large ones. */
const cronJobs: Attack = {
  name: 'cron',
  title: '1,000 cron jobs, each every second',
  maxRssMib: 400,
  stage: async () => ({
    serve: { env: { ...WITH_AUTH, ARQONBUS_LOG_LEVEL: 'warn' } },
    witness: await user('witness'),
    run: async ({ bus, open, told }) => {
      for (let owner = 0; owner < JOB_OWNERS; owner += 1) {
        const client = await open({ token: await user(`owner-${owner}`) });
        const asked = owner === 0 ? 1_000 : 20;
        const payload = { x: 'z'.repeat(owner === 0 ? 60_000 : 1_000) };
        client.pipelined(() => {
          for (let n = 0; n < asked; n += 1) {
            const every = { delay_seconds: 1, interval_seconds: 1, repeat_count: 0 };
            client.command('op.cron.schedule', { room: 'lab', channel: `c${n % 10}`, payload, ...every });
          }
        });
        await client.when(() => client.frames >= asked);
      }
      const before = await bus.metric('arqonbus_cron_runs_total');
      await pause(8_000);
      const runs = (await bus.metric('arqonbus_cron_runs_total')) - before;
      tell(told, 'runs', runs);
      return unmet({
        'an owner gets its 20 jobs and no more': told.get('success') === 1_000 && told.get('LIMIT_EXCEEDED') === 980,
        'jobs run, at most one a second each': runs > 1_000 && runs <= 10_000,
      });
    },
  }),
};

const WRITES = 140_000;
const storeWrites = (sqlite: boolean): Attack => ({
  name: sqlite ? 'store-sqlite' : 'store-memory',
  title: `140,000 store writes in one segment (${sqlite ? 'SQLite' : 'memory'})`,
  maxRssMib: 350,
  stage: async () => ({
    serve: { sqlite },
    witness: null,
    run: async (field) => {
      const writer = await field.open();
      writer.pipelined(() => {
        for (let n = 0; n < WRITES; n += 1) writer.command('op.store.set', { key: 'k', value: n });
      });
      await until(field, () => writer.frames === WRITES || !writer.isOpen);
      const { frames } = writer;
      return unmet({
        'the bus answers on and on': frames > 1_000 && writer.isOpen,
        'in order': writer.disorder === 0,
      });
    },
  }),
});

const channels: Attack = {
  name: 'channels',
  title: '100,000 channels by one user',
  maxRssMib: 250,
  stage: async () => ({
    serve: { env: WITH_AUTH },
    witness: await user('witness'),
    run: async (field) => {
      const maker = await field.open({ token: await user('maker') });
      const sent = await flood(field, maker, 100_000, (n) =>
        maker.send({ type: 'event', room: 'big', channel: `c${n}`, ack: true }),
      );
      await until(field, () => maker.frames >= sent || !maker.isOpen);
      const made = await field.bus.metric('arqonbus_channels_total');
      return unmet({
        'the user makes 1,000 channels': field.told.get('ack') === 1_000 && made < 1_100,
        'is told so for every other one': field.told.get('LIMIT_EXCEEDED') === sent - 1_000,
      });
    },
  }),
};

const largeMessages: Attack = {
  name: 'large',
  title: '600 messages of 1 MB, heap of 600 MB',
  maxRssMib: 500,
  stage: async () => ({
    serve: { env: WITH_AUTH, nodeFlags: ['--max-old-space-size=600'] },
    witness: await user('witness'),
    run: async (field) => {
      const writer = await field.open({ token: await user('writer') });
      const text = 'm'.repeat(1_000_000);
      const sent = await flood(field, writer, 600, (n) =>
        writer.send({ type: 'event', room: 'lab', channel: `c${n % 2}`, payload: { text }, ack: true }),
      );
      await until(field, () => writer.frames === sent || !writer.isOpen);
      return unmet({ 'every message is answered': writer.frames === 600, 'the writer stays': writer.isOpen });
    },
  }),
};

const DEAF = 30;
const deafReaders: Attack = {
  name: 'deaf',
  title: '30 deaf readers with compression on',
  maxRssMib: 600,
  stage: async () => ({
    serve: { env: { ARQONBUS_COMPRESSION: 'true', ARQONBUS_MAX_HISTORY_SIZE: '5' } },
    witness: null,
    run: async (field) => {
      const { bus, open, told } = field;
      const readers = await Promise.all(
        Array.from({ length: DEAF }, () =>
          open({ compression: true, blind: true, query: { room: 'lab', channel: 'log' } }),
        ),
      );
      for (const reader of readers) reader.pause(true);
      const writer = await open();
      // Random bytes hardly compress.
      const text = randomBytes(100_000).toString('base64');
      let cut = 0;
      while (cut < DEAF && !field.isOver() && writer.isOpen) {
        const before = writer.frames;
        for (let n = 0; n < 5; n += 1) {
          writer.send({ type: 'event', room: 'lab', channel: 'log', payload: { text }, ack: true });
        }
        await writer.when(() => writer.frames >= before + 5);
        cut = await bus.metric('arqonbus_slow_consumers_total');
      }
      told.delete('ack');
      tell(told, 'cut (4429)', cut);
      return unmet({ 'every deaf reader is cut': cut === DEAF });
    },
  }),
};

const PAIRS = 25;
const MAX_HOPS = 64;

/** Each agent replies to the other, and starts again when the bus has stopped them. */
const loops: Attack = {
  name: 'loops',
  title: `${2 * PAIRS} agents in pairs that answer each other`,
  maxRssMib: 250,
  stage: async () => ({
    serve: { env: { ...WITH_AUTH, ARQONBUS_MAX_HOPS: String(MAX_HOPS) } },
    witness: await user('witness'),
    run: async ({ open, told }) => {
      let longest = 0;
      let isOver = false;
      const join = async (agent: string, channel: string): Promise<Client> => {
        const say = (metadata?: object): void => {
          if (isOver || !client.isOpen) return;
          client.send({ type: 'event', room: 'loops', channel, payload: {}, ...(metadata && { metadata }) });
        };
        const onFrame = ({ id, type, error_code: code, metadata: { hops = 0 } = {} }: Frame): void => {
          if (type === 'event') {
            longest = Math.max(longest, hops);
            say({ causal_parent_id: id });
          } else if (code === 'LOOP_DETECTED') say();
        };
        const query = { room: 'loops', channel };
        const client: Client = await open({ token: await user(agent), query, onFrame });
        return client;
      };
      for (let pair = 0; pair < PAIRS; pair += 1) {
        await join(`echo-${pair}`, `c${pair}`);
        const client = await join(`answer-${pair}`, `c${pair}`);
        client.send({ type: 'event', room: 'loops', channel: `c${pair}`, payload: {} });
      }
      await pause(8_000);
      isOver = true;
      return unmet({
        'every pair is stopped': (told.get('LOOP_DETECTED') ?? 0) >= PAIRS,
        'no chain is longer than it may be': longest === MAX_HOPS,
      });
    },
  }),
};

export const TRAFFIC_ATTACKS: readonly Attack[] = [
  historyCalls,
  cronJobs,
  storeWrites(false),
  storeWrites(true),
  channels,
  largeMessages,
  deafReaders,
  loops,
];
