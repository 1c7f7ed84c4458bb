import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { opened, RealBus } from './real-bus.suite.ts';

let bus: RealBus;

beforeAll(async () => {
  bus = await RealBus.start();
});
afterEach(() => bus.closeClients());
afterAll(() => bus?.stop());

const CARD = { skills: [{ id: 'sum', name: 'Addition' }] };

it('tells a new connection what it is again, but not a state that was for a time', async () => {
  const [ada, bob, eve] = [await bus.connectBreakably(), await bus.connectBreakably(), await bus.connect()];
  await ada.identify({ screenName: 'Ada', card: CARD, state: 'idle', note: 'ready' });
  await bob.identify({ screenName: 'Bob', card: CARD, state: 'idle' });
  await bob.identify({ state: 'busy', note: 'adding', ttlSeconds: 600 });
  const back = Promise.all([opened(ada), opened(bob)]);
  bus.proxy.cut();
  await back;
  const find = async (name: string): Promise<object[]> => {
    const { clients } = await eve.command('list_clients', { name, skill: 'sum' });
    return clients.map(({ card, state, note }) => ({ card, state, note }));
  };
  await expect.poll(() => find('Ada')).toEqual([{ card: CARD, state: 'idle', note: 'ready' }]);
  await expect.poll(() => find('Bob')).toEqual([{ card: CARD, state: undefined, note: undefined }]);
  await ada.identify({ card: null });
  expect(await find('Ada')).toEqual([]);
});
