import { describe, expect, it } from 'vitest';
import { Addresses } from './addresses.ts';
import { ArqonBusClient } from './client.ts';
import type { SocketEnd } from './socket.ts';
import { FakeClock } from './testing/fake-clock.ts';
import { FakeServer } from './testing/fake-server.ts';

const URLS = ['ws://one.invalid/', 'ws://two.invalid/', 'ws://three.invalid/'];

/** A client of three addresses, and which of them it dials. */
function setUp() {
  const server = new FakeServer();
  const dialled: string[] = [];
  const refusals: Record<string, Partial<SocketEnd>> = {};
  const client = new ArqonBusClient({
    ...server.options,
    url: URLS,
    reconnect: { baseMs: 100 },
    socket: (request, events) => {
      const host = new URL(request.url).hostname.replace('.invalid', '');
      dialled.push(host);
      server.refusal = refusals[host];
      return server.openSocket(request, events);
    },
  });
  return { server, client, clock: server.clock, dialled, refusals };
}

describe('a connection that was open', () => {
  it.each([
    [0, 'two'],
    [0.49, 'two'],
    [0.51, 'three'],
    [0.99, 'three'],
  ])('moves on to any of the other addresses: by a chance of %d to %s', async (chance, host) => {
    const { server, client, clock, dialled } = setUp();
    clock.chance = chance;
    await client.connect();
    server.shutDown(100);
    await clock.advance(200);
    expect(client.state).toBe('open');
    expect(dialled).toEqual(['one', host]);
    await client.close();
  });
});

describe('Retry-After', () => {
  it('holds for the address that answered with it, and holds up no other', async () => {
    const { server, client, clock, dialled, refusals } = setUp();
    clock.chance = 0;
    await client.connect();
    refusals.two = { status: 503, retryAfterMs: 9_000 };
    server.kill();
    await clock.advance(0);
    expect(client.state).toBe('open');
    expect(dialled).toEqual(['one', 'two', 'three']);
    // Nor is it forgotten: two is left alone, though its turn has come.
    refusals.three = {};
    refusals.one = {};
    clock.chance = 0.5;
    server.kill();
    await clock.advance(8_000);
    expect(dialled.filter((host) => host === 'two')).toHaveLength(1);
    delete refusals.two;
    await clock.advance(100_000);
    expect(client.state).toBe('open');
    expect(dialled.at(-1)).toBe('two');
    await client.close();
  });

  it('of all of them is waited for until the first may be dialled', async () => {
    const { server, client, clock, dialled, refusals } = setUp();
    clock.chance = 0;
    await client.connect();
    for (const [index, host] of ['two', 'three', 'one'].entries()) {
      refusals[host] = { status: 503, retryAfterMs: 9_000 - index * 2_000 };
    }
    server.kill();
    await clock.advance(0);
    expect(dialled).toEqual(['one', 'two', 'three', 'one']);
    await clock.advance(4_900);
    expect(dialled).toHaveLength(4);
    delete refusals.one;
    await clock.advance(200);
    expect(client.state).toBe('open');
    expect(dialled).toEqual(['one', 'two', 'three', 'one', 'one']);
    await client.close();
  });
});

describe('one address alone', () => {
  it('is dialled again and again, as late as it asks', () => {
    const clock = new FakeClock();
    const addresses = new Addresses(URLS.slice(0, 1), clock);
    addresses.moveOn(true);
    expect([addresses.current, addresses.waitMs]).toEqual([URLS[0], 0]);
    addresses.bar(5_000);
    addresses.moveOn(false);
    expect([addresses.current, addresses.waitMs]).toEqual([URLS[0], 5_000]);
  });
});
