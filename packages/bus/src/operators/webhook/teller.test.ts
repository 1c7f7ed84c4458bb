import { expect, it } from 'vitest';
import type { Published } from '../../engine/engine.ts';
import type { Movement, MovementListener } from '../../subscribe/attendance.ts';
import type { RosterMember } from '../../subscribe/roster.ts';
import { FakeClock } from '../fake-clock.suite.ts';
import { Teller } from './teller.ts';

const MAX_STEPS = 10_000;

function joined(number: number): Movement {
  const sender = { type: 'human', role: 'user' } as const;
  const record = { client_id: `c${number}`, sender, state: null, joined_at: '2026-01-01T00:00:00.000Z' };
  const member: RosterMember = { record, channel: 'r:c', identity: `c${number}`, node: 'n', stateBytes: 0 };
  return { kind: 'joined', room: 'r', channel: 'c', member, isFirst: false };
}

it('keeps 10,000 things that wait for the storage, counts the rest, and goes on with them when it is back', async () => {
  const clock = new FakeClock();
  const published: string[] = [];
  const lost: number[] = [];
  let isAway = true;
  let listener: MovementListener = () => {};
  const teller = new Teller(
    { tenant: 't', room: 'r', channel: 'c', ruleId: 'whk_1', events: new Set(['client_joined']), since: 0 },
    {
      follow: async (_followed, follows) => {
        listener = follows;
        return { members: [], stop: () => {} };
      },
      broker: {
        publish: ({ draft }) => {
          if (!isAway) published.push(draft.id);
          return { stored: isAway ? 'none' : 'memory' } as Published;
        },
        drop: () => {},
      },
      facts: null,
      clock,
      graceMs: 0,
      onLost: (count) => lost.push(count),
      onFault: (error) => {
        throw error;
      },
    },
  );
  teller.start();
  await teller.begun;
  listener(Array.from({ length: MAX_STEPS + 5 }, (_, number) => joined(number)));
  await expect.poll(() => clock.pending).toEqual([1_000]);
  isAway = false;
  clock.advance(1_000);
  await expect.poll(() => lost).toEqual([5]);
  expect(published.length).toBe(MAX_STEPS);
  expect(new Set(published).size).toBe(MAX_STEPS);
  teller.stop();
  expect(clock.pending).toEqual([]);
});
