import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { exportSPKI, importPKCS8, SignJWT, UnsecuredJWT } from 'jose';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Peer } from '../fixtures/peer.ts';
import { startTestServer, type TestServer } from '../fixtures/start.ts';

const SECRET = 'a-secret-of-at-least-thirty-two-bytes!';
const OTHER = 'another-secret-of-thirty-two-bytes-at-least';
const GUARDED = {
  ARQONBUS_ENABLE_AUTH: 'true',
  ARQONBUS_AUTH_JWT_SECRET: SECRET,
  ARQONBUS_AUTH_ISSUER: 'us',
  ARQONBUS_AUTH_AUDIENCE: 'bus',
  ARQONBUS_HTTP_API_KEY: 'k'.repeat(32),
};

let server: TestServer;
const peers: Peer[] = [];

beforeAll(async () => {
  server = await startTestServer(GUARDED);
});
afterEach(async () => {
  await Promise.all(peers.splice(0).map((peer) => peer.close()));
});
afterAll(() => server.stop());

type Claims = Record<string, unknown>;

async function token(claims: Claims = {}, secret: string = SECRET, alg = 'HS256'): Promise<string> {
  const now = Math.floor(Date.now() / 1000);
  const all = { sub: 'alice', iss: 'us', aud: 'bus', iat: now, exp: now + 3_600, ...claims };
  return new SignJWT(all).setProtectedHeader({ alg }).sign(new TextEncoder().encode(secret));
}

async function connect(claims: Claims = {}, query: Record<string, string> = {}): Promise<Peer> {
  const headers = { authorization: `Bearer ${await token(claims)}` };
  const peer = await Peer.connect(server.urls.bus, query, { headers });
  peers.push(peer);
  return peer;
}

const refusedWith = (details: string): object => ({
  status: 401,
  headers: expect.objectContaining({ 'www-authenticate': 'Bearer realm="arqonbus"' }),
  body: JSON.stringify({ error: 'Unauthorized', error_code: 'AUTHENTICATION_FAILED', details }),
});

