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
    return { server, client, read };
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

  it('rejects with what the server refuses', async () => {
    const { read } = await filled();
    expect(await failureOf(read({ pageSize: 501 }))).toMatchObject({ code: 'VALIDATION_ERROR' });
  });
});
