import { createServer } from 'node:http';
import { BusError, type JsonObject } from '@arqonbus/protocol';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { type Bus, createBus } from './bus.ts';
import type { PublishOptions } from './create-options.ts';
import { verification } from './given.ts';

afterEach(() => {
  vi.useRealTimers();
});

describe('who somebody is, as the program says', () => {
  const says = (answer: unknown) => verification(() => answer as object, Date.now);

  it('is a user of the default tenant where it says nothing else', async () => {
    const verified = await says({ subject: 'ada', grants: undefined, role: undefined });
    expect(verified).toMatchObject({ ok: true, principal: { role: 'user', tenant: 'default', grants: null } });
  });

  it.each([
    ['nothing', undefined],
    ['a text', 'ada'],
    ['a list', []],
    ['a subject that is a number', { subject: 7 }],
    ['an empty subject', { subject: '' }],
    ['the subject of the API key', { subject: 'http:api-key' }],
    ['an unknown role', { role: 'king' }],
    ['a tenant that no address could name', { tenant: 'a b' }],
    ['grants that are a number', { grants: 5 }],
    ['an action that there is not', { grants: { publsh: ['*:*'] } }],
    ['globs that are a text', { grants: { publish: '*:*' } }],
    ['an end that is a text', { expiresAt: 'tomorrow' }],
    ['an end that is no number', { expiresAt: Number.NaN }],
  ])('is nobody when it says %s', async (_, answer) => {
    await expect(says(answer)).rejects.toThrow('The hook that says who somebody is has to answer');
  });

  it('is refused when its time is over: nobody is let in to be cut off in the same second', async () => {
    expect(await says({ expiresAt: Date.now() - 1 })).toMatchObject({ ok: false, reason: 'token expired' });
    expect(await says({ expiresAt: Date.now() + 60_000 })).toMatchObject({ ok: true });
  });

  it('is given up when it has not said so within 10 s', async () => {
    vi.useFakeTimers();
    const asked = verification(() => new Promise(() => {}), Date.now);
    const refused = expect(asked).rejects.toThrow('has not answered within 10 s');
    await vi.advanceTimersByTimeAsync(10_000);
    await refused;
  });
});

describe('what the program publishes', () => {
  /** What the second hook answers. */
  let answer: unknown;
  const seen: unknown[] = [];
  let bus: Bus;
  beforeAll(async () => {
    bus = await createBus({ hooks: { publish: [() => undefined, () => answer as undefined] } });
    await bus.subscribe('a:b', ({ payload }) => seen.push(payload));
  });
  afterEach(() => {
    answer = undefined;
    seen.length = 0;
  });
  afterAll(() => bus.close());

  const circle: JsonObject = {};
  circle.a = circle;
  circle.b = circle;

  it.each<[string, unknown, unknown, unknown, string]>([
    ['an address that is a number', 5, {}, {}, 'address'],
    ['a date', 'a:b', new Date(0), {}, 'payload'],
    ['what becomes a number as JSON', 'a:b', { toJSON: () => 5 }, {}, 'payload'],
    ['a BigInt', 'a:b', { deep: [{ n: 10n }] }, {}, 'payload.deep.0.n'],
    ['a circle', 'a:b', circle, {}, 'payload'],
    ['an empty name', 'a:b', {}, { as: '' }, 'as'],
    ['a name that is a number', 'a:b', {}, { as: 5 }, 'as'],
    ['metadata that is a number', 'a:b', {}, { metadata: 5 }, 'metadata'],
    ['a malformed cause', 'a:b', {}, { metadata: { causal_parent_id: 'x' } }, 'metadata.causal_parent_id'],
    ['options that are null', 'a:b', {}, null, 'options'],
  ])('is refused where it is %s', async (_, address, payload, options, field) => {
    const publishing = bus.publish(address as string, payload as JsonObject, options as PublishOptions);
    const error = await publishing.catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(BusError);
    expect(error).toMatchObject({ code: 'VALIDATION_ERROR', details: { field } });
    expect(seen).toEqual([]);
  });

  it('is what an object makes of itself as JSON', async () => {
    await bus.publish('a:b', { toJSON: () => ({ n: 1 }) } as unknown as JsonObject);
    expect(seen).toEqual([{ n: 1 }]);
  });

  it.each([
    ['false', false],
    ['true', true],
    ['null', null],
    ['a text', 'no'],
    ['a payload that is null', { payload: null }],
    ['a payload that is a list', { payload: [] }],
    ['metadata that are a text', { metadata: 'x' }],
  ])('is not stored when a hook answers %s', async (_, said) => {
    answer = said;
    await expect(bus.publish('a:b', { n: 1 })).rejects.toThrow('hooks.publish[1] has to return nothing');
    expect(seen).toEqual([]);
  });

  it('is refused once the bus is closed, as are subscriptions and servers', async () => {
    const closed = await createBus();
    await closed.close();
    await expect(closed.publish('a:b', {})).rejects.toMatchObject({ code: 'STORAGE_UNAVAILABLE' });
    await expect(closed.subscribe('a:b', () => {})).rejects.toMatchObject({ code: 'STORAGE_UNAVAILABLE' });
    expect(() => closed.attach(createServer())).toThrow('This bus is closed');
  });
});
