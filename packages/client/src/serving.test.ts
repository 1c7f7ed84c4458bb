import { describe, expect, it } from 'vitest';
import { ArqonBusClient } from './client.ts';
import { failureOf } from './connected.suite.ts';
import { NoRespondersError, RequestError, TimeoutError } from './errors.ts';
import { FakeServer } from './testing/fake-server.ts';

async function setUp() {
  const server = new FakeServer();
  const open = async (): Promise<ArqonBusClient> => {
    const client = new ArqonBusClient({ ...server.options });
    await client.connect();
    return client;
  };
  return { server, clock: server.clock, open, asker: await open(), worker: await open() };
}

const AT = 'math:add';

describe('requests to an address', () => {
  it('are answered by one of those who serve there', async () => {
    const { server, clock, open, asker, worker } = await setUp();
    const other = await open();
    const served: string[] = [];
    for (const [name, client] of Object.entries({ worker, other })) {
      await client.onRequest<{ a: number; b: number }>(AT, ({ a, b }) => {
        served.push(name);
        return { sum: a + b };
      });
    }
    const { payload } = await asker.request<{ sum: number }>(AT, { a: 1, b: 2 }, { timeoutMs: 2_000 });
    expect(payload).toEqual({ sum: 3 });
    await clock.settle();
    expect(served).toHaveLength(1);
    expect(server.sent('event')).toMatchObject([
      { room: 'math', channel: 'add', ack: true, options: { request: { timeout_ms: 2_000, group: 'serve' } } },
    ]);
    expect(server.sent('delivery.ack')).toHaveLength(1);
  });

  it('are refused at once when nobody serves', async () => {
    const { asker } = await setUp();
    expect(await failureOf(asker.request(AT, {}))).toBeInstanceOf(NoRespondersError);
  });

  it('tell the asker what the handler says of a failure, and end when their time is over', async () => {
    const { clock, asker, worker } = await setUp();
    await worker.onRequest(AT, () => {
      throw new RequestError('OUT_OF_NUMBERS', 'None left.');
    });
    expect(await failureOf(asker.request(AT, {}))).toMatchObject({ name: 'RequestError', code: 'OUT_OF_NUMBERS' });
    await worker.onRequest('math:slow', () => new Promise(() => {}));
    const late = failureOf(asker.request('math:slow', {}, { timeoutMs: 500 }));
    await clock.advance(1_000);
    expect(await late).toBeInstanceOf(TimeoutError);
  });

  it('are answered several at a time, and what asks for nothing is let go of', async () => {
    const { server, clock, asker, worker } = await setUp();
    let running = 0;
    await worker.onRequest(AT, () => {
      running += 1;
      return new Promise(() => {});
    });
    for (let n = 0; n < 3; n += 1) void failureOf(asker.request(AT, { n }));
    await asker.publish(AT, { no: 'request' });
    await clock.settle();
    expect(running).toBe(3);
    expect(server.sent('delivery.ack')).toHaveLength(1);
  });

  it('may name another group, and be kept nowhere', async () => {
    const { server, asker, worker } = await setUp();
    await worker.onRequest(AT, () => ({ ok: true }), { group: 'calculators', prefetch: 3 });
    await asker.request(AT, {}, { group: 'calculators', ephemeral: true });
    expect(server.sent('join_channel').at(-1)?.args).toMatchObject({ group: 'calculators', prefetch: 3 });
    expect(server.sent('event').at(-1)).toMatchObject({
      options: { ephemeral: true, request: { group: 'calculators' } },
    });
  });
});

describe('requests to a client', () => {
  it('are marked for the server, and in the old way where it does not know them', async () => {
    const { server, open, asker, worker } = await setUp();
    worker.onRequest(() => ({ ok: true }));
    await asker.request(worker.id as string, {}, { timeoutMs: 700 });
    expect(server.sent('private')[0]).toMatchObject({ options: { request: { timeout_ms: 700 } } });
    server.features = [];
    const old = await open();
    await old.request(worker.id as string, {});
    const [asked] = server.sent('private').filter(({ from, metadata }) => from === undefined && metadata?.request);
    expect(asked).toMatchObject({ metadata: { request: true } });
    expect(server.sent('private').filter((envelope) => 'options' in envelope)).toHaveLength(1);
  });
});
