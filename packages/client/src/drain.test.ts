import { describe, expect, it } from 'vitest';
import { ArqonBusClient } from './client.ts';
import { failureOf, type Numbered, setUp } from './connected.suite.ts';

/** A promise, and the way to settle it. */
function gate(): { opened: Promise<void>; open: () => void } {
  let open = (): void => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open };
}

describe('drain', () => {
  it('lets handlers finish what had arrived, and sends what they publish, before it closes', async () => {
    const { server, client, clock } = await setUp();
    const { opened, open } = gate();
    const handled: number[] = [];
    await client.subscribe<Numbered>('a:b', {
      onMessage: async ({ payload }) => {
        await opened;
        await client.publish('a:done', { n: payload.n });
        handled.push(payload.n);
      },
    });
    for (const n of [1, 2, 3]) server.publish('a:b', { n });
    await clock.settle();
    const draining = client.drain();
    await clock.settle();
    expect(server.sent('leave_channel')).toHaveLength(1);
    expect(client.state).toBe('open');
    server.publish('a:b', { n: 4 });
    open();
    await draining;
    expect(handled).toEqual([1, 2, 3]);
    expect(server.stream('a:done').kept.map(({ payload }) => payload.n)).toEqual([1, 2, 3]);
    expect(client.state).toBe('closed');
    expect(clock.pending).toBe(0);
  });

  it('waits for a loop to take what it holds, and to be done with the last of it', async () => {
    const { server, client, clock } = await setUp();
    const subscription = await client.subscribe<Numbered>('a:b');
    const { opened, open } = gate();
    const seen: number[] = [];
    const loop = (async () => {
      for await (const { payload } of subscription) {
        await opened;
        seen.push(payload.n);
        await client.publish('a:done', { n: payload.n });
      }
      return 'ended';
    })();
    for (const n of [1, 2]) server.publish('a:b', { n });
    await clock.settle();
    const draining = client.drain();
    await clock.settle();
    expect(client.state).toBe('open');
    open();
    await draining;
    expect(await loop).toBe('ended');
    expect(seen).toEqual([1, 2]);
    expect(server.stream('a:done').sequence).toBe(2);
  });

  it('does not wait for messages that nobody takes', async () => {
    const { server, client, clock } = await setUp();
    await client.subscribe('a:b');
    server.publish('a:b', { n: 1 });
    await clock.settle();
    await client.drain();
    expect(client.state).toBe('closed');
  });

  it('waits for the acks of what was published, also over a lost line', async () => {
    const { server, client, clock } = await setUp();
    server.dropAcks = true;
    const publishing = client.publish('a:b', { n: 1 });
    const draining = client.drain({ timeoutMs: 60_000 });
    await clock.settle();
    server.dropAcks = false;
    server.kill();
    await clock.advance(1_000);
    expect(await publishing).toMatchObject({ duplicate: true });
    await draining;
    expect(server.stream('a:b').sequence).toBe(1);
  });

  it('answers the requests that have come', async () => {
    const { server, client: service, clock } = await setUp();
    const asker = new ArqonBusClient({ ...server.options });
    await asker.connect();
    const { opened, open } = gate();
    service.onRequest(async () => {
      await opened;
      return { done: true };
    });
    const asking = asker.request(service.id as string, {});
    await clock.settle();
    const draining = service.drain();
    await clock.settle();
    expect(service.state).toBe('open');
    open();
    expect((await asking).payload).toEqual({ done: true });
    await draining;
    expect(service.state).toBe('closed');
  });

  it('takes no further subscription', async () => {
    const { server, client, clock } = await setUp();
    server.dropAcks = true;
    const publishing = failureOf(client.publish('a:b', {}));
    const draining = failureOf(client.drain({ timeoutMs: 500 }));
    expect(await failureOf(client.subscribe('a:b'))).toMatchObject({ code: 'CLOSED' });
    await clock.advance(500);
    expect(await draining).toMatchObject({ code: 'TIMEOUT' });
    expect(await publishing).toMatchObject({ code: 'CLOSED' });
  });

  it('closes all the same when it takes too long, is aborted, or there is nothing to drain', async () => {
    const slow = await setUp();
    slow.server.dropAcks = true;
    const pending = failureOf(slow.client.publish('a:b', {}));
    const abort = new AbortController();
    const draining = failureOf(slow.client.drain({ signal: abort.signal }));
    await slow.clock.settle();
    abort.abort(new Error('no more time'));
    expect(await draining).toMatchObject({ message: 'no more time' });
    expect(await pending).toMatchObject({ code: 'CLOSED' });
    expect(slow.client.state).toBe('closed');
    expect(slow.clock.pending).toBe(0);

    const idle = new ArqonBusClient({ ...slow.server.options });
    await idle.drain();
    expect(idle.state).toBe('closed');
    await idle.drain();
  });
});
