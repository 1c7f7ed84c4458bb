import { beforeEach, describe, expect, it } from 'vitest';
import { FakeClock } from '../operators/fake-clock.suite.ts';
import { Attendance, addressOf, type Movement } from './attendance.ts';
import type { RosterMember } from './roster.ts';

const GRACE_MS = 5_000;
/** Longer than what happens is gathered for one notice. */
const NOTICE_MS = 100;
const PLACE = { tenant: 't', room: 'r', channel: 'c' };

let clock: FakeClock;
let elsewhere: RosterMember[];
let attendance: Attendance;
let told: string[];

function member(client_id: string, { identity = client_id, node = 'here', channel = 'c' } = {}): RosterMember {
  const sender = { type: 'human', role: 'user' } as const;
  const record = { client_id, sender, state: null, joined_at: new Date().toISOString() };
  return { record, channel, identity, node, stateBytes: 0 };
}

const join = (one: RosterMember, room = 'r') => attendance.joined('t', room, one);
const leave = (one: RosterMember, cause: 'left' | 'lost' = 'left', room = 'r') =>
  attendance.left('t', room, one, cause);

function note(movements: readonly Movement[]): void {
  for (const one of movements) {
    const at = addressOf(one.room, one.channel);
    if (one.kind === 'joined') told.push(`joined ${at} ${one.member.record.client_id}${one.isFirst ? ' first' : ''}`);
    else if (one.kind === 'renamed') told.push(`renamed ${at} ${one.previous} ${one.member.record.client_id}`);
    else told.push(`left ${at} ${one.departure.client_id} ${one.departure.cause}${one.isLast ? ' last' : ''}`);
  }
}

beforeEach(() => {
  clock = new FakeClock();
  elsewhere = [];
  told = [];
  const there = async () => elsewhere.map((one) => ({ ...one, channel: addressOf('r', one.channel) }));
  attendance = new Attendance({ timers: clock, graceMs: GRACE_MS, here: () => [], elsewhere: there });
});

describe('attendance', () => {
  it('tells of each channel of a room when it is occupied and vacated', async () => {
    await attendance.follow({ ...PLACE, channel: null }, note);
    const [a, b, other] = [member('a'), member('b'), member('a', { channel: 'd' })];
    join(a);
    clock.advance(NOTICE_MS);
    join(b);
    join(other);
    join(member('z'), 'elsewhere');
    join(member('m'), '@');
    leave(a);
    clock.advance(NOTICE_MS);
    leave(b);
    clock.advance(NOTICE_MS);
    expect(told).toEqual([
      'joined r:c a first',
      'joined r:c b',
      'joined r:d a first',
      'left r:c a left',
      'left r:c b left last',
    ]);
  });

  it('counts who is on other nodes, and who is back before a node was found dead, once', async () => {
    const old = member('old', { identity: 'ada', node: 'gone' });
    elsewhere = [old];
    const { members } = await attendance.follow(PLACE, note);
    expect(members.map(({ record, channel }) => `${channel} ${record.client_id}`)).toEqual(['r:c old']);
    const back = member('new', { identity: 'ada' });
    join(back);
    clock.advance(NOTICE_MS);
    attendance.loseNodes((node) => node === 'gone');
    clock.advance(NOTICE_MS);
    leave(back);
    clock.advance(NOTICE_MS);
    expect(told).toEqual(['joined r:c new', 'left r:c old lost', 'left r:c new left last']);
  });

  it('says so when both leave in one notice', async () => {
    elsewhere = [member('old', { identity: 'ada', node: 'gone' })];
    await attendance.follow(PLACE, note);
    const back = member('new', { identity: 'ada' });
    join(back);
    clock.advance(NOTICE_MS);
    join(member('x'));
    clock.advance(1);
    attendance.loseNodes((node) => node === 'gone');
    leave(back);
    clock.advance(NOTICE_MS);
    expect(told).toEqual(['joined r:c new', 'joined r:c x', 'left r:c old left', 'left r:c new left']);
  });

  it('waits for a broken line, and tells a return as that', async () => {
    await attendance.follow(PLACE, note);
    const first = member('1', { identity: 'ada' });
    join(first);
    clock.advance(NOTICE_MS);
    leave(first, 'lost');
    clock.advance(GRACE_MS - 1);
    const second = member('2', { identity: 'ada' });
    join(second);
    clock.advance(NOTICE_MS);
    leave(second, 'lost');
    clock.advance(GRACE_MS);
    expect(told).toEqual(['joined r:c 1 first', 'renamed r:c 1 2', 'left r:c 2 lost last']);
  });

  it('shares a set, which each follower sees from its own moment, and ends with the last of them', async () => {
    const one = await attendance.follow(PLACE, () => {});
    join(member('a'));
    join(member('b'));
    const { members, stop } = await attendance.follow(PLACE, note);
    expect(members.length).toBe(2);
    join(member('c'));
    clock.advance(NOTICE_MS);
    expect(told).toEqual(['joined r:c c']);
    one.stop();
    expect(attendance.isIdle).toBe(false);
    stop();
    expect(attendance.isIdle).toBe(true);
    expect(clock.pending).toEqual([]);
  });

  it('refuses to follow what cannot be read, and tries anew the next time', async () => {
    const parts = { timers: clock, graceMs: GRACE_MS, here: () => [] };
    let isAway = true;
    attendance = new Attendance({
      ...parts,
      elsewhere: async () => {
        if (isAway) throw new Error('away');
        return [];
      },
    });
    await expect(attendance.follow(PLACE, note)).rejects.toThrow('away');
    expect(attendance.isIdle).toBe(true);
    isAway = false;
    expect((await attendance.follow(PLACE, note)).members).toEqual([]);
  });
});
