import type { JsonObject } from '@arqonbus/protocol';
import { expect, it } from 'vitest';
import { attended } from '../attended.suite.ts';
import type { Engine, EngineEvents, StreamAddress, StreamEvent } from '../engine/engine.ts';
import { createMemoryEngine } from '../engine/memory/memory.ts';

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
      events.gap('default', 'work');
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
