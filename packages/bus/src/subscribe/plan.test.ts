import { BusError } from '@arqonbus/protocol';
import { expect, it } from 'vitest';
import { attended } from '../attended.suite.ts';
import type { Broker, StreamAddress } from '../engine/engine.ts';
import { createMemoryEngine } from '../engine/memory/memory.ts';

const serve = attended();
const room = 'work';

/** A client that was in a room, and comes back with a map of it. What came of a channel that is new it has not had. */
async function comeBack(change: (broker: Broker) => Partial<Broker>): Promise<{ recovered: boolean }> {
  const engine = createMemoryEngine();
  const { connect } = await serve([], { engine });
  const [reader, writer] = [await connect('ada'), await connect('bob')];
  const { positions } = await reader.ask('join_channel', { room, channel: '*' });
  expect(Object.keys(positions)).toEqual(['*']);
  await reader.ask('leave_channel', { room, channel: '*' });
  await writer.publish({ room, channel: 'new', payload: { n: 1 } });
  Object.assign(engine.broker, change(engine.broker));
  return reader.ask('join_channel', { room, channel: '*', since: positions }) as Promise<{ recovered: boolean }>;
}

const away = () => Promise.reject(new BusError('STORAGE_UNAVAILABLE', 'The storage is away.'));

it('says that all was recovered when the storage tells which channels there are', async () => {
  expect(await comeBack(() => ({}))).toMatchObject({ recovered: true });
});

it('does not say so when the storage was away just when it was asked which channels there are', async () => {
  expect(await comeBack(() => ({ streams: away }))).toMatchObject({ recovered: false });
});

it('does not say so when the storage was away just when it was asked of a channel that is new', async () => {
  const recovered = await comeBack((broker) => {
    const state = broker.state.bind(broker);
    const none = { sequence: 0, epoch: '', oldest: 1 };
    return { state: (stream: StreamAddress) => (stream.channel === 'new' ? none : state(stream)) };
  });
  expect(recovered).toMatchObject({ recovered: false });
});