describe('getting in', () => {
  it('P1.4 a token is taken from the header, the subprotocol or the query', async () => {
    const t = await token({ role: 'admin', tenant_id: 'acme' });
    const ways = [
      Peer.connect(server.urls.bus, {}, { headers: { authorization: `Bearer ${t}` } }),
      Peer.connect(server.urls.bus, {}, { protocols: ['arqonbus.v1', `bearer.${t}`] }),
      Peer.connect(server.urls.bus, {}, { protocols: [`bearer.${t}`] }),
      Peer.connect(server.urls.bus, { token: t }),
      Peer.connect(server.urls.bus, { access_token: t }),
    ];
    for (const peer of await Promise.all(ways)) {
      expect(peer.welcome.payload).toMatchObject({ role: 'admin', tenant: 'acme' });
      await peer.close();
    }
    const bad = Peer.connect(server.urls.bus, { token: t }, { headers: { authorization: 'Bearer nonsense' } });
    await expect(bad).rejects.toMatchObject(refusedWith('invalid token'));
  });

  it('P1.5 refusals are 401 and say no more than missing, expired or invalid', async () => {
    await expect(Peer.connect(server.urls.bus)).rejects.toMatchObject(refusedWith('missing token'));
    const now = Math.floor(Date.now() / 1000);
    const past = await token({ exp: now - 60 });
    await expect(Peer.connect(server.urls.bus, { token: past })).rejects.toMatchObject(refusedWith('token expired'));
    const good = await token();
    const [head, body, signature] = good.split('.') as [string, string, string];
    const forged = Buffer.from(JSON.stringify({ sub: 'eve', iss: 'us', aud: 'bus', role: 'admin' })).toString(
      'base64url',
    );
    const bad: Record<string, string> = {
      'another secret': await token({}, OTHER),
      'no algorithm': new UnsecuredJWT({ sub: 'eve', iss: 'us', aud: 'bus' }).encode(),
      'a changed payload': `${head}.${forged}.${signature}`,
      'no signature': `${head}.${body}.`,
      'another algorithm': await token({}, SECRET, 'HS512'),
      'not yet valid': await token({ nbf: now + 3_600 }),
      'another issuer': await token({ iss: 'them' }),
      'another audience': await token({ aud: 'them' }),
      'an unknown role': await token({ role: 'root' }),
      'a bad tenant': await token({ tenant_id: 'a/b' }),
      'grants of no shape': await token({ publish: 'science:*' }),
      nonsense: 'x.y.z',
    };
    for (const [what, t] of Object.entries(bad)) {
      await expect(Peer.connect(server.urls.bus, { token: t }), what).rejects.toMatchObject(
        refusedWith('invalid token'),
      );
    }
  });

  it('P7.11 times have 30 s of leeway', async () => {
    const now = Math.floor(Date.now() / 1000);
    await connect({ nbf: now + 20, iat: now + 20 });
    const late = await connect({ exp: now - 10 });
    const fence = await connect({ exp: now - 27 });
    expect(await fence.closed).toBe(4401);
    expect(await late.ask('ping')).toMatchObject({ pong: true });
    peers.splice(peers.indexOf(fence), 1);
    await expect(Peer.connect(server.urls.bus, { token: await token({ exp: now - 30 }) })).rejects.toMatchObject(
      refusedWith('token expired'),
    );
  });

  it('P7.11 asymmetric keys, and no public key passes for a secret', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'arqon-auth-'));
    const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const pem = publicKey.export({ type: 'spki', format: 'pem' }).toString();
    const file = join(folder, 'public.pem');
    writeFileSync(file, pem);
    const rsa = await startTestServer({
      ARQONBUS_ENABLE_AUTH: 'true',
      ARQONBUS_AUTH_JWT_ALGORITHM: 'RS256',
      ARQONBUS_AUTH_PUBLIC_KEY_FILE: file,
    });
    const key = await importPKCS8(privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(), 'RS256');
    const good = await new SignJWT({ sub: 'alice' })
      .setProtectedHeader({ alg: 'RS256' })
      .setExpirationTime('1h')
      .sign(key);
    const peer = await Peer.connect(rsa.urls.bus, { token: good });
    await peer.close();
    for (const secret of [pem, await exportSPKI(publicKey)]) {
      const confused = await token({}, secret);
      await expect(Peer.connect(rsa.urls.bus, { token: confused })).rejects.toMatchObject(refusedWith('invalid token'));
    }
    await rsa.stop();
    rmSync(folder, { recursive: true });
  });

  it('no token shows in the log', async () => {
    const bad = await token({}, OTHER);
    await expect(Peer.connect(server.urls.bus, { token: bad })).rejects.toMatchObject({ status: 401 });
    const a = await connect();
    await a.command('refresh_token', { token: bad });
    const log = server.log.join('\n');
    expect(log).toContain('request refused');
    expect(log).not.toContain(bad);
    expect(log).not.toContain(SECRET);
  });
});

describe('roles', () => {
  it('P7.1 P7.3 guests read, users speak, admins rule', async () => {
    const [guest, user, admin] = await Promise.all([
      connect({ sub: 'g', role: 'guest' }),
      connect({ sub: 'u' }),
      connect({ sub: 'a', role: 'admin' }),
    ]);
    await guest.ask('join_channel', { room: 'science', channel: 'explore' });
    expect(await guest.publish({ room: 'science', channel: 'explore' })).toMatchObject({
      error_code: 'AUTHORIZATION_ERROR',
    });
    const pm = guest.send({ type: 'private', to: user.id });
    expect(await guest.answer(pm)).toMatchObject({ error_code: 'AUTHORIZATION_ERROR' });
    expect(await guest.command('identify')).toMatchObject({ error_code: 'AUTHORIZATION_ERROR' });
    expect(await guest.command('op.store.set', { key: 'k', value: 1 })).toMatchObject({
      error_code: 'AUTHORIZATION_ERROR',
    });
    expect(await user.publish({ room: 'science', channel: 'explore' })).toMatchObject({ type: 'ack' });
    expect(await guest.message()).toMatchObject({ from: user.id });
    expect(await guest.ask('history', { room: 'science', channel: 'explore' })).toHaveProperty('messages');
    const adminOnly: [string, object][] = [
      ['create_channel', { room: 'r', channel: 'c' }],
      ['delete_channel', { room: 'science', channel: 'explore' }],
      ['op.history.get', {}],
      ['op.history.replay', { from_ts: '2020-01-01T00:00:00Z', to_ts: '2030-01-01T00:00:00Z' }],
      ['op.casil.reload', { enabled: true }],
      ['op.omega.register_substrate', { name: 'n', kind: 'k' }],
      ['op.webhook.register', { url: 'https://example.com', durable: true }],
      ['join_channel', { room: '*:*' }],
      ['join_channel', { room: '*' }],
    ];
    for (const [command, args] of adminOnly) {
      const refused = await user.command(command, args as Claims);
      expect(refused, command).toMatchObject({ status: 'error', error_code: 'AUTHORIZATION_ERROR' });
    }
    expect(await user.ask('status')).not.toHaveProperty('clients');
    expect(await user.ask('op.casil.get')).not.toHaveProperty('redaction_patterns');
    expect(await admin.ask('status')).toHaveProperty('clients');
    expect(await admin.ask('op.casil.get')).toHaveProperty('redaction_patterns');
  });

  it('a user token opens no admin door over HTTP or the telemetry port', async () => {
    const headers = { authorization: `Bearer ${await token()}` };
    for (const path of ['/status', '/v1/rooms', '/system/config', '/telemetry/events', '/storage/stats']) {
      expect((await fetch(server.urls.http + path)).status, path).toBe(401);
      expect([401, 403], path).toContain((await fetch(server.urls.http + path, { headers })).status);
      const key = await fetch(server.urls.http + path, { headers: { 'x-api-key': 'k'.repeat(32) } });
      expect(key.status, path).toBe(200);
      expect(await key.text()).not.toContain(SECRET);
      expect((await fetch(server.urls.http + path, { headers: { 'x-api-key': 'wrong' } })).status, path).toBe(401);
    }
    await expect(Peer.connect(server.urls.telemetry)).rejects.toMatchObject({ status: 401 });
    await expect(Peer.connect(server.urls.telemetry, {}, { headers })).rejects.toMatchObject({ status: 403 });
  });
});

