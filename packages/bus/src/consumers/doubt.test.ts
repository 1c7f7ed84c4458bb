import { describe, expect, it } from 'vitest';
import type { Engine, EngineEvents } from '../engine/engine.ts';
import { createMemoryEngine } from '../engine/memory/memory.ts';
import { Node, numberOf, PLACE, Worker } from './rig.suite.ts';

const GROUP = { ...PLACE, group: 'g' };
const STREAM = { tenant: 'default', ...PLACE };

/** An engine whose events pass the bus by while it is deaf, as those of another node may. */
function openDeaf(): { engine: Engine; ears: { isDeaf: boolean; events: EngineEvents | null } } {
  const engine = createMemoryEngine();
  const ears: { isDeaf: boolean; events: EngineEvents | null } = { isDeaf: false, events: null };
  const open = engine.open.bind(engine);
  engine.open = (events) => {
    ears.events = events;
    return open({ ...events, deliver: (event) => (ears.isDeaf ? 0 : events.deliver(event)) });
  };
  return { engine, ears };
}

describe('what an engine says may have passed this node by', () => {
  it('is looked for by whoever waits, when a stream has begun anew or lost something', async () => {
    const { engine, ears } = openDeaf();
    const node = await Node.open(engine);
    const worker = await Worker.connect(node);
    await worker.ask('group.create', GROUP);
    const pulled = worker.peer.command('group.pull', { ...GROUP, wait_ms: 50_000 });
    const read = worker.peer.command('history', { ...PLACE, wait_ms: 50_000 });
    await worker.ask('group.info', GROUP);
    ears.isDeaf = true;
    await node.publish([1]);
    ears.events?.historyGap({ ...STREAM, channel: 'elsewhere' });
    ears.events?.historyGap(STREAM);
    for (const answer of [pulled, read]) {
      expect((await answer).payload).toMatchObject({ messages: [{ payload: { n: 1 } }] });
    }
  });

  it('is looked for by a driver that was being started when it was said', async () => {
    const { engine, ears } = openDeaf();
    const { broker } = engine;
    const node = await Node.open(engine);
    const worker = await Worker.connect(node);
    const state = broker.state.bind(broker);
    const answers: (() => void)[] = [];
    let asked = 0;
    broker.state = async (stream) => {
      const answer = await state(stream);
      asked += 1;
      // The first one is where the group begins.
      if (asked === 2) await new Promise<void>((done) => answers.push(done));
      return answer;
    };
    await worker.ask('group.create', GROUP);
    await expect.poll(() => answers.length, { interval: 1 }).toBe(1);
    const joined = worker.join('g');
    ears.isDeaf = true;
    await node.publish([1]);
    await ears.events?.gap('default', 'work');
    for (const arrive of answers) arrive();
    await joined;
    expect(numberOf(await worker.next())).toBe(1);
  });
});
