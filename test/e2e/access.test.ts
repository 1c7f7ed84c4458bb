import type { TestContext } from 'vitest';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { ask } from '../fixtures/http.ts';
import { Peer } from '../fixtures/peer.ts';
import { hasRedis, PrivateRedis } from '../fixtures/private-redis.ts';
import { startTestServer, type TestServer } from '../fixtures/start.ts';
import { token, tokenOf, WITH_AUTH } from '../fixtures/tokens.ts';

const peers: Peer[] = [];

afterEach(async () => {
  await Promise.all(peers.splice(0).map((peer) => peer.close()));
});

async function connect(server: TestServer, bearer: string): Promise<Peer> {
  const peer = await Peer.connect(server.urls.bus, {}, { headers: { authorization: `Bearer ${bearer}` } });
  peers.push(peer);
  return peer;
}

const admin = () => token({ sub: 'root', role: 'admin' });

describe('who is kept out', () => {
  let server: TestServer;
  beforeAll(async () => {
    server = await startTestServer(WITH_AUTH);
  });
  afterAll(() => server.stop());

  it('is closed with 4403, refused at the handshake and over HTTP, until it is let in again', async () => {
    const root = await connect(server, await admin());
    const bearer = await token({ sub: 'ada', role: 'admin' });
    const ada = await connect(server, bearer);
    const block = await root.ask('op.access.block', { subject: 'ada', reason: 'spam' });
    expect(block).toMatchObject({ subject: 'ada', reason: 'spam', until: null, created_by: 'root' });
    expect(await ada.closed).toBe(4403);
    await expect(connect(server, bearer)).rejects.toMatchObject({
      status: 403,
      body: expect.stringContaining('blocked: spam'),
    });
    const headers = { authorization: `Bearer ${bearer}` };
    expect((await ask(`${server.urls.http}/status`, { headers })).status).toBe(403);
    expect((await root.ask('op.access.list')).blocks).toEqual([block]);
    expect(await root.ask('op.access.unblock', { subject: 'ada' })).toEqual({ unblocked: true });
    expect(await root.ask('op.access.unblock', { subject: 'ada' })).toEqual({ unblocked: false });
    expect((await (await connect(server, bearer)).ask('ping')).pong).toBe(true);
    expect((await ask(`${server.urls.http}/status`, { headers })).status).toBe(200);
  });

  it('is nothing for an admin whose grants are for parts of the tenant, nor are rules, policies and what others have there', async () => {
    const root = await connect(server, await admin());
    await root.ask('op.cron.schedule', { room: 'other', channel: 'x', payload: {}, delay_seconds: 600 });
    const { job_id } = await root.ask('op.cron.schedule', {
      room: 'part',
      channel: 'x',
      payload: {},
      delay_seconds: 600,
    });
    await root.ask('op.webhook.register', { url: 'https://example.com/', room: 'other' });
    const { rule_id } = await root.ask('op.webhook.register', { url: 'https://example.com/', room: 'part' });
    const { lease_id } = await root.ask('op.lease.acquire', { keys: ['a'], ttl_seconds: 60 });
    const bearer = await tokenOf({ sub: 'part', role: 'admin', publish: ['part:*'], subscribe: ['part:*'] });
    const part = await connect(server, bearer);
    for (const [command, args] of [
      ['op.access.block', { subject: 'ada', reason: 'x' }],
      ['op.access.unblock', { subject: 'ada' }],
      ['op.access.disconnect', { subject: 'root' }],
      ['op.access.list', {}],
      ['op.access.revoke', { subject: 'ada', issued_before: 1 }],
      ['op.rules.get', {}],
      ['op.rules.set', { rules: [] }],
      ['op.rules.explain', { room: 'other', channel: 'x' }],
      ['op.casil.reload', { enabled: false }],
      ['op.lease.release', { lease_id }],
    ] as const) {
      expect([command, (await part.command(command, args)).error_code]).toEqual([command, 'AUTHORIZATION_ERROR']);
    }
    expect((await part.ask('op.rules.explain', { room: 'part', channel: 'x' })).may).toMatchObject({ publish: true });
    expect((await part.ask('op.cron.list')).jobs).toMatchObject([{ job_id }]);
    expect((await part.ask('op.webhook.list')).rules).toMatchObject([{ rule_id }]);
    expect(await part.ask('op.cron.cancel', { job_id })).toMatchObject({ cancelled: true });
    const headers = { authorization: `Bearer ${bearer}` };
    for (const path of [`/v1/clients/${root.id}/disconnect`, '/v1/subjects/root/disconnect']) {
      expect(await ask(server.urls.http + path, { headers, body: {} })).toMatchObject({ status: 403 });
    }
    expect(await root.ask('ping')).toMatchObject({ pong: true });
  });

  it('holds a token that was revoked by its id, or for having been issued before', async () => {
    const root = await connect(server, await admin());
    const issued = Math.floor(Date.now() / 1_000);
    const [one, other] = await Promise.all([
      tokenOf({ sub: 'bob', jti: 'one' }),
      tokenOf({ sub: 'bob', jti: 'other' }),
    ]);
    const bob = await connect(server, one);
    await root.ask('op.access.revoke', { jti: 'one' });
    expect(await bob.closed).toBe(4403);
    await expect(connect(server, one)).rejects.toMatchObject({ status: 401, body: expect.stringContaining('revoked') });
    const second = await connect(server, other);
    await root.ask('op.access.revoke', { subject: 'bob', issued_before: issued + 60 });
    expect(await second.closed).toBe(4403);
    await expect(connect(server, other)).rejects.toMatchObject({ status: 401 });
    const later = await tokenOf({ sub: 'bob', iat: issued + 20 });
    await root.ask('op.access.revoke', { subject: 'bob', issued_before: issued - 60 });
    const renewed = await connect(server, later);
    expect(await renewed.command('refresh_token', { token: one })).toMatchObject({
      error_code: 'AUTHENTICATION_FAILED',
    });
  });

  it('is for admins to say, and never themselves', async () => {
    const root = await connect(server, await admin());
    const user = await connect(server, await token({ sub: 'eve' }));
    const block = { subject: 'eve', reason: 'r' };
    expect(await user.command('op.access.block', block)).toMatchObject({ error_code: 'AUTHORIZATION_ERROR' });
    for (const [command, args, field] of [
      ['op.access.block', { subject: 'root', reason: 'r' }, 'subject'],
      ['op.access.block', { ...block, until: '2020-01-01T00:00:00Z' }, 'until'],
      ['op.access.revoke', { jti: 'x', subject: 'eve' }, 'jti'],
      ['op.access.revoke', { subject: 'eve' }, 'subject'],
      ['op.access.disconnect', { subject: 'root' }, 'subject'],
      ['op.access.disconnect', { client_id: root.id }, 'client_id'],
      ['op.access.disconnect', { subject: 'eve', client_id: 'x' }, 'subject'],
      ['op.access.disconnect', {}, 'subject'],
      ['op.access.disconnect', { subject: 'eve', reason: 'é'.repeat(61) }, 'reason'],
    ] as const) {
      const refused = await root.command(command, args);
      expect(refused).toMatchObject({ error_code: 'VALIDATION_ERROR', payload: { field } });
    }
    expect((await user.ask('ping')).pong).toBe(true);
  });

  it('may be sent away by its subject or as one connection, and come back', async () => {
    const root = await connect(server, await admin());
    const bearer = await token({ sub: 'ned' });
    const [one, other, third] = [
      await connect(server, bearer),
      await connect(server, bearer),
      await connect(server, bearer),
    ];
    expect(await root.ask('op.access.disconnect', { client_id: one.id, reason: 'moved' })).toEqual({ disconnected: 1 });
    expect(await one.closed).toBe(4403);
    expect(await root.ask('op.access.disconnect', { subject: 'ned', reason: 'é'.repeat(60) })).toEqual({
      disconnected: 2,
    });
    expect(await Promise.all([other.closed, third.closed])).toEqual([4403, 4403]);
    expect(await root.ask('op.access.disconnect', { subject: 'ned' })).toEqual({ disconnected: 0 });
    expect(await root.ask('op.access.disconnect', { client_id: 'sub:root' })).toEqual({ disconnected: 0 });
    expect((await (await connect(server, bearer)).ask('ping')).pong).toBe(true);
  });

  it('is kept out of its own tenant alone', async () => {
    const root = await connect(server, await admin());
    const elsewhere = await connect(server, await token({ sub: 'kim', tenant: 'other' }));
    const here = await connect(server, await token({ sub: 'kim' }));
    await root.ask('op.access.block', { subject: 'kim', reason: 'r' });
    expect(await here.closed).toBe(4403);
    expect((await elsewhere.ask('ping')).pong).toBe(true);
  });

  it('is let in when its time is over', async () => {
    const root = await connect(server, await admin());
    const until = new Date(Date.now() + 1_500).toISOString();
    await root.ask('op.access.block', { subject: 'zoe', reason: 'r', until });
    const bearer = await token({ sub: 'zoe' });
    await expect(connect(server, bearer)).rejects.toMatchObject({ status: 403 });
    await expect.poll(() => connect(server, bearer).then((peer) => peer.ask('ping')), { interval: 200 }).toBeTruthy();
  });

  it('is told in pages', async () => {
    const root = await connect(server, await token({ sub: 'boss', role: 'admin', tenant: 'paged' }));
    for (const subject of ['b', 'a', 'c']) await root.ask('op.access.block', { subject, reason: 'r' });
    await root.ask('op.access.revoke', { jti: 'x' });
    const seen: string[] = [];
    for (let after: string | null = ''; after !== null; ) {
      const page: Awaited<ReturnType<Peer['ask']>> = await root.ask('op.access.list', { limit: 1, after });
      seen.push(
        ...page.blocks.map((block: { subject: string }) => block.subject),
        ...page.revocations.map(() => 'jti'),
      );
      after = page.next;
    }
    expect(seen).toEqual(['a', 'b', 'c', 'jti']);
  });
});

