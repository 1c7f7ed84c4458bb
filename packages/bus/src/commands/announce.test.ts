import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Frame, Peer } from '../../../../test/fixtures/peer.ts';
import { type Bus, createBus } from '../bus.ts';

let bus: Bus;
let server: Server;
let url: string;

beforeAll(async () => {
  bus = await createBus({
    authenticate: ({ url: asked = '/' }) => {
      const query = new URL(asked, 'http://x').searchParams;
      return {
        subject: query.get('who') ?? 'somebody',
        role: query.get('who') === 'root' ? 'admin' : 'user',
        tenant: query.get('in') ?? 'default',
        operator: query.has('operator'),
      };
    },
  });
  server = createServer();
  bus.attach(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `ws://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(async () => {
  await bus.close();
  await new Promise((resolve) => server.close(resolve));
});

function announced(peer: Peer): Promise<Frame> {
  return peer.next(({ payload }) => payload.event === 'announcement');
}

describe('announce', () => {
  it('reaches the clients in a room, or all of the tenant, and no other tenant', async () => {
    const root = await Peer.connect(url, { who: 'root' });
    const member = await Peer.connect(url, { who: 'ada', room: 'hall', channel: 'one' });
    const outside = await Peer.connect(url, { who: 'bob' });
    const foreign = await Peer.connect(url, { who: 'eve', in: 'other' });
    expect(await root.ask('announce', { room: 'hall', payload: { text: 'at five' } })).toMatchObject({
      connections: 1,
    });
    expect(await announced(member)).toMatchObject({
      type: 'system',
      room: 'hall',
      payload: { event: 'announcement', announcement: { text: 'at five' } },
    });
    expect(await root.ask('announce', { room: '*', payload: { text: 'all' } })).toMatchObject({ connections: 3 });
    for (const peer of [root, member, outside]) {
      expect((await announced(peer)).payload.announcement).toEqual({ text: 'all' });
    }
    expect((await foreign.received('system')).filter(({ payload }) => payload.event === 'announcement')).toEqual([]);
    await Promise.all([root, member, outside, foreign].map((peer) => peer.close()));
  });

  it('of an operator reaches all tenants', async () => {
    const root = await Peer.connect(url, { who: 'root', operator: 'yes' });
    const foreign = await Peer.connect(url, { who: 'eve', in: 'other' });
    expect(await root.ask('announce', { payload: { text: 'down at five' } })).toMatchObject({ connections: 2 });
    expect((await announced(foreign)).payload.announcement).toEqual({ text: 'down at five' });
    await Promise.all([root, foreign].map((peer) => peer.close()));
  });

  it('is for admins, and for rooms that are there', async () => {
    const user = await Peer.connect(url, { who: 'ada' });
    expect(await user.command('announce', { payload: {} })).toMatchObject({ error_code: 'AUTHORIZATION_ERROR' });
    const root = await Peer.connect(url, { who: 'root' });
    expect(await root.command('announce', { room: 'nowhere', payload: {} })).toMatchObject({ error_code: 'NOT_FOUND' });
    expect(await root.command('announce', { room: 'hall' })).toMatchObject({
      error_code: 'VALIDATION_ERROR',
      payload: { field: 'payload' },
    });
    await Promise.all([user, root].map((peer) => peer.close()));
  });
});
