import { BusError, newId, openDraft } from '@arqonbus/protocol';
import { afterEach, describe, expect, it } from 'vitest';
import type { Backend, Broker, Engine } from './engine.ts';
import { createMemoryEngine } from './memory/memory.ts';
import { timeEngine } from './timed.ts';

const STREAM = { tenant: 't', room: 'r', channel: 'c' };
const AT = { tenant: 't', space: 's', namespace: 'n' };
const open: Engine[] = [];

/** The memory engine under another name, so that it is one that is timed. */
function engineOf(backend: Backend, broker?: Partial<Broker>): Engine {
  const memory = createMemoryEngine();
  open.push(memory);
  return {
    backend,
    broker: broker === undefined ? memory.broker : ({ ...broker } as Broker),
    store: memory.store,
    presence: null,
    open: (events) => memory.open(events),
    healthy: () => memory.healthy(),
    stats: () => memory.stats(),
    close: () => memory.close(),
  };
}

afterEach(async () => {
  for (const engine of open.splice(0)) await engine.close();
});

describe('a timed engine', () => {
  it('answers as the engine does and tells how long each operation took', async () => {
    const seen: string[] = [];
    const engine = timeEngine(engineOf('redis'), (operation, seconds) => {
      expect(seconds).toBeGreaterThanOrEqual(0);
      expect(seconds).toBeLessThan(10);
      seen.push(operation);
    });
    await engine.open({
      deliver: () => 0,
      receive: () => {},
      health: () => {},
      historyGap: () => {},
      gap: () => {},
      trimmed: () => {},
    });
    const draft = openDraft({ id: newId(), type: 'event', room: 'r', channel: 'c', from: 'x', payload: {} });
    const published = engine.broker.publish({
      stream: STREAM,
      draft,
      identity: 'x',
      retention: { size: 9, ttlMs: 9e9 },
    });
    expect(published).toMatchObject({ sequence: 1, duplicate: false });
    expect(engine.broker.history(STREAM, { limit: 1 })).toHaveLength(1);
    expect(engine.broker.state(STREAM)).toMatchObject({ sequence: 1 });
    expect(engine.broker.streams('t')).toEqual([STREAM]);
    expect(engine.broker.usage([STREAM])).toMatchObject([{ sequence: 1, events: 1 }]);
    expect(engine.broker.claim('key', 1_000)).toBe(true);
    engine.broker.attach('t', 'r');
    engine.broker.detach('t', 'r');
    engine.broker.retain(STREAM, { size: 1, ttlMs: 1 });
    engine.broker.drop(STREAM);
    expect(engine.store.set(AT, 'k', '1')).toMatchObject({ ok: true, version: 1 });
    expect(engine.store.get(AT, 'k')).toMatchObject({ value: '1' });
    expect(engine.store.list(AT, { limit: 9 })).toHaveLength(1);
    expect(engine.store.tenants('s')).toEqual(['t']);
    expect(engine.store.delete(AT, 'k')).toEqual({ ok: true, deleted: true });
    engine.store.watch('s', () => {})();
    expect([engine.backend, engine.healthy(), engine.stats()]).toMatchObject(['redis', true, { errors: 0 }]);
    expect(seen).toEqual(
      'publish history state streams usage claim attach retain drop set get list tenants delete'.split(' '),
    );
  });

  it('times what is waited for until it is there, failures too', async () => {
    const seen: [string, number][] = [];
    let answer: (sequence: unknown) => void = () => {};
    const broker: Partial<Broker> = {
      state: () => new Promise((resolve) => (answer = resolve as typeof answer)),
      drop: () => Promise.reject(new BusError('STORAGE_UNAVAILABLE', 'away')),
      claim: () => {
        throw new BusError('STORAGE_UNAVAILABLE', 'away');
      },
    };
    const engine = timeEngine(engineOf('redis', broker), (operation, seconds) => seen.push([operation, seconds]));
    const state = engine.broker.state(STREAM);
    expect(seen).toEqual([]);
    answer({ sequence: 7 });
    expect(await state).toEqual({ sequence: 7 });
    await expect(engine.broker.drop(STREAM)).rejects.toThrow('away');
    expect(() => engine.broker.claim('x', 1)).toThrow('away');
    expect(seen.map(([operation]) => operation)).toEqual(['state', 'drop', 'claim']);
  });

  it('leaves the memory engine as it is', () => {
    const memory = engineOf('memory');
    expect(timeEngine(memory, () => {})).toBe(memory);
  });
});
