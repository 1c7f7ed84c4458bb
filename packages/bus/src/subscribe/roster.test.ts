import type { PresenceMember } from '@arqonbus/protocol';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FakeClock } from '../operators/fake-clock.suite.ts';
import { MAX_LISTED, NOTICE_MS, Roster, type RosterMember, type RosterNotice } from './roster.ts';

const GRACE_MS = 5_000;

interface Given {
  readonly state?: unknown;
  readonly identity?: string;
  readonly node?: string;
  readonly channel?: string;
  readonly joined_at?: string;
  readonly stateBytes?: number;
}

function member(client_id: string, given: Given = {}): RosterMember {
  const { state = null, identity = client_id, node = 'a', channel = 'x', stateBytes = 0 } = given;
  const { joined_at = new Date().toISOString() } = given;
  const sender = { type: 'service' as const, role: 'user' as const };
  return { record: { client_id, sender, state, joined_at }, channel, identity, node, stateBytes };
}

function rig({ graceMs = GRACE_MS, ofRoom = false, quiet = 0 } = {}) {
  const clock = new FakeClock();
  const notices: RosterNotice[] = [];
  const send = (notice: RosterNotice): number => {
    notices.push(notice);
    return quiet;
  };
  const roster = new Roster({ timers: clock, graceMs, ofRoom, send });
  const last = (): RosterNotice => notices[notices.length - 1] as RosterNotice;
  return { clock, roster, notices, last };
}

const ids = (members: readonly PresenceMember[]): string[] => members.map(({ client_id }) => client_id);

/** A client that believes its answer and the notices after it. */
class Watcher {
  readonly members: Map<string, unknown> = new Map();
  version: number;
  count: number;

  constructor({ version, members, count }: ReturnType<Roster['snapshot']>) {
    this.version = version;
    this.count = count;
    for (const { client_id, state } of members) this.members.set(client_id, state);
  }

  take({ version, members, joined, updated, left, reset }: RosterNotice): void {
    if (reset === true) this.members.clear();
    else expect(version).toBe(this.version + 1);
    this.version = version;
    this.count = members;
    for (const one of joined) this.members.set(one.client_id, one.state);
    for (const one of updated) {
      if (one.previous_id !== undefined) this.members.delete(one.previous_id);
      this.members.set(one.client_id, one.state);
    }
    for (const one of left) this.members.delete(one.client_id);
  }
}

