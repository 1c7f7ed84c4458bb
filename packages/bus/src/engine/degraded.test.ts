import { sealUnstored } from '@arqonbus/protocol';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type DegradedOptions, degraded } from './degraded.ts';
import { engineSuite } from './engine.suite.ts';
import type { Engine, KeyChange, StreamAddress } from './engine.ts';
import { createMemoryEngine } from './memory/memory.ts';
import { fakeTime } from './suite/fake-time.suite.ts';
import { publication, publishMany, Recorder, range, stream } from './suite/rig.suite.ts';
import { SharedBackend, SwitchedEngine } from './suite/switched.suite.ts';

const lab = stream('general');
const DAY_MS = 86_400_000;

engineSuite(
  'degraded',
  () => {
    const time = fakeTime();
    return {
      async open(events) {
        const engine = degraded(createMemoryEngine({ now: time.now }), { now: time.now });
        await engine.open(events);
        return engine;
      },
      elapse: time.elapse,
      cleanup: async () => time.stop(),
    };
  },
  { clusters: false, durable: false, fakeClock: true },
);

/** Records gaps of rooms too, and in which order all was told. */
class Listener extends Recorder {
  readonly told: string[] = [];

  override gap(tenant?: string, room?: string): void {
    this.told.push(`missed ${tenant}/${room}`);
    this.touch();
  }

  override historyGap(to: StreamAddress): void {
    this.told.push(`gap ${to.room}:${to.channel}`);
    super.historyGap(to);
  }

  override health(state: { healthy: boolean; reason: string }): void {
    this.told.push(state.healthy ? 'back' : 'away');
    super.health(state);
  }
}

interface Node {
  readonly line: SwitchedEngine;
  readonly engine: Engine;
  readonly seen: Listener;
}

afterEach(() => void vi.useRealTimers());

let shared: SharedBackend;
let now: number;

beforeEach(async () => {
  shared = await new SharedBackend().open();
  now = 1_000;
});

async function open(options: { away?: boolean; alone?: boolean } & DegradedOptions = {}): Promise<Node> {
  const line = new SwitchedEngine(shared, options);
  const engine = degraded(line, { now: () => now, ...options });
  const seen = new Listener();
  await engine.open(seen);
  return { line, engine, seen };
}

it('remembers while the backend is away for as long as a publication said that its id counts', async () => {
  const { line, engine, seen } = await open();
  const send = async (id: string, dedupeMs?: number) => {
    const options = dedupeMs === undefined ? {} : { dedupeMs };
    const { stored, duplicate } = await engine.broker.publish(publication(lab, { id, ...options }));
    return `${stored} ${duplicate}`;
  };
  expect([await send('arq_long', 3_600_000), await send('arq_usual'), await send('arq_never', 0)]).toEqual([
    ...['memory false', 'memory false', 'memory false'],
  ]);
  now += 125_000;
  await line.leave();
  expect([await send('arq_long', 3_600_000), await send('arq_usual')]).toEqual(['memory true', 'none false']);
  expect([await send('arq_never', 0), await send('arq_never', 0)]).toEqual(['none false', 'none false']);
  expect([await send('arq_live', 3_600_000), await send('arq_live', 3_600_000)]).toEqual(['none false', 'none true']);
  now += 3_000_000;
  expect(await send('arq_live', 3_600_000)).toBe('none true');
  now += 700_000;
  expect(await send('arq_live', 3_600_000)).toBe('none false');
  expect(seen.events.filter(({ id }) => id === 'arq_live')).toHaveLength(2);
  await engine.close();
});

it('passes on what the engine warns of, at the opening and later', async () => {
  vi.useFakeTimers({ toFake: ['Date', 'setInterval', 'clearInterval'] });
  const engine = degraded(createMemoryEngine({ now: () => Date.now() - 60_000 }));
  const seen = new Recorder();
  await engine.open(seen);
  expect(engine.warnings).toEqual([expect.stringContaining('60 s ahead')]);
  expect(seen.warnings).toEqual([]);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(seen.warnings).toEqual(engine.warnings);
  await engine.close();
});