describe('grants', () => {
  it('P7.5 bind publish, join, history, info and lists, and never tell what exists', async () => {
    const admin = await connect({ sub: 'a', role: 'admin' });
    await admin.publish({ room: 'science', channel: 'secret', payload: { hidden: true } });
    await admin.publish({ room: 'science', channel: 'open' });
    const bound = await connect({ sub: 'b', publish: ['science:open'], subscribe: ['science:op*', 'team-*:general'] });
    expect(await bound.publish({ room: 'science', channel: 'open' })).toMatchObject({ type: 'ack' });
    for (const address of [
      { room: 'science', channel: 'secret' },
      { room: 'science' },
      { room: 'team-a', channel: 'general' },
    ]) {
      expect(await bound.publish(address)).toMatchObject({ error_code: 'AUTHORIZATION_ERROR' });
    }
    await bound.ask('join_channel', { room: 'team-a', channel: 'general' });
    const answers = await Promise.all(
      ['secret', 'does-not-exist'].flatMap((channel) =>
        ['join_channel', 'history', 'channel_info', 'op.history.get', 'leave_channel'].map(async (command) => {
          const { error_code, error, payload } = await bound.command(command, { room: 'science', channel });
          return [command, JSON.stringify({ error_code, error, payload }).replaceAll(channel, 'X')];
        }),
      ),
    );
    const [existing, missing] = [answers.slice(0, 5), answers.slice(5)];
    expect(existing).toEqual(missing);
    for (const [command, text] of existing.slice(0, 4)) expect(text, command).toContain('AUTHORIZATION_ERROR');
    expect(await bound.command('join_channel', { room: 'science', strict: true })).toMatchObject({
      error_code: 'AUTHORIZATION_ERROR',
    });
    const inPart = await bound.ask('join_channel', { room: 'science' });
    expect(inPart).toMatchObject({ scope: 'granted' });
    expect(Object.keys(inPart.positions).sort()).toEqual(['*', 'open']);
    const listed = (await bound.ask('list_channels', { room: 'science' })).channels;
    expect(listed.map((one: { channel: string }) => one.channel)).toEqual(['open']);
    const rooms = (await bound.ask('list_rooms')).rooms.map((one: { room: string }) => one.room);
    expect(rooms.sort()).toEqual(['science', 'team-a']);
    const here = await bound.command('list_channels', { room: 'integriguard' });
    const nowhere = await bound.command('list_channels', { room: 'integriguarb' });
    expect([here.error_code, nowhere.error_code]).toEqual(['AUTHORIZATION_ERROR', 'AUTHORIZATION_ERROR']);
    const entries = (await bound.ask('op.history.get', { room: 'science' })).entries;
    expect(entries.every((one: { envelope: { channel: string } }) => one.envelope.channel === 'open')).toBe(true);
  });

  it('bind what an operator does for its owner', async () => {
    const bound = await connect(
      { sub: 'b', publish: ['jobs:mine'], subscribe: ['jobs:mine'] },
      { room: 'jobs', channel: 'mine' },
    );
    const refused = await bound.command('op.cron.schedule', { room: 'jobs', channel: 'other', payload: {} });
    expect(refused).toMatchObject({ error_code: 'AUTHORIZATION_ERROR' });
    await bound.ask('op.cron.schedule', { room: 'jobs', channel: 'mine', payload: {}, delay_seconds: 0 });
    expect(await bound.message()).toMatchObject({ from: 'op-cron', metadata: { iteration: 1 } });
  });
});