describe.skipIf(!hasRedis())('on two nodes', () => {
  it('a block closes connections of the other node, and refuses there too', async ({ onTestFinished }: TestContext) => {
    const redis = await PrivateRedis.start({ sync: 'always' });
    onTestFinished(() => redis.stop());
    const nodes = await Promise.all(
      ['one', 'other'].map((node) =>
        startTestServer({
          ...WITH_AUTH,
          ARQONBUS_STORAGE_BACKEND: 'redis',
          ARQONBUS_REDIS_URL: redis.url(0),
          ARQONBUS_NODE_ID: node,
        }),
      ),
    );
    onTestFinished(() => Promise.all(nodes.map((node) => node.stop())).then(() => {}));
    const [one, other] = nodes as [TestServer, TestServer];
    const root = await connect(one, await admin());
    const bearer = await token({ sub: 'ada' });
    for (const who of ['subject', 'client_id']) {
      const kim = await connect(other, await token({ sub: 'kim' }));
      // The other node is told of a client a moment after it came.
      const away = { [who]: who === 'subject' ? 'kim' : kim.id };
      await expect.poll(() => root.ask('op.access.disconnect', away)).toEqual({ disconnected: 1 });
      expect(await kim.closed).toBe(4403);
    }
    const ada = await connect(other, bearer);
    await root.ask('op.access.block', { subject: 'ada', reason: 'spam' });
    expect(await ada.closed).toBe(4403);
    for (const node of nodes) await expect(connect(node, bearer)).rejects.toMatchObject({ status: 403 });
  });
});