describe('an engine whose backend is away', () => {
  it('delivers at once what it cannot store, in the order sent, and goes on where it was', async () => {
    const { line, engine, seen } = await open();
    const [first] = await publishMany(engine, lab, 2);
    await line.leave();
    const sent = range(1, 3).map(() => publication(lab));
    const results = await Promise.all(sent.map((each) => engine.broker.publish(each)));
    const live = { sequence: 0, epoch: first?.epoch, stored: 'none', delivered: 3, duplicate: false };
    expect(results).toEqual([live, live, live]);
    expect(seen.events.slice(2)).toEqual(
      sent.map(({ draft: { id, from, open: text } }) => ({
        stream: lab,
        sequence: 0,
        id,
        from,
        text: sealUnstored(text),
      })),
    );
    line.comeBack();
    expect(seen.told).toEqual(['away', 'gap science:general', 'back']);
    expect((await publishMany(engine, lab, 1))[0]).toMatchObject({ sequence: 3, epoch: first?.epoch });
  });

  it('opens all the same, says so, and is taken up when it is there', async () => {
    const { line, engine, seen } = await open({ away: true });
    expect(engine.healthy()).toBe(false);
    expect(seen.healthStates).toEqual([{ healthy: false, reason: 'The backend is away.' }]);
    expect((await publishMany(engine, lab, 1))[0]).toMatchObject({ stored: 'none', epoch: '', delivered: 3 });
    line.comeBack();
    expect(engine.healthy()).toBe(true);
    expect((await publishMany(engine, lab, 1))[0]).toMatchObject({ sequence: 1, stored: 'memory' });
  });

  it('does not open when waiting is of no use', async () => {
    const line = new SwitchedEngine(shared);
    line.open = () => Promise.reject(new Error('The driver is missing.'));
    const seen = new Listener();
    await expect(degraded(line).open(seen)).rejects.toThrow('The driver is missing.');
    expect(seen.told).toEqual([]);
  });

  it('answers what can be known without it, and refuses the rest', async () => {
    const { line, engine, seen } = await open();
    const { broker, store, presence } = engine;
    await line.leave();
    expect(await broker.state(lab)).toEqual({ sequence: 0, epoch: '', oldest: 1 });
    expect(await presence?.find('default', 'sub:ada')).toEqual([]);
    expect(await presence?.list('default')).toEqual([]);
    const idle = { node: 'a', connections: 0, connectionsTotal: 0, messagesTotal: 0, messagesPerMinute: 0 };
    expect(await presence?.report(idle)).toEqual([]);
    const message = { kind: 'private', tenant: 'default', clients: [], text: '{}' } as const;
    await presence?.send(null, message);
    const at = { tenant: 'default', space: 'store', namespace: 'n' };
    for (const refused of [
      () => broker.history(lab, { limit: 1 }),
      () => broker.streams('default'),
      () => broker.drop(lab),
      () => store.get(at, 'k'),
      () => store.set(at, 'k', '1'),
      () => presence?.send('b', message),
    ]) {
      await expect((async () => refused())()).rejects.toMatchObject({ code: 'STORAGE_UNAVAILABLE' });
    }
    await broker.attach('default', 'late');
    await broker.attach('default', 'left');
    broker.detach('default', 'left');
    line.comeBack();
    await seen.until(() => seen.told.includes('missed default/late'));
    expect(seen.told).not.toContain('missed default/left');
  });

  it('passes on that a backend which is there has too much to do', async () => {
    const { line, engine, seen } = await open();
    line.isBusy = true;
    expect(() => engine.broker.publish(publication(lab))).toThrow('too busy');
    expect(seen.events).toEqual([]);
  });

  it('takes nothing any more once it is closed, not even live', async () => {
    const { engine, seen } = await open();
    await engine.close();
    await expect(engine.broker.publish(publication(lab))).rejects.toMatchObject({ code: 'STORAGE_UNAVAILABLE' });
    expect(seen.events).toEqual([]);
  });
});

