import { expect, it } from 'vitest';
import { Node, Worker } from '../consumers/rig.suite.ts';
import { createMemoryEngine } from '../engine/memory/memory.ts';
import { FakeClock } from '../operators/fake-clock.suite.ts';
import { AT, append, close, markOf, open, SUBJECTS } from './streams.suite.ts';

/** Four characters each, as those of language models have on average. */
const TOKENS = Array.from({ length: 2_000 }, (_, n) => `${n.toString(36).padStart(3, '0')} `);
const JOINED_AT = 1_200;
/** Of how many events the cost is measured. */
const SAMPLE = 200;
const JOINERS = 50;
/** Tokens of one piece: a model that writes 500 a second. */
const TOGETHER = 20;

/** Counts what a connection is sent from now on. */
function counted({ peer }: Worker): () => number {
  let bytes = 0;
  peer.ws.on('message', (data) => {
    bytes += (data as Buffer).length;
  });
  return () => bytes;
}

it('50 who join at token 1,200 of 2,000 read all of it, for less than 5 % of what 2,000 events cost', async () => {
  const clock = new FakeClock();
  const node = await Node.open(createMemoryEngine(), { ...SUBJECTS, clock });
  const connect = (): Promise<Worker> => Worker.connect(node, { as: 'ada' });
  const [writer, plain] = await Promise.all([connect(), connect()]);
  await plain.ask('join_channel', { room: 'talk', channel: 'events' });
  const ofEvents = counted(plain);
  for (const text of TOKENS.slice(0, SAMPLE)) await node.bus.publish('talk:events', { text });
  await plain.ask('ping', {});
  const joiners = await Promise.all(Array.from({ length: JOINERS }, connect));
  const counts = joiners.map(counted);

  const id = await open(writer);
  const write = async (tokens: readonly string[]): Promise<void> => {
    for (let at = 0; at < tokens.length; at += TOGETHER) {
      await Promise.all(tokens.slice(at, at + TOGETHER).map((token) => append(writer, id, token)));
      clock.advance(40);
    }
  };
  await write(TOKENS.slice(0, JOINED_AT));
  await Promise.all(joiners.map((joiner) => joiner.ask('join_channel', AT)));
  await write(TOKENS.slice(JOINED_AT));
  await close(writer, id);

  for (const [at, { peer }] of joiners.entries()) {
    let text = '';
    for (let isOver = false; !isOver; ) {
      const { payload, metadata } = await peer.message();
      const { offset, state } = markOf({ metadata: metadata ?? {} }) ?? { offset: -1, state: '' };
      expect(offset).toBe(text.length);
      text += payload.text;
      isOver = state !== 'streaming';
    }
    expect(text).toBe(TOKENS.join(''));
    expect(counts[at]?.()).toBeLessThan(ofEvents() * (TOKENS.length / SAMPLE) * 0.05);
  }
}, 120_000);