describe('a roster', () => {
  it('tells a change at once, and what follows within 50 ms together', () => {
    const { clock, roster, notices } = rig();
    const ada = member('ada');
    roster.join(ada);
    expect(notices).toEqual([{ version: 1, members: 1, joined: [ada.record], updated: [], left: [] }]);
    roster.join(member('bob'));
    roster.join(member('carol', { state: { is: 'typing' } }));
    clock.advance(NOTICE_MS - 1);
    expect(notices).toHaveLength(1);
    clock.advance(1);
    expect(notices).toHaveLength(2);
    expect(notices[1]).toMatchObject({ version: 2, members: 3 });
    expect(ids(notices[1]?.joined ?? [])).toEqual(['bob', 'carol']);
  });

  it('sends at most 20 notices a second, however many change', () => {
    const { clock, roster, notices } = rig();
    for (let n = 1; n < 1_000; n += 1) {
      roster.join(member('ada', { state: n }));
      clock.advance(1);
    }
    expect(notices).toHaveLength(20);
    clock.advance(NOTICE_MS);
    expect(notices[20]?.updated[0]?.state).toBe(999);
  });

  it('waits longer when its notices cost much', () => {
    const { clock, roster, notices } = rig({ quiet: 400 });
    for (let n = 0; n < 1_000; n += 1) {
      roster.join(member('ada', { state: n }));
      clock.advance(1);
    }
    expect(notices).toHaveLength(3);
  });

  it('tells whoever came and went between two notices in one, and whoever went and came as updated', () => {
    const { clock, roster, notices } = rig();
    roster.join(member('ada'));
    roster.join(member('bob'));
    roster.leave('x', 'bob', 'left', false);
    clock.advance(NOTICE_MS);
    expect(notices[1]).toMatchObject({ members: 1, joined: [{ client_id: 'bob' }], left: [{ client_id: 'bob' }] });
    roster.leave('x', 'ada', 'left', false);
    roster.join(member('ada', { state: 1 }));
    clock.advance(NOTICE_MS);
    expect(notices.map(({ version }) => version)).toEqual([1, 2, 3]);
    expect(notices[2]).toMatchObject({ joined: [], left: [], updated: [{ client_id: 'ada', state: 1 }] });
  });

  it('tells no crowd that came and went', () => {
    const { clock, roster, notices } = rig();
    roster.join(member('ada'));
    for (let n = 0; n < 2 * MAX_LISTED; n += 1) {
      roster.join(member(`m${n}`));
      roster.leave('x', `m${n}`, 'left', false);
    }
    clock.advance(NOTICE_MS);
    expect(notices[1]?.left.length).toBe(MAX_LISTED);
    expect(notices[1]?.members).toBe(1);
  });

  it('tells an update of somebody new as a join, and nothing where nothing changed', () => {
    const { clock, roster, notices } = rig();
    roster.join(member('ada'));
    const bob = member('bob', { state: 1 });
    roster.join(member('bob'));
    roster.join(bob);
    roster.join(bob);
    clock.advance(1_000);
    roster.join(bob);
    clock.advance(1_000);
    expect(notices).toHaveLength(2);
    expect(notices[1]).toMatchObject({ joined: [{ client_id: 'bob', state: 1 }], updated: [] });
  });

  it('waits for a broken line, and tells at once whoever says so', () => {
    const { clock, roster, notices, last } = rig();
    for (const id of ['ada', 'bob']) roster.load(member(id));
    roster.leave('x', 'ada', 'lost', true);
    clock.advance(GRACE_MS - 1);
    expect(notices).toEqual([]);
    expect(roster.count).toBe(2);
    clock.advance(1);
    expect(last()).toMatchObject({ version: 1, members: 1, left: [{ client_id: 'ada', cause: 'lost' }] });
    roster.leave('x', 'bob', 'left', false);
    clock.advance(NOTICE_MS);
    expect(last()).toMatchObject({ version: 2, members: 0, left: [{ client_id: 'bob', cause: 'left' }] });
    expect(clock.pending).toEqual([]);
  });

  it('tells as updated whoever is back in time, and never that it was gone', () => {
    const { clock, roster, notices, last } = rig();
    roster.load(member('ada-1', { identity: 'ada' }));
    roster.load(member('bob'));
    roster.leave('x', 'ada-1', 'lost', true);
    clock.advance(4_000);
    roster.join(member('ada-2', { identity: 'ada', state: 'back' }));
    expect(last()).toMatchObject({
      members: 2,
      joined: [],
      updated: [{ client_id: 'ada-2', previous_id: 'ada-1', state: 'back' }],
      left: [],
    });
    clock.advance(60_000);
    expect(notices).toHaveLength(1);
    roster.leave('x', 'ada-2', 'lost', true);
    clock.advance(GRACE_MS);
    expect(last().left).toMatchObject([{ client_id: 'ada-2', cause: 'lost' }]);
  });

  it('names the client that watchers know, when one comes back twice between two notices', () => {
    const { clock, roster, last } = rig();
    roster.load(member('ada-1', { identity: 'ada' }));
    roster.join(member('bob'));
    roster.leave('x', 'ada-1', 'lost', true);
    roster.join(member('ada-2', { identity: 'ada' }));
    roster.leave('x', 'ada-2', 'lost', true);
    roster.join(member('ada-3', { identity: 'ada' }));
    clock.advance(NOTICE_MS);
    expect(last().updated).toMatchObject([{ client_id: 'ada-3', previous_id: 'ada-1' }]);
    roster.leave('x', 'ada-3', 'lost', true);
    roster.join(member('ada-4', { identity: 'ada' }));
    roster.leave('x', 'ada-4', 'left', false);
    clock.advance(NOTICE_MS);
    expect(last()).toMatchObject({ updated: [], left: [{ client_id: 'ada-3', cause: 'left' }] });
  });

  it('does not take another client for the one that is gone', () => {
    const { clock, roster, last } = rig();
    roster.load(member('ada'));
    roster.leave('x', 'ada', 'lost', true);
    roster.join(member('eve'));
    expect(last().joined).toMatchObject([{ client_id: 'eve' }]);
    clock.advance(GRACE_MS);
    expect(last().left).toMatchObject([{ client_id: 'ada' }]);
  });

  it('tells all clients of a dead node, but for those that came back before it was found dead', () => {
    const { clock, roster, notices } = rig();
    const before = new Date(Date.now() - 10_000).toISOString();
    roster.load(member('ada-1', { identity: 'ada', node: 'b', joined_at: before }));
    roster.load(member('bob', { node: 'b' }));
    roster.load(member('carol'));
    roster.load(member('ada-2', { identity: 'ada' }));
    roster.loseNodes((node) => node === 'b');
    clock.advance(NOTICE_MS);
    expect(notices.flatMap(({ updated }) => updated)).toMatchObject([{ client_id: 'ada-2', previous_id: 'ada-1' }]);
    expect(notices.flatMap(({ left }) => left)).toMatchObject([{ client_id: 'bob', cause: 'node_lost' }]);
    expect(roster.count).toBe(2);
  });

  it('waits for the clients of a node that stopped, though the node is gone', () => {
    const { clock, roster, notices } = rig();
    roster.load(member('ada', { node: 'b' }));
    roster.leave('x', 'ada', 'lost', true);
    clock.advance(2_000);
    roster.loseNodes((node) => node === 'b');
    clock.advance(NOTICE_MS);
    expect(notices).toEqual([]);
    roster.join(member('ada-2', { identity: 'ada' }));
    expect(notices[0]?.updated).toMatchObject([{ client_id: 'ada-2', previous_id: 'ada' }]);
  });

  it('keeps other connections of a subject that were there all the time', () => {
    const { clock, roster, last } = rig();
    const long = new Date(Date.now() - 600_000).toISOString();
    const longer = new Date(Date.now() - 900_000).toISOString();
    roster.load(member('phone', { identity: 'ada', joined_at: longer }));
    roster.load(member('laptop', { identity: 'ada', joined_at: long }));
    roster.leave('x', 'phone', 'lost', true);
    clock.advance(GRACE_MS);
    expect(last()).toMatchObject({ updated: [], left: [{ client_id: 'phone', cause: 'lost' }], members: 1 });
  });

  it('comes to what is listed, whatever it was not told', () => {
    const { clock, roster, notices } = rig();
    for (const id of ['ada', 'bob']) roster.load(member(id, { node: 'b' }));
    roster.load(member('own'));
    roster.align([member('bob', { node: 'b', state: 1 }), member('carol', { node: 'b' })], (node) => node === 'a');
    clock.advance(GRACE_MS + NOTICE_MS);
    expect(notices.flatMap(({ joined }) => ids(joined))).toEqual(['carol']);
    expect(notices.flatMap(({ updated }) => ids(updated))).toEqual(['bob']);
    expect(notices.flatMap(({ left }) => ids(left))).toEqual(['ada']);
    expect(roster.count).toBe(3);
  });

  it('names the channel in a room, and counts a client once there', () => {
    const { clock, roster, last } = rig({ ofRoom: true });
    roster.load(member('ada', { channel: 'x' }));
    roster.join(member('ada', { channel: 'y' }));
    roster.join(member('bob', { channel: 'y' }));
    clock.advance(NOTICE_MS);
    expect(roster.count).toBe(2);
    expect(roster.snapshot().members.map(({ client_id, channel }) => `${client_id} ${channel}`)).toEqual([
      'ada x',
      'ada y',
      'bob y',
    ]);
    roster.leave('y', 'ada', 'left', false);
    clock.advance(NOTICE_MS);
    expect(last()).toMatchObject({ members: 2, left: [{ client_id: 'ada', channel: 'y' }] });
  });

  it('tells large sets as numbers, and as a whole when they are small again', () => {
    const { clock, roster, last } = rig();
    for (let n = 0; n < MAX_LISTED; n += 1) roster.load(member(`m${n}`));
    expect(roster.snapshot()).toMatchObject({ version: 0, count: MAX_LISTED });
    expect(roster.snapshot()).not.toHaveProperty('counts_only');
    roster.join(member('one-more'));
    expect(last()).toEqual({
      version: 1,
      members: MAX_LISTED + 1,
      joined: [],
      updated: [],
      left: [],
      counts_only: true,
    });
    expect(roster.snapshot().members).toHaveLength(MAX_LISTED);
    expect(roster.snapshot().counts_only).toBe(true);
    for (let n = 0; n < 101; n += 1) roster.leave('x', `m${n}`, 'left', false);
    clock.advance(NOTICE_MS);
    expect(last()).toMatchObject({ members: 400, reset: true, updated: [], left: [] });
    expect(last().joined).toHaveLength(400);
    expect(last()).not.toHaveProperty('counts_only');
  });

  it('tells sets with large states as numbers too', () => {
    const { roster } = rig();
    for (let n = 0; n < 300; n += 1) roster.load(member(`m${n}`, { stateBytes: 4_096 }));
    const { members, count, counts_only } = roster.snapshot();
    expect(counts_only).toBe(true);
    expect(count).toBe(300);
    expect(members.length).toBeLessThan(MAX_LISTED / 2);
  });

  it('P5.22 keeps whoever watches right, whatever happens in whatever order', () => {
    const person = fc.constantFrom('ada', 'bob', 'carol');
    const step = fc.oneof(
      fc.record({ do: fc.constant('join' as const), who: person, state: fc.nat(3) }),
      fc.record({ do: fc.constant('lose' as const), who: person }),
      fc.record({ do: fc.constant('leave' as const), who: person }),
      fc.record({ do: fc.constant('lose node' as const) }),
      fc.record({ do: fc.constant('wait' as const), ms: fc.constantFrom(1, 20, 60, 3_000, 6_000) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const { clock, roster, notices } = rig();
        const watcher = new Watcher(roster.snapshot());
        const connections = new Map<string, string>();
        let count = 0;
        for (const one of steps) {
          if (one.do === 'wait') clock.advance(one.ms);
          else if (one.do === 'lose node') {
            roster.loseNodes((node) => node === 'a');
            clock.advance(GRACE_MS);
            connections.clear();
          } else if (one.do === 'join') {
            const known = connections.get(one.who);
            const id = known ?? `${one.who}-${++count}`;
            connections.set(one.who, id);
            roster.join(member(id, { identity: one.who, state: one.state }));
          } else {
            const id = connections.get(one.who);
            connections.delete(one.who);
            if (id !== undefined) roster.leave('x', id, one.do === 'lose' ? 'lost' : 'left', one.do === 'lose');
          }
        }
        clock.advance(GRACE_MS);
        clock.advance(NOTICE_MS);
        for (const notice of notices) watcher.take(notice);
        expect([...watcher.members.keys()].sort()).toEqual([...connections.values()].sort());
        const states = roster.snapshot().members.map(({ client_id, state }) => [client_id, state] as const);
        expect(watcher.members).toEqual(new Map(states));
        expect(watcher.count).toBe(connections.size);
        expect(clock.pending).toEqual([]);
      }),
    );
  });
});