describe('what is under way when the backend goes', () => {
  it('is delivered before what follows, even before what is sent on hearing of it', async () => {
    const { line, engine, seen } = await open();
    line.isHeld = true;
    const sent = range(1, 5).map(() => publication(lab));
    const results = sent.slice(0, 3).map((each) => engine.broker.publish(each));
    const health = seen.health.bind(seen);
    seen.health = (state) => {
      health(state);
      if (!state.healthy) results.push(engine.broker.publish(sent[3]!));
    };
    await line.leave();
    results.push(engine.broker.publish(sent[4]!));
    expect((await Promise.all(results)).map(({ stored }) => stored)).toEqual(range(1, 5).map(() => 'none'));
    expect(seen.events.map(({ id }) => id)).toEqual(sent.map(({ draft }) => draft.id));
  });

  it('is delivered once though it was stored, and is known by its sequence then', async () => {
    const { line, engine, seen } = await open();
    line.isHeld = true;
    const sent = publication(lab);
    const unsure = engine.broker.publish(sent);
    await line.leave(true);
    expect(await unsure).toMatchObject({ sequence: 0, stored: 'none', delivered: 3 });
    expect(await engine.broker.publish(sent)).toMatchObject({ sequence: 0, stored: 'none', duplicate: true });
    line.comeBack();
    expect(await engine.broker.publish(sent)).toMatchObject({ sequence: 1, stored: 'memory', duplicate: true });
    expect(seen.events.map(({ sequence }) => sequence)).toEqual([0]);
  });

  it('has its gap told at once when the backend is back before it is refused', async () => {
    const { line, engine, seen } = await open();
    line.isHeld = true;
    const unsure = engine.broker.publish(publication(lab));
    const left = line.leave();
    line.comeBack();
    await left;
    expect(await unsure).toMatchObject({ stored: 'none' });
    expect(seen.told).toEqual(['away', 'back', 'gap science:general']);
  });
});

describe('an id that is sent again', () => {
  const again = { duplicate: true, delivered: 0 };

  it('is known as stored while the backend is away, and after', async () => {
    const { line, engine, seen } = await open();
    const sent = publication(lab);
    const first = await engine.broker.publish(sent);
    await line.leave();
    expect(await engine.broker.publish(sent)).toEqual({ ...first, ...again });
    expect(await engine.broker.publish({ ...sent, identity: 'bob' })).toMatchObject({ duplicate: false });
    line.comeBack();
    expect(await engine.broker.publish(sent)).toEqual({ ...first, ...again });
    expect(seen.events).toHaveLength(2);
  });

  it('is known as stored by another node whose event came by', async () => {
    const [here, there] = [await open(), await open()];
    const sent = publication(lab);
    await there.engine.broker.publish(sent);
    await here.line.leave();
    expect(await here.engine.broker.publish(sent)).toMatchObject({ ...again, sequence: 1, stored: 'memory' });
    expect(here.seen.events).toHaveLength(1);
  });

  it('is not stored after it went live, for as long as ids are remembered', async () => {
    const { line, engine, seen } = await open();
    const sent = publication(lab);
    await line.leave();
    await engine.broker.publish(sent);
    line.comeBack();
    now += 120_000;
    expect(await engine.broker.publish(sent)).toMatchObject({ ...again, sequence: 0, stored: 'none' });
    now += 2_000;
    expect(await engine.broker.publish(sent)).toMatchObject({ duplicate: false, sequence: 1 });
    expect(seen.events.map(({ sequence }) => sequence)).toEqual([0, 1]);
  });

  it('is delivered once on each node when it went live on one and another stored it', async () => {
    const [here, there] = [await open(), await open()];
    const sent = publication(lab);
    await here.line.leave();
    await here.engine.broker.publish(sent);
    await there.engine.broker.publish(sent);
    await there.engine.broker.publish({ ...sent, identity: 'bob' });
    here.line.comeBack();
    expect(here.seen.events.map(({ sequence }) => sequence)).toEqual([0, 2]);
    expect(there.seen.events.map(({ sequence }) => sequence)).toEqual([1, 2]);
    expect(await here.engine.broker.publish(sent)).toMatchObject({ ...again, sequence: 1 });
  });

  it('of a stream that was dropped since is new', async () => {
    const { line, engine } = await open();
    const sent = publication(lab);
    await engine.broker.publish(sent);
    await engine.broker.drop(lab);
    await line.leave();
    expect(await engine.broker.publish(sent)).toMatchObject({ duplicate: false, stored: 'none' });
  });

  it('is claimed once over an outage, whenever it was claimed first', async () => {
    const { line, engine } = await open();
    const { broker } = engine;
    expect(await broker.claim('before', 60_000)).toBe(true);
    await line.leave();
    expect(await broker.claim('before', 60_000)).toBe(false);
    const race = await Promise.all(range(1, 5).map(() => broker.claim('meanwhile', 60_000)));
    expect(race.filter(Boolean)).toHaveLength(1);
    line.comeBack();
    expect(await broker.claim('meanwhile', 60_000)).toBe(false);
    now += 62_000;
    expect(await broker.claim('meanwhile', 60_000)).toBe(true);
  });

  it('is forgotten when too many came after it, the older half first', async () => {
    const { line, engine } = await open({ mostIds: 20 });
    const sent = range(1, 25).map(() => publication(lab));
    for (const each of sent) await engine.broker.publish(each);
    await line.leave();
    expect(await engine.broker.publish(sent[0]!)).toMatchObject({ duplicate: false });
    for (const each of sent.slice(-10)) expect(await engine.broker.publish(each)).toMatchObject({ duplicate: true });
  });

  it('is forgotten with its stream when there are too many', async () => {
    const { line, engine } = await open({ mostStreams: 3 });
    const sent = range(1, 4).map((n) => publication(stream(`channel-${n}`)));
    for (const each of sent) await engine.broker.publish(each);
    await line.leave();
    expect(await engine.broker.publish(sent[3]!)).toMatchObject({ duplicate: true });
    expect(await engine.broker.publish(sent[0]!)).toMatchObject({ duplicate: false });
  });
});