describe('expiry', () => {
  it('P7.12 notice of the time in the token, then 4401 once the leeway is over too', async () => {
    const exp = Math.floor(Date.now() / 1000) - 27;
    const a = await connect({ exp });
    const notice = await a.next((frame) => frame.type === 'system');
    const expires_at = new Date(exp * 1000).toISOString();
    expect(notice.payload).toEqual({ event: 'token_expiring', expires_at, expires_in_ms: 0 });
    expect(await a.closed).toBe(4401);
    expect(Date.now()).toBeGreaterThanOrEqual((exp + 30) * 1000);
    peers.splice(0);
  });

  it('P7.12 a renewed token keeps the connection, and its grants count at once', async () => {
    const now = Math.floor(Date.now() / 1000);
    const soon = now - 27;
    const a = await connect({ exp: soon }, { room: 'science', channel: 'explore' });
    await a.ask('join_channel', { room: 'science', channel: 'general' });
    await a.next((frame) => frame.payload.event === 'token_expiring');
    for (const wrong of [
      await token({ sub: 'bob' }),
      await token({ tenant_id: 'other' }),
      await token({}, OTHER),
      'x',
    ]) {
      expect(await a.command('refresh_token', { token: wrong })).toMatchObject({ error_code: 'AUTHENTICATION_FAILED' });
    }
    const renewed = await a.ask('refresh_token', {
      token: await token({ subscribe: ['science:general'], publish: [], exp: now + 600 }),
    });
    const expires_at = new Date((now + 600) * 1000).toISOString();
    expect(renewed).toEqual({ role: 'user', left: ['science:explore'], expires_at });
    const revoked = await a.next((frame) => frame.payload.event === 'membership_revoked');
    expect(revoked).toMatchObject({ room: 'science', channel: 'explore' });
    expect(await a.publish({ room: 'science', channel: 'general' })).toMatchObject({
      error_code: 'AUTHORIZATION_ERROR',
    });
    const still = await connect({ sub: 'fence', exp: soon + 1 });
    await still.closed;
    expect(await a.ask('ping')).toMatchObject({ pong: true });
    peers.splice(peers.indexOf(still), 1);
  });

  it('P7.13 without authentication the role follows the address, or what is set', async () => {
    const open = await startTestServer();
    const a = await Peer.connect(open.urls.bus);
    expect(a.welcome.payload.role).toBe('admin');
    expect(await a.command('refresh_token', { token: 'x' })).toMatchObject({ error_code: 'FEATURE_DISABLED' });
    await a.close();
    await open.stop();
    const guests = await startTestServer({ ARQONBUS_ANONYMOUS_ROLE: 'guest' });
    const b = await Peer.connect(guests.urls.bus);
    expect(b.welcome.payload.role).toBe('guest');
    await b.close();
    await guests.stop();
  });
});

describe('subjects', () => {
  it('P5.15 sub: reaches all connections of a subject in the tenant', async () => {
    const [a, b, c, stranger] = await Promise.all([
      connect({ sub: 'alice' }),
      connect({ sub: 'bob' }),
      connect({ sub: 'bob' }),
      connect({ sub: 'bob', tenant_id: 'other' }),
    ]);
    const id = a.send({ type: 'private', to: 'sub:bob', ack: true });
    expect((await a.answer(id)).payload).toMatchObject({ delivered: 2, undelivered: [] });
    await Promise.all([b.message(), c.message()]);
    expect(await stranger.received('private')).toEqual([]);
  });

  it('P6.3 a subject is one sender on all its connections', async () => {
    const [a, b] = await Promise.all([connect({ sub: 'twin' }), connect({ sub: 'twin' })]);
    const event = { room: 'twins', channel: 'x', id: 'arq_once' };
    expect((await a.publish(event)).payload.duplicate).toBe(false);
    expect((await b.publish(event)).payload.duplicate).toBe(true);
  });
});
