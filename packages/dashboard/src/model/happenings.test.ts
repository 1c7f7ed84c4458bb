import { describe, expect, it } from 'vitest';
import { Happenings } from './happenings.ts';

function event(id: string, at: number, eventType = 'client_joined'): object {
  const timestamp = new Date(at).toISOString();
  return { event_id: id, eventType, timestamp, severity: 'info', node: 'node-a', payload: {} };
}

function open(accepts = (_: unknown) => true, most = 3) {
  const due: (() => void)[] = [];
  const happenings = new Happenings(accepts, most, (run) => due.push(run));
  return { happenings, due, ids: () => happenings.shown.value.map(({ event_id }) => event_id) };
}

describe('happenings', () => {
  it('are the newest, each once, whichever order they come in', () => {
    const { happenings, due, ids } = open();
    for (const at of [2, 1, 4, 3, 2]) happenings.take(event(`e${at}`, at * 1000));
    expect(due).toHaveLength(1);
    due.shift()?.();
    expect(ids()).toEqual(['e4', 'e3', 'e2']);
    happenings.take(event('e4', 4_000));
    expect(due).toHaveLength(0);
    happenings.take(event('e5', 5_000));
    due.shift()?.();
    expect(ids()).toEqual(['e5', 'e4', 'e3']);
  });

  it('are kept within their bound while nothing is drawn', () => {
    const { happenings, due, ids } = open(undefined, 10);
    for (let at = 1; at <= 10_000; at += 1) happenings.take(event(`e${at}`, at));
    due.shift()?.();
    expect(ids()).toHaveLength(10);
    expect(ids()[0]).toBe('e10000');
  });

  it('are kept within a number of characters', () => {
    const { happenings, due, ids } = open(undefined, 100);
    const large = { text: 'x'.repeat(1_000_000) };
    for (let at = 1; at <= 50; at += 1) happenings.take({ ...event(`e${at}`, at), payload: large });
    due.shift()?.();
    expect(ids()).toEqual(Array.from({ length: 8 }, (_, n) => `e${50 - n}`));
  });

  it('leave out what is not wanted, and what is none', () => {
    const { happenings, due, ids } = open((one) => (one as { eventType: string }).eventType === 'casil_decision');
    happenings.take(event('a', 1));
    happenings.take(event('b', 2, 'casil_decision'));
    for (const wrong of [null, 7, {}, { ...event('c', 3, 'casil_decision'), severity: 'fatal' }])
      happenings.take(wrong);
    due.shift()?.();
    expect(ids()).toEqual(['b']);
  });
});
