import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Numbered, setUp } from './connected.suite.ts';
import type { Message } from './message.ts';

describe('however often the line breaks', () => {
  it('never loses, repeats or reorders what others said, whatever breaks', { timeout: 60_000 }, async () => {
    const step = fc.oneof(
      {
        weight: 6,
        arbitrary: fc.record({ kind: fc.constant('other' as const), channel: fc.constantFrom('a', 'b', '*') }),
      },
      {
        weight: 3,
        arbitrary: fc.record({
          kind: fc.constantFrom('own' as const, 'acked' as const),
          channel: fc.constantFrom('a', 'b', '*'),
        }),
      },
      {
        weight: 2,
        arbitrary: fc.record({
          kind: fc.constantFrom('kill' as const, 'dropAcks' as const),
          channel: fc.constant('a'),
        }),
      },
      {
        weight: 2,
        arbitrary: fc.record({ kind: fc.constantFrom('wait' as const, 'settle' as const), channel: fc.constant('a') }),
      },
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
        const { server, client, clock } = await setUp();
        const seen: Record<string, number[]> = { a: [], b: [], room: [] };
        const expected: Record<string, number[]> = { a: [], b: [], '*': [] };
        const collect =
          (into: string) =>
          (message: Message<Numbered>): void =>
            void seen[into]?.push(message.payload.n);
        const resets: unknown[] = [];
        const onReset = (reset: unknown): void => void resets.push(reset);
        await client.subscribe<Numbered>('r:a', { onMessage: collect('a'), onReset });
        await client.subscribe<Numbered>('r:b', { onMessage: collect('b'), onReset });
        await client.subscribe<Numbered>('r', { onMessage: collect('room'), onReset });
        const acks: Promise<{ sequence: number }>[] = [];
        let n = 0;
        for (const { kind, channel } of steps) {
          n += 1;
          if (kind === 'other') {
            server.publish(`r:${channel}`, { n });
            expected[channel]?.push(n);
          } else if (kind === 'own') void client.publish(`r:${channel}`, { n: -n });
          else if (kind === 'acked') acks.push(client.publish(`r:${channel}`, { n: -n }, { ack: true }));
          else if (kind === 'kill') server.kill();
          else if (kind === 'dropAcks') server.dropAcks = !server.dropAcks;
          else if (kind === 'wait') await clock.advance(200);
          else await clock.settle();
        }
        server.dropAcks = false;
        // Acks that were dropped on a line that stayed come with the repetition on the next one.
        server.kill();
        await clock.advance(60_000);
        await Promise.all(acks);
        const hears: Record<string, string[]> = { a: ['a', '*'], b: ['b', '*'], room: ['a', 'b', '*'] };
        for (const [subscription, channels] of Object.entries(hears)) {
          const heard = seen[subscription] ?? [];
          for (const channel of channels) {
            expect(heard.filter((m) => expected[channel]?.includes(m))).toEqual(expected[channel]);
          }
          expect(heard).toHaveLength(channels.flatMap((channel) => expected[channel] ?? []).length);
        }
        expect(resets).toEqual([]);
        const kept = ['a', 'b', '*'].flatMap((channel) => server.stream(`r:${channel}`).kept);
        expect(new Set(kept.map(({ id }) => id)).size).toBe(kept.length);
        await client.close();
        expect(clock.pending).toBe(0);
      }),
      { numRuns: 150 },
    );
  });
});
