import type { JsonObject } from '@arqonbus/protocol';
import { expect, it } from 'vitest';
import { attended } from '../attended.suite.ts';
import type { Engine, EngineEvents, StreamAddress, StreamEvent } from '../engine/engine.ts';
import { createMemoryEngine } from '../engine/memory/memory.ts';
import { range } from '../engine/suite/rig.suite.ts';

const serve = attended();

/** An engine whose events pass this node by while its line is broken, and that says so when it is back. */
function lossy(): { engine: Engine; cut(): void; mend(): void } {
  const engine = createMemoryEngine();
  let isCut = false;
  let events: EngineEvents;
  const open = engine.open.bind(engine);
  return {
    engine: Object.assign(engine, {
      open: (given: EngineEvents) => {
        events = given;
        const deliver = (event: StreamEvent): number => (isCut ? 0 : given.deliver(event));
        return open({ ...given, deliver });
      },
    }),
    cut: () => {
      isCut = true;
    },
    mend: () => {
      isCut = false;
      void events.gap('default', '*');
    },
  };
}

/** Has an engine's history answer only when it is let. */
function slow({ broker }: Engine): { asked: Promise<void>; let(): void } {
  const history = broker.history.bind(broker);
  let go = (): void => {};
  const open = new Promise<void>((resolve) => {
    go = resolve;
  });
  const asked = new Promise<void>((resolve) => {
    Object.assign(broker, {
      history: async (...query: Parameters<typeof history>) => {
        resolve();
        await open;
        return history(...query);
      },
    });
  });
  return { asked, let: go };
}

/** A clock by which no two events are of one moment. */
function ticking(): { now: () => number } {
  let now = Date.now();
  return {
    now: () => {
      now += 1;
      return now;
    },
  };
}

const PLACES = [
  { room: 'work', channel: 'x' },
  { room: 'work', channel: 'y' },
  { room: 'home', channel: 'x' },
  { room: 'work' },
];

/** A reader of all {@link PLACES}, and who says the next number there. */
async function conversation(given: Engine): Promise<{ say(count: number): Promise<void>; hear(): Promise<number[]> }> {
  const { connect } = await serve([], { engine: given, limits: ticking() });
  const [reader, writer] = [await connect('ada'), await connect('bob')];
  for (const place of PLACES.slice(0, 3)) await reader.ask('join_channel', place);
  let said = 0;
  let heard = 0;
  return {
    say: async (count) => {
      for (let each = 0; each < count; each += 1, said += 1) {
        await writer.publish({ ...PLACES[said % PLACES.length], payload: { n: said } });
      }
    },
    /** All that was said and not heard yet. */
    hear: async () => {
      const numbers: number[] = [];
      for (; heard < said; heard += 1) numbers.push((await reader.message()).payload.n);
      expect(reader.inbox.filter(({ type }) => type === 'event')).toEqual([]);
      return numbers;
    },
  };
}

const at = { room: 'work', channel: 'x' };
const say = (n: number): JsonObject & { room: string; channel: string } => ({ ...at, payload: { n } });

it('brings what passed by a member that has had no event yet', async () => {
  const { engine, cut, mend } = lossy();
  const { connect } = await serve([], { engine });
  const [reader, writer] = [await connect('ada'), await connect('bob')];
  await writer.publish(say(1));
  await reader.ask('join_channel', at);
  cut();
  for (const n of [2, 3]) await writer.publish(say(n));
  mend();
  for (const n of [2, 3]) expect(await reader.message()).toMatchObject({ payload: { n } });
  await writer.publish(say(4));
  expect(await reader.message()).toMatchObject({ payload: { n: 4 } });
});

it('brings nobody what was said while nobody of this node listened', async () => {
  const { engine, cut, mend } = lossy();
  const { connect } = await serve([], { engine });
  const [reader, writer] = [await connect('ada'), await connect('bob')];
  await reader.ask('join_channel', at);
  await writer.publish(say(1));
  expect(await reader.message()).toMatchObject({ payload: { n: 1 } });
  await reader.ask('leave_channel', at);
  cut();
  for (const n of [2, 3]) await writer.publish(say(n));
  await reader.ask('join_channel', at);
  await writer.publish(say(4));
  mend();
  expect(await reader.message()).toMatchObject({ payload: { n: 4 } });
  await writer.publish(say(5));
  expect(await reader.message()).toMatchObject({ payload: { n: 5 } });
});

