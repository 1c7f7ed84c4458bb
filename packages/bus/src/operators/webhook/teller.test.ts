import { describe, expect, it } from 'vitest';
import type { Published } from '../../engine/engine.ts';
import { MemoryStore } from '../../engine/memory/store.ts';
import type { Movement, MovementListener } from '../../subscribe/attendance.ts';
import type { RosterMember } from '../../subscribe/roster.ts';
import { FakeClock } from '../fake-clock.suite.ts';
import { Facts } from './facts.ts';
import { Teller } from './teller.ts';

const MAX_STEPS = 10_000;

function joined(number: number): Movement {
  const sender = { type: 'human', role: 'user' } as const;
  const record = { client_id: `c${number}`, sender, state: null, joined_at: '2026-01-01T00:00:00.000Z' };
  const member: RosterMember = { record, channel: 'r:c', identity: `c${number}`, node: 'n', stateBytes: 0 };
  return { kind: 'joined', room: 'r', channel: 'c', member, isFirst: false };
}

/** A teller of joins whose members are those of `present`, and what it did. */
function open(facts: Facts | null, present: () => RosterMember[]) {
  const rig = {
    clock: new FakeClock(),
    published: [] as string[],
    lost: [] as number[],
    isAway: true,
    follower: (() => {}) as MovementListener,
  };
  const teller = new Teller(
    { tenant: 't', room: 'r', channel: 'c', ruleId: 'whk_1', events: new Set(['client_joined']), since: 0 },
    {
      follow: async (_followed, follower) => {
        rig.follower = follower;
        return { members: present(), stop: () => {} };
      },
      broker: {
        publish: ({ draft }) => {
          if (!rig.isAway) rig.published.push(draft.id);
          return { stored: rig.isAway ? 'none' : 'memory' } as Published;
        },
        drop: () => {},
      },
      facts,
      clock: rig.clock,
      graceMs: 0,
      onLost: (count) => rig.lost.push(count),
      onFault: (error) => {
        throw error;
      },
    },
  );
  return { teller, rig };
}

const MANY = Array.from({ length: MAX_STEPS + 5 }, (_, number) => joined(number));

describe('while the storage is away', () => {
  it('10,000 things wait, the rest is counted, and those are told when it is back', async () => {
    const { teller, rig } = open(null, () => []);
    teller.start();
    await teller.begun;
    rig.follower(MANY);
    await expect.poll(() => rig.clock.pending).toEqual([1_000]);
    rig.isAway = false;
    rig.clock.advance(1_000);
    await expect.poll(() => rig.lost).toEqual([5]);
    expect(rig.published.length).toBe(MAX_STEPS);
    expect(new Set(rig.published).size).toBe(MAX_STEPS);
    teller.stop();
    expect(rig.clock.pending).toEqual([]);
  });

  it('a rule that keeps what it has told finds the rest out afterwards', async () => {
    let present: RosterMember[] = [];
    const store = new MemoryStore(() => 0);
    const { teller, rig } = open(new Facts(store, 't', 'whk_1'), () => present);
    teller.start();
    await teller.begun;
    present = MANY.map((movement) => (movement as Extract<Movement, { kind: 'joined' }>).member);
    rig.follower(MANY);
    await expect.poll(() => rig.clock.pending).toEqual([1_000]);
    rig.isAway = false;
    rig.clock.advance(1_000);
    await expect.poll(() => rig.published.length).toBe(MAX_STEPS + 5);
    expect(new Set(rig.published).size).toBe(MAX_STEPS + 5);
    teller.stop();
  });
});
