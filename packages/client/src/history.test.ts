import { describe, expect, it } from 'vitest';
import { failureOf, type Numbered, numbers, setUp } from './connected.suite.ts';
import type { Message } from './message.ts';

describe('history', () => {
  async function filled() {
    const { server, client } = await setUp();
    for (let n = 1; n <= 10; n += 1) server.publish('a:b', { n });
    const read = async (options: Parameters<typeof client.history>[1]): Promise<number[]> => {
      const seen: Message<Numbered>[] = [];
      for await (const message of client.history<Numbered>('a:b', options)) seen.push(message);
      return numbers(seen);
    };
    return { server, client, clock: server.clock, read };
  }

  it('is read page by page, from either end, within bounds', async () => {
    const { server, read } = await filled();
    expect(await read({ pageSize: 4 })).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    expect(server.sent('history').map(({ args }) => [args?.after, args?.limit])).toEqual([
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
    const history = client.history<Numbered>('a:b', { pageSize: 3 });
    expect(server.sent('history')).toHaveLength(0);
    for await (const page of history.pages()) {
      expect(numbers(page)).toEqual([1, 2, 3]);
      break;
    }
    expect(server.sent('history')).toHaveLength(1);
  });

  it('follows the cursors of pages that are smaller than asked for, even of an empty one', async () => {
    const { server, client, read } = await filled();
    const answered = [
      { messages: server.stream('a:b').after(0).slice(0, 2), next: 2, previous: null },
      { messages: [], next: 7, previous: null },
      { messages: server.stream('a:b').after(7), next: null, previous: null },
    ];
    server.answer('history', () => answered.shift());
    expect(await read({ pageSize: 100 })).toEqual([1, 2, 8, 9, 10]);
    expect(server.sent('history').map(({ args }) => args?.after)).toEqual([0, 2, 7]);
    expect(client.state).toBe('open');
  });

  it('takes an answer without cursors for the last page', async () => {
    const { server, read } = await filled();
    server.answer('history', () => ({ messages: server.stream('a:b').after(8) }));
    expect(await read({})).toEqual([9, 10]);
  });

  it('asks for less when a page does not come in time', async () => {
    const { server, client, clock } = await filled();
    const restore = server.answer('history', ({ limit }) => {
      if ((limit as number) > 10) return undefined;
      restore();
      return { messages: server.stream('a:b').after(0), next: null, previous: null };
    });
    const reading = (async () => {
      const seen: number[] = [];
      for await (const { payload } of client.history<Numbered>('a:b', { timeoutMs: 500 })) seen.push(payload.n);
      return seen;
    })();
    await clock.advance(1_000);
    expect(await reading).toHaveLength(10);
    expect(server.sent('history').map(({ args }) => args?.limit)).toEqual([100, 25, 7]);
  });

  it('gives up when not even one message comes in time', async () => {
    const { server, client, clock } = await filled();
    server.answer('history', () => undefined);
    const reading = failureOf(client.history('a:b', { pageSize: 2, timeoutMs: 500 }).pages().next());
    await clock.advance(1_000);
    expect(await reading).toMatchObject({ code: 'TIMEOUT' });
  });

  it('waits longer than an answer may take while a page is arriving on a slow line', async () => {
    const { server, client, clock } = await filled();
    let answer: (() => void) | undefined;
    server.answer('history', (_args, connection) => {
      const { id } = server.received.at(-1) as { id: string };
      answer = () =>
        connection.send({
          type: 'command_response',
          request_id: id,
          command: 'history',
          status: 'success',
          payload: { messages: server.stream('a:b').after(0), next: null, previous: null },
        });
      return undefined;
    });
    const reading = client.history('a:b').pages().next();
    for (let second = 0; second < 40; second += 1) {
      server.connection.bytesReceived += 20_000;
      await clock.advance(1_000);
    }
    answer?.();
    expect((await reading).value).toHaveLength(10);
    expect(server.sent('history')).toHaveLength(1);
    // When no more of it comes, the limit holds.
    const late = failureOf(client.command('history', { room: 'a', channel: 'b' }));
    await clock.advance(10_000);
    expect(await late).toMatchObject({ code: 'TIMEOUT' });
  });

  it('does not wait for ever for an answer that other traffic hides', async () => {
    const { server, client, clock } = await filled();
    for (const name of ['history', 'ping']) server.answer(name, () => undefined);
    let isOver = false;
    void failureOf(client.command('history', { room: 'a', channel: 'b' })).then(() => {
      isOver = true;
    });
    let seconds = 0;
    while (!isOver && seconds < 1_000) {
      server.connection.bytesReceived += 20_000;
      seconds += 1;
      await clock.advance(1_000);
    }
    expect(seconds).toBeGreaterThan(100);
    expect(seconds).toBeLessThan(400);
  });

  it('rejects with what the server refuses', async () => {
    const { read } = await filled();
    expect(await failureOf(read({ pageSize: 501 }))).toMatchObject({ code: 'VALIDATION_ERROR' });
  });
});
