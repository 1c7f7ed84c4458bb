import { createServer } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Bus, createBus } from './bus.ts';
import type { CreateBusOptions } from './create-options.ts';
import { DEFAULT_OPTIONS } from './options.ts';

describe('createBus()', () => {
  it.each<[unknown, string]>([
    [5, 'createBus() takes an object of options'],
    [{ autenticate: () => ({}) }, '"autenticate" is not an option of createBus(); did you mean "authenticate"?'],
    [{ limits: { maxConnectins: 5 } }, 'did you mean "limits.maxConnections"?'],
    [{ limits: { maxConnections: -1 } }, '"limits.maxConnections" of createBus() has to be a number of at least 0.'],
    [{ limits: { maxConnections: '5' } }, '"limits.maxConnections"'],
    [{ limits: { compression: 1 } }, 'true or false'],
    [{ rules: { match: 'a:b' } }, '"rules" of createBus() has to be an array.'],
    [{ hooks: { publish: () => undefined } }, '"hooks.publish"'],
    [{ hooks: { publish: [5] } }, '"hooks.publish"'],
    [{ hooks: { publsh: [] } }, 'did you mean "hooks.publish"?'],
    [{ hooks: { joined: 5 } }, '"hooks.joined" of createBus() has to be a function.'],
    [{ hooks: { http: { connectUrl: 'auth.example' } } }, '"hooks.http.connectUrl"'],
    [{ operators: { store: true } }, 'or false'],
    [{ operators: { stroe: false } }, 'did you mean "operators.store"?'],
    [{ engine: {} }, 'what memory() or loadEngine() answers'],
    [{ authenticate: 'x' }, '"authenticate" of createBus() has to be a function.'],
  ])('refuses %j, and says what to change', async (options, sentence) => {
    await expect(createBus(options as CreateBusOptions)).rejects.toThrow(sentence);
  });

  it('takes every option that there is, and takes undefined for none', async () => {
    const limits = { ...DEFAULT_OPTIONS, maxConnections: undefined };
    const given = { limits, hooks: { joined: undefined }, onFault: () => {} };
    const bus = await createBus(given as unknown as CreateBusOptions);
    expect(bus.options.maxConnections).toBe(DEFAULT_OPTIONS.maxConnections);
    await bus.close();
  });
});

describe('what a bus is given later', () => {
  let bus: Bus;
  beforeAll(async () => {
    bus = await createBus();
  });
  afterAll(() => bus.close());

  it('attach() takes a server, not a framework, and no unknown option', () => {
    const app = Object.assign(() => {}, { on: () => {}, off: () => {}, emit: () => {}, listeners: () => [] });
    for (const one of [app, {}, undefined]) {
      expect(() => bus.attach(one as never, { path: '/bus' })).toThrow('attach() takes a server of node:http');
    }
    expect(() => bus.attach(createServer(), { pth: '/bus' } as never)).toThrow('did you mean "path"?');
  });

  it('subscribe() and on() take functions', async () => {
    await expect(bus.subscribe('a:b', undefined as never)).rejects.toThrow('takes a function as "handler"');
    await expect(bus.subscribe('a:b', () => {}, { tennant: 'x' } as never)).rejects.toThrow('did you mean "tenant"?');
    expect(() => bus.on('client_joined', undefined as never)).toThrow('takes a function as "listener"');
  });
});
