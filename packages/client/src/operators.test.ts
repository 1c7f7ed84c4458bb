import type { StoreNotice } from '@arqonbus/protocol';
import { describe, expect, it } from 'vitest';
import { ArqonBusClient } from './client.ts';
import type { ArqonBusError } from './errors.ts';
import type { Message } from './message.ts';
import { BusError, FakeServer } from './testing/fake-server.ts';

async function setUp() {
  const server = new FakeServer();
  const client = new ArqonBusClient({ ...server.options });
  const errors: ArqonBusError[] = [];
  client.on('error', (error) => void errors.push(error));
  await client.connect();
  return { server, client, errors, clock: server.clock };
}

const failureOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => 'resolved',
    (error) => error,
  );

describe('operators', () => {
  it('send the commands of their family, with the arguments and results of the protocol', async () => {
    const { server, client } = await setUp();
    const calls: [string, () => Promise<unknown>][] = [
      ['op.webhook.register', () => client.webhooks.register({ url: 'https://example.org/', room: 'science' })],
      ['op.webhook.list', () => client.webhooks.list()],
      ['op.webhook.unregister', () => client.webhooks.unregister({ rule_id: 'r' })],
      ['op.webhook.dead_letters', () => client.webhooks.deadLetters({ rule_id: 'r' })],
      ['op.webhook.retry', () => client.webhooks.retry({ rule_id: 'r' })],
      ['op.cron.schedule', () => client.cron.schedule({ room: 'a:b', payload: { tick: true }, interval_seconds: 5 })],
      ['op.cron.list', () => client.cron.list()],
      ['op.cron.cancel', () => client.cron.cancel({ job_id: 'j' })],
      ['op.casil.get', () => client.casil.get()],
      ['op.casil.reload', () => client.casil.reload({ mode: 'enforce' })],
      ['op.omega.status', () => client.omega.status()],
      ['op.omega.register_substrate', () => client.omega.registerSubstrate({ name: 'n', kind: 'k' })],
      ['op.omega.list_substrates', () => client.omega.listSubstrates()],
      ['op.omega.unregister_substrate', () => client.omega.unregisterSubstrate({ substrate_id: 's' })],
      ['op.omega.emit_event', () => client.omega.emitEvent({ substrate_id: 's', signal: 'x' })],
      ['op.omega.list_events', () => client.omega.listEvents({ limit: 5 })],
      ['op.omega.clear_events', () => client.omega.clearEvents()],
    ];
    for (const [name, call] of calls) {
      server.answer(name, (args) => ({ answered: name, args }));
      expect(await call()).toMatchObject({ answered: name });
      expect(server.sent(name)).toHaveLength(1);
    }
    expect(server.sent('op.cron.schedule')[0]?.args).toEqual({
      room: 'a:b',
      payload: { tick: true },
      interval_seconds: 5,
    });
    expect(server.sent('op.omega.clear_events')[0]?.args).toEqual({});
  });

  it('take a limit of time and a signal like every command', async () => {
    const { server, client, clock } = await setUp();
    server.connection.freeze();
    const late = failureOf(client.casil.get({}, { timeoutMs: 20 }));
    await clock.advance(20);
    expect(await late).toMatchObject({ code: 'TIMEOUT' });
  });
});

