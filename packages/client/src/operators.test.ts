import type { StoreNotice } from '@arqonbus/protocol';
import { describe, expect, it } from 'vitest';
import { failureOf, setUp, take } from './connected.suite.ts';
import { BusError } from './testing/fake-server.ts';

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
      if (args.if_version === 0) throw new BusError('CONFLICT', 'It exists.', { version: 3, retryable: true });
      return { namespace: 'default', key: args.key, version: 4, updated: true };
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
