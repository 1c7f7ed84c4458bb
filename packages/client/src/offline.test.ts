import { describe, expect, it } from 'vitest';
import { failureOf, setUp } from './connected.suite.ts';
import { QueueFullError, TimeoutError } from './errors.ts';
import type { FakeServer } from './testing/fake-server.ts';

const texts = (server: FakeServer): unknown[] => server.sent('event').map(({ payload }) => payload.n);

describe('while the line is away', () => {
  it('holds messages and sends them in their order when it is back', async () => {
    const { server, client, clock } = await setUp();
    server.kill();
    await clock.settle();
    const acks = [1, 2, 3].map((n) => client.publish('a:b', { n }, { ack: n !== 2 } as { ack: true }));
    expect(client.queued.messages).toBe(3);
    expect(client.queued.bytes).toBeGreaterThan(100);
    await clock.advance(250);
    expect((await Promise.all(acks)).map(({ sequence }) => sequence)).toEqual([1, undefined, 3]);
    expect(texts(server)).toEqual([1, 2, 3]);
    expect(client.queued).toEqual({ messages: 0, bytes: 0 });
  });

  it('repeats what was not acked, with its id, before what came later', async () => {
    const { server, client, clock } = await setUp();
    server.dropAcks = true;
    const first = client.publish('a:b', { n: 1 }, { ack: true });
    const second = client.publish('a:b', { n: 2 }, { ack: true });
    await clock.settle();
    server.dropAcks = false;
    server.kill();
    await clock.settle();
    const third = client.publish('a:b', { n: 3 }, { ack: true });
    await clock.advance(250);
    expect(await first).toMatchObject({ sequence: 1, duplicate: true });
    expect(await second).toMatchObject({ sequence: 2, duplicate: true });
    expect(await third).toMatchObject({ sequence: 3, duplicate: false });
    expect(texts(server)).toEqual([1, 2, 1, 2, 3]);
    expect(server.stream('a:b').sequence).toBe(3);
  });

  it('holds no more than it may, in messages and in bytes', async () => {
    const few = await setUp({ queue: { messages: 2 } });
    few.server.kill();
    await few.clock.settle();
    const held = [few.client.publish('a:b', { n: 1 }), few.client.publish('a:b', { n: 2 })];
    const third = await failureOf(few.client.publish('a:b', { n: 3 }));
    expect(third).toBeInstanceOf(QueueFullError);
    expect(third).toMatchObject({ code: 'QUEUE_FULL', retryable: true });
    await few.clock.advance(250);
    await Promise.all(held);
    expect(texts(few.server)).toEqual([1, 2]);

    const small = await setUp({ queue: { bytes: 300 } });
    small.server.kill();
    await small.clock.settle();
    const fits = small.client.publish('a:b', {});
    expect(await failureOf(small.client.publish('a:b', { text: 'x'.repeat(300) }))).toBeInstanceOf(QueueFullError);
    await small.clock.advance(250);
    await fits;
  });

  it('lets go of what is aborted or late, and counts it no more', async () => {
    const { server, client, clock } = await setUp();
    server.kill();
    await clock.settle();
    const abort = new AbortController();
    const aborted = failureOf(client.publish('a:b', { n: 1 }, { signal: abort.signal }));
    const late = failureOf(client.publish('a:b', { n: 2 }, { timeoutMs: 100 }));
    abort.abort(new Error('stop'));
    expect(await aborted).toMatchObject({ message: 'stop' });
    await clock.advance(100);
    expect(await late).toBeInstanceOf(TimeoutError);
    expect(client.queued).toEqual({ messages: 0, bytes: 0 });
    await clock.advance(250);
    expect(texts(server)).toEqual([]);
  });

  it('counts the default limit only while there is a line, a limit of the caller always', async () => {
    const { server, client, clock } = await setUp({ timeoutMs: 1_000, reconnect: { baseMs: 10_000 } });
    server.dropAcks = true;
    const patient = client.publish('a:b', { n: 1 }, { ack: true });
    await clock.advance(900);
    server.kill();
    server.dropAcks = false;
    await clock.advance(5_000);
    expect(await patient).toMatchObject({ duplicate: true });
  });

  it('does not repeat what the server may have forgotten', async () => {
    const { server, client, clock } = await setUp({ reconnect: { baseMs: 240_000, maxMs: 240_000 } });
    server.dropAcks = true;
    const old = failureOf(client.publish('a:b', { n: 1 }, { ack: true }));
    await clock.settle();
    server.kill();
    await clock.advance(120_000);
    expect(client.state).toBe('open');
    expect(await old).toMatchObject({ code: 'OUTCOME_UNKNOWN' });
    expect(texts(server)).toEqual([1]);
  });

  it('does not repeat the message that was too large for the server', async () => {
    const { server, client, clock } = await setUp();
    server.dropAcks = true;
    const large = failureOf(client.publish('a:b', { n: 1, text: 'x'.repeat(1_000) }, { ack: true }));
    const small = client.publish('a:b', { n: 2 }, { ack: true });
    await clock.settle();
    server.dropAcks = false;
    server.kill(1009);
    expect(await large).toMatchObject({ code: 'MESSAGE_TOO_LARGE', retryable: false });
    await clock.advance(250);
    expect(await small).toMatchObject({ duplicate: true });
  });

  it('rejects everything when the client ends', async () => {
    const { server, client, clock } = await setUp();
    server.kill();
    await clock.settle();
    const held = [failureOf(client.publish('a:b', {})), failureOf(client.status())];
    await client.close();
    for (const failure of await Promise.all(held)) expect(failure).toMatchObject({ code: 'CLOSED' });
    expect(clock.pending).toBe(0);
  });
});
