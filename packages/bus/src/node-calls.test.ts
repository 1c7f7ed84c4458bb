import { BusError } from '@arqonbus/protocol';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { NodeMessage, Presence } from './engine/engine.ts';
import { NodeCalls } from './node-calls.ts';

afterEach(() => {
  vi.useRealTimers();
});

/** Two nodes; what they send arrives in a later turn, unless the line is cut. */
function pair(): { a: NodeCalls; b: NodeCalls; cut: () => void; faults: unknown[] } {
  const faults: unknown[] = [];
  const nodes = new Map<string, NodeCalls>();
  let isCut = false;
  const send = async (node: string | null, message: NodeMessage): Promise<void> => {
    if (isCut) throw new BusError('STORAGE_UNAVAILABLE', 'away');
    setImmediate(() => nodes.get(node ?? '')?.receive(message));
  };
  const presence = { send } as unknown as Presence;
  const open = (node: string): NodeCalls => {
    const calls = new NodeCalls(presence, { node, onFault: (error) => faults.push(error) });
    nodes.set(node, calls);
    return calls;
  };
  const cut = (): void => {
    isCut = true;
  };
  return { a: open('a'), b: open('b'), cut, faults };
}

describe('calls between nodes', () => {
  it('are answered by the node that was asked, with who asks', async () => {
    const { a, b } = pair();
    b.serve('add', ([one, other]: [number, number], from) => `${one + other} for ${from}`);
    expect(await a.ask('b', 'add', [1, 2], 1_000)).toBe('3 for a');
  });

  it('reject with what was refused, details and all', async () => {
    const { a, b } = pair();
    b.serve('refuse', () => {
      throw new BusError('CONFLICT', 'It is another one.', { field: 'x' });
    });
    await expect(a.ask('b', 'refuse', null, 1_000)).rejects.toMatchObject({
      code: 'CONFLICT',
      details: { field: 'x' },
    });
    await expect(a.ask('b', 'unknown', null, 1_000)).rejects.toMatchObject({ code: 'COMMAND_NOT_FOUND' });
  });

  it('tell nothing of a fault but that there was one', async () => {
    const { a, b, faults } = pair();
    b.serve('fail', async () => {
      throw new Error('the secret of node b');
    });
    await expect(a.ask('b', 'fail', null, 1_000)).rejects.toMatchObject({
      code: 'INTERNAL_ERROR',
      message: expect.not.stringContaining('secret'),
    });
    expect(faults).toMatchObject([{ message: 'the secret of node b' }]);
  });

  it('end as retryable when nobody answers in time, nobody can be reached, or the node stops', async () => {
    const { a, b, cut } = pair();
    b.serve('never', () => new Promise(() => {}));
    vi.useFakeTimers({ toFake: ['setTimeout'] });
    const late = a.ask('b', 'never', null, 5_000);
    const stopped = a.ask('b', 'never', null, 60_000);
    const endings = Promise.allSettled([late, stopped]);
    vi.advanceTimersByTime(5_000);
    a.stop();
    cut();
    const unreachable = a.ask('b', 'never', null, 5_000);
    for (const { reason } of (await endings) as PromiseRejectedResult[]) {
      expect(reason).toMatchObject({ code: 'STORAGE_UNAVAILABLE', retryable: true });
    }
    await expect(unreachable).rejects.toMatchObject({ code: 'STORAGE_UNAVAILABLE' });
  });

  it('are at most 10,000 at a time', async () => {
    const { a, b } = pair();
    b.serve('never', () => new Promise(() => {}));
    const asked = Array.from({ length: 10_000 }, () => a.ask('b', 'never', null, 60_000));
    const all = Promise.allSettled(asked);
    await expect(a.ask('b', 'never', null, 60_000)).rejects.toMatchObject({ code: 'STORAGE_UNAVAILABLE' });
    a.stop();
    await all;
  });

  it('are nothing where there is no other node', async () => {
    const alone = new NodeCalls(null, { node: 'a', onFault: () => {} });
    await expect(alone.ask('b', 'x', null, 1_000)).rejects.toMatchObject({ code: 'STORAGE_UNAVAILABLE' });
  });
});