describe('a gap', () => {
  it('is told on every node, on one that was away itself when it is back', async () => {
    const [here, there, third] = [await open(), await open(), await open()];
    await here.line.leave();
    await third.line.leave();
    await publishMany(here.engine, lab, 2);
    await publishMany(here.engine, stream('*', 'other', 'acme'), 1);
    here.line.comeBack();
    await there.seen.until(() => there.seen.gaps.length === 2);
    third.line.comeBack();
    const gaps = [lab, stream('*', 'other', 'acme')];
    for (const { seen } of [here, there, third]) expect(seen.gaps).toEqual(gaps);
    await publishMany(here.engine, lab, 1);
    expect(here.seen.gaps).toEqual(gaps);
  });

  it('is told of every stream, however many they are, and stands noted for a day', async () => {
    const changes: KeyChange[] = [];
    shared.engine.store.watch('history_gap', (change) => changes.push(change));
    const [here, there] = [await open(), await open()];
    await here.line.leave();
    for (const n of range(1, 501)) await publishMany(here.engine, stream(`channel-${n}`), 1);
    here.line.comeBack();
    await there.seen.until(() => there.seen.gaps.length === 501);
    expect(new Set(there.seen.gaps.map(({ channel }) => channel)).size).toBe(501);
    expect(changes).toHaveLength(2);
    for (const { at, key } of changes) {
      const expiresAt = (await shared.engine.store.get(at, key))?.expiresAt ?? 0;
      expect(Math.abs(expiresAt - Date.now() - DAY_MS)).toBeLessThan(60_000);
    }
  });

  it('is told to the others when it can be noted at last', async () => {
    const [here, there] = [await open(), await open()];
    const { store } = here.line;
    const set = store.set.bind(store);
    store.set = async () => {
      store.set = set;
      throw new Error('The line broke again.');
    };
    await here.line.leave();
    await publishMany(here.engine, lab, 1);
    here.line.comeBack();
    await there.seen.until(() => there.seen.gaps.length === 1);
    for (const { seen } of [here, there]) expect(seen.gaps).toEqual([lab]);
  });

  it('is noted nowhere by an engine of one node, and not told of a stream that is gone', async () => {
    const changes: KeyChange[] = [];
    shared.engine.store.watch('history_gap', (change) => changes.push(change));
    const { line, engine, seen } = await open({ alone: true });
    await line.leave();
    await publishMany(engine, lab, 1);
    await publishMany(engine, stream('gone'), 1);
    line.broker.drop = () => {};
    await engine.broker.drop(stream('gone'));
    line.comeBack();
    expect(seen.gaps).toEqual([lab]);
    expect(changes).toEqual([]);
  });
});

it('refuses what expects the stream somewhere while that cannot be known, but knows a repeated id', async () => {
  const { line, engine, seen } = await open();
  const first = publication(lab, { id: 'arq_first' });
  await engine.broker.publish({ ...first, expect: { sequence: 0 } });
  await line.leave();
  const later = publication(lab);
  await expect((async () => engine.broker.publish({ ...later, expect: { sequence: 1 } }))()).rejects.toMatchObject({
    code: 'STORAGE_UNAVAILABLE',
  });
  expect(await engine.broker.publish({ ...first, expect: { sequence: 0 } })).toMatchObject({
    sequence: 1,
    duplicate: true,
  });
  expect(seen.of(lab)).toHaveLength(1);
  line.comeBack();
  expect(seen.gaps).toEqual([]);
  expect(await engine.broker.publish({ ...later, expect: { sequence: 1 } })).toMatchObject({ sequence: 2 });
});