describe('the store', () => {
  it('gets, sets with compare-and-set and time to live, deletes, lists', async () => {
    const { server, client } = await setUp();
    server.answer('op.store.set', (args) => {
      if (args['if_version'] === 0) throw new BusError('CONFLICT', 'It exists.', { version: 3, retryable: true });
      return { namespace: 'default', key: args['key'], version: 4, updated: true };
    });
    server.answer('op.store.get', ({ key }) => ({ found: true, value: { of: key }, version: 3 }));
    server.answer('op.store.delete', () => ({ deleted: true }));
    server.answer('op.store.list', ({ after }) =>
      after === undefined ? { keys: ['a', 'b'], count: 2, next: 'b' } : { keys: ['c'], count: 1 },
    );
    const { store } = client;
    expect((await store.get<{ of: string }>('k', { namespace: 'n' })).value?.of).toBe('k');
    expect(await store.set('k', 1, { ttlSeconds: 60, ifVersion: 3 })).toMatchObject({ version: 4 });
    expect(await failureOf(store.set('k', 1, { ifVersion: 0 }))).toMatchObject({
      code: 'CONFLICT',
      retryable: true,
      details: { version: 3 },
    });
    expect(await store.delete('k', { ifVersion: 4 })).toBe(true);
    const keys: string[] = [];
    for await (const key of store.keys({ prefix: '' })) keys.push(key);
    expect(keys).toEqual(['a', 'b', 'c']);
    expect(server.received.map(({ args }) => args)).toEqual([
      { key: 'k', namespace: 'n' },
      { key: 'k', value: 1, ttl_seconds: 60, if_version: 3 },
      { key: 'k', value: 1, if_version: 0 },
      { key: 'k', if_version: 4 },
      { prefix: '' },
      { prefix: '', after: 'b' },
    ]);
  });

  const change = (key: string, version = 1): StoreNotice => {
    return { event: 'store_changed', namespace: 'default', key, operation: 'set', version };
  };

  it('tells changes of watched keys, and that some may be missing after a lost line', async () => {
    const { server, client, clock } = await setUp();
    server.answer('op.store.watch', ({ namespace, prefix = '' }) => ({ watching: true, namespace, prefix }));
    server.answer('op.store.unwatch', ({ namespace, prefix = '' }) => ({ watching: false, namespace, prefix }));
    const heard: string[] = [];
    const twin = await client.store.watch({ prefix: 'job/' });
    const watch = await client.store.watch({ prefix: 'job/', onReset: () => void heard.push('reset') });
    await client.store.watch({ onChange: ({ key }) => void heard.push(key) });
    server.connection.notice({ ...change('job/1') });
    server.connection.notice({ ...change('other') });
    server.connection.notice({ ...change('job/1'), namespace: 'elsewhere' });
    const [first] = await take(watch, 1);
    expect(first).toMatchObject({ key: 'job/1', version: 1 });
    expect(heard).toEqual(['job/1', 'other']);
    server.kill();
    await clock.advance(1_000);
    expect(server.sent('op.store.watch')).toHaveLength(6);
    expect(heard.at(-1)).toBe('reset');
    server.connection.notice({ ...change('job/2') });
    expect(await take(watch, 1)).toMatchObject([{ key: 'job/2' }]);
    await watch.close();
    expect(server.sent('op.store.unwatch')).toEqual([]);
    await twin.close();
    expect(server.sent('op.store.unwatch').map(({ args }) => args)).toEqual([{ namespace: 'default', prefix: 'job/' }]);
    expect(await take(watch, 1)).toEqual([]);
  });

  it('holds a bounded number of changes for a slow reader', async () => {
    const { server, client, clock } = await setUp();
    server.answer('op.store.watch', () => ({ watching: true }));
    let resets = 0;
    const watch = await client.store.watch({
      onReset: () => {
        resets += 1;
      },
    });
    for (let version = 1; version <= 1_002; version += 1) server.connection.notice({ ...change('k', version) });
    await clock.settle();
    expect(resets).toBe(1);
    expect(await take(watch, 1)).toMatchObject([{ version: 1_002 }]);
  });

  it('ends a watch that the server refuses to renew, and all of them with the client', async () => {
    const { server, client, clock, errors } = await setUp();
    server.answer('op.store.watch', () => ({ watching: true }));
    const watch = await client.store.watch();
    const failure = failureOf(take(watch, 1));
    server.answer('op.store.watch', () => {
      throw new BusError('AUTHORIZATION_ERROR', 'No longer.');
    });
    server.kill();
    await clock.advance(1_000);
    expect(await failure).toMatchObject({ code: 'AUTHORIZATION_ERROR' });
    expect(errors).toMatchObject([{ code: 'AUTHORIZATION_ERROR' }]);
    server.answer('op.store.watch', () => ({ watching: true }));
    const other = await client.store.watch();
    const rest = take(other, 1);
    await client.close();
    expect(await rest).toEqual([]);
  });
});

describe('history', () => {
  const numbers = (messages: Message<{ n: number }>[]): number[] => messages.map(({ payload }) => payload.n);

  async function filled() {
    const { server, client } = await setUp();
    for (let n = 1; n <= 10; n += 1) server.publish('a:b', { n });
    const read = async (options: Parameters<typeof client.history>[1]): Promise<number[]> => {
      const seen: Message<{ n: number }>[] = [];
      for await (const message of client.history<{ n: number }>('a:b', options)) seen.push(message);
      return numbers(seen);
    };
    return { server, client, read };
  }

  it('is read page by page, from either end, within bounds', async () => {
    const { server, read } = await filled();
    expect(await read({ pageSize: 4 })).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    expect(server.sent('history').map(({ args }) => [args?.['after'], args?.['limit']])).toEqual([
      [0, 4],
      [4, 4],
      [8, 4],
    ]);
    expect(await read({ order: 'newest-first', pageSize: 4 })).toEqual([10, 9, 8, 7, 6, 5, 4, 3, 2, 1]);
    expect(await read({ after: 3, before: 7, pageSize: 2 })).toEqual([4, 5, 6]);
    expect(await read({ after: 3, before: 7, pageSize: 2, order: 'newest-first' })).toEqual([6, 5, 4]);
    expect(await read({ limit: 5, pageSize: 4 })).toEqual([1, 2, 3, 4, 5]);
    expect(await read({ limit: 3, order: 'newest-first' })).toEqual([10, 9, 8]);
    expect(await read({ after: 10 })).toEqual([]);
  });

  it('asks for nothing before it is read, and for no page too many', async () => {
    const { server, client } = await filled();
    const history = client.history<{ n: number }>('a:b', { pageSize: 3 });
    expect(server.sent('history')).toHaveLength(0);
    for await (const page of history.pages()) {
      expect(numbers(page)).toEqual([1, 2, 3]);
      break;
    }
    expect(server.sent('history')).toHaveLength(1);
  });

  it('rejects with what the server refuses', async () => {
    const { read } = await filled();
    expect(await failureOf(read({ pageSize: 501 }))).toMatchObject({ code: 'VALIDATION_ERROR' });
  });
});

async function take<T>(from: AsyncIterable<T>, count: number): Promise<T[]> {
  const taken: T[] = [];
  for await (const item of from) {
    taken.push(item);
    if (taken.length === count) break;
  }
  return taken;
}