it('repeats nothing when the backend came back with the same events under a new epoch', async () => {
  const { engine, cut, mend } = lossy();
  const { connect } = await serve([], { engine });
  const [reader, writer] = [await connect('ada'), await connect('bob')];
  await reader.ask('join_channel', at);
  for (const n of [1, 2]) {
    await writer.publish(say(n));
    expect(await reader.message()).toMatchObject({ payload: { n } });
  }
  cut();
  // A later millisecond, as after any failover.
  const { timestamp } = (await writer.ask('history', at)).messages.at(-1);
  await expect.poll(() => Date.now()).toBeGreaterThan(Date.parse(timestamp));
  await writer.publish(say(3));
  const { broker } = engine;
  const state = broker.state.bind(broker);
  Object.assign(broker, { state: async (stream: StreamAddress) => ({ ...(await state(stream)), epoch: 'renewed' }) });
  mend();
  expect(await reader.next(({ payload }) => payload?.event === 'history_gap')).toBeDefined();
  expect(await reader.message()).toMatchObject({ payload: { n: 3 } });
});

it('brings what one sender said in several channels and rooms in the order in which it was said', async () => {
  const { engine, cut, mend } = lossy();
  const { say, hear } = await conversation(engine);
  await say(4);
  expect(await hear()).toEqual(range(0, 3));
  cut();
  await say(40);
  mend();
  expect(await hear()).toEqual(range(4, 43));
});

it('has live events wait in all channels and rooms until what was missed in any of them has been brought', async () => {
  const { engine, cut, mend } = lossy();
  const { say, hear } = await conversation(engine);
  await say(4);
  await hear();
  cut();
  await say(2);
  const history = slow(engine);
  mend();
  await history.asked;
  await say(6);
  history.let();
  expect(await hear()).toEqual(range(4, 11));
});

it('brings what is missed while it reads, after what it reads and before what came live since', async () => {
  const { engine, cut, mend } = lossy();
  const { say, hear } = await conversation(engine);
  await say(4);
  await hear();
  cut();
  await say(5);
  const history = slow(engine);
  mend();
  await history.asked;
  await say(5);
  cut();
  await say(5);
  mend();
  await say(5);
  history.let();
  expect(await hear()).toEqual(range(4, 23));
});

it('reads from history too what more comes live meanwhile than it holds back', async () => {
  const { engine, cut, mend } = lossy();
  const { bus, connect } = await serve([], { engine });
  const [reader, writer] = [await connect('ada'), await connect('bob')];
  await reader.ask('join_channel', at);
  await reader.ask('join_channel', { room: 'work', channel: 'y' });
  await writer.publish(say(0));
  await reader.message();
  cut();
  await writer.publish(say(1));
  const history = slow(engine);
  mend();
  await history.asked;
  const text = 'x'.repeat(700_000);
  // Together more than 4 MiB; those of the other channel are the first that anybody here hears of it.
  for (const n of range(2, 11)) await bus.publish(`work:${n % 2 === 0 ? 'x' : 'y'}`, { n, text }, { as: 'bob' });
  history.let();
  for (const n of range(1, 11)) expect((await reader.message()).payload.n).toBe(n);
  await writer.publish(say(12));
  expect((await reader.message()).payload.n).toBe(12);
});

it('tells members of each channel that history cannot be read of, and goes on with what was held back', async () => {
  const { engine, cut, mend } = lossy();
  const faults: unknown[] = [];
  const { connect } = await serve([], { engine, onFault: (fault) => faults.push(fault) });
  const [reader, writer] = [await connect('ada'), await connect('bob')];
  const places = ['x', 'y'].map((channel) => ({ room: 'work', channel }));
  for (const place of places) await reader.ask('join_channel', place);
  cut();
  for (const place of places) await writer.publish({ ...place, payload: {} });
  let fail = (): void => {};
  const failed = new Promise<never>((_, reject) => {
    fail = () => reject(new Error('the disk is gone'));
  });
  Object.assign(engine.broker, { history: () => failed });
  mend();
  await writer.publish(say(2));
  fail();
  const gap = async (): Promise<string> => {
    const { payload } = await reader.next((frame) => frame.payload?.event === 'history_gap');
    return payload.channel;
  };
  expect([await gap(), await gap()].sort()).toEqual(['x', 'y']);
  expect(await reader.message()).toMatchObject({ payload: { n: 2 } });
  expect(faults).toEqual([new Error('the disk is gone')]);
});
