import { describe, expect, it } from 'vitest';
import type { Session } from './connection/session.ts';
import { FakeClock } from './operators/fake-clock.suite.ts';
import { Standings } from './standings.ts';

function rig(): { clock: FakeClock; standings: Standings; session: Session; lapsed: Session[] } {
  const clock = new FakeClock();
  const lapsed: Session[] = [];
  const session = { standing: {} } as Session;
  return { clock, lapsed, session, standings: new Standings((one) => lapsed.push(one), clock) };
}

describe('Standings', () => {
  it('keeps what is told until it is changed, and forgets what is null', () => {
    const { standings, session, clock } = rig();
    standings.change(session, { card: { skills: [{ id: 'a', name: 'A' }] }, state: 'busy', note: 'on it' });
    standings.change(session, { state: 'idle' });
    expect(session.standing).toEqual({ card: { skills: [{ id: 'a', name: 'A' }] }, state: 'idle', note: 'on it' });
    standings.change(session, { card: null, note: null });
    expect(session.standing).toEqual({ state: 'idle' });
    expect(clock.pending).toEqual([]);
  });

  it('lets a state lapse that is not told again in time, and tells so', () => {
    const { standings, session, clock, lapsed } = rig();
    standings.change(session, { state: 'busy', note: 'on it', ttlSeconds: 10 });
    clock.advance(9_000);
    standings.change(session, { ttlSeconds: 10 });
    clock.advance(9_999);
    expect(session.standing.state).toBe('busy');
    clock.advance(1);
    expect(session.standing).toEqual({ state: 'lapsed' });
    expect(lapsed).toEqual([session]);
    standings.change(session, { state: 'idle' });
    expect(session.standing).toEqual({ state: 'idle' });
  });

  it('ends with the connection', () => {
    const { standings, session, clock, lapsed } = rig();
    standings.change(session, { state: 'busy', ttlSeconds: 10 });
    standings.forget(session);
    expect(clock.pending).toEqual([]);
    clock.advance(20_000);
    expect(lapsed).toEqual([]);
  });

  it.each([
    [{ card: { text: 'x'.repeat(8_192) } }, '8192 bytes'],
    [{ state: 'lapsed' }, 'choose another word'],
    [{ ttlSeconds: 5 }, 'send one with it'],
    [{ state: null, ttlSeconds: 5 }, 'send one with it'],
  ])('refuses %j and keeps what it knew', (change, sentence) => {
    const { standings, session, clock } = rig();
    standings.change(session, { note: 'here' });
    expect(() => standings.change(session, change)).toThrow(sentence);
    expect(session.standing).toEqual({ note: 'here' });
    expect(clock.pending).toEqual([]);
  });
});
