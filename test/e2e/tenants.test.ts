import fc from 'fast-check';
import { SignJWT } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Peer } from '../fixtures/peer.ts';
import { startTestServer, type TestServer } from '../fixtures/start.ts';

const SECRET = 'a-secret-of-at-least-thirty-two-bytes!';
let server: TestServer;

beforeAll(async () => {
  server = await startTestServer({
    ARQONBUS_ENABLE_AUTH: 'true',
    ARQONBUS_AUTH_JWT_SECRET: SECRET,
    ARQONBUS_OMEGA_ENABLED: 'true',
    ARQONBUS_LOG_LEVEL: 'error',
  });
});
afterAll(() => server.stop());

async function bearer(tenant: string, sub: string, role: string): Promise<string> {
  const key = new TextEncoder().encode(SECRET);
  const claims = { sub, role, tenant_id: tenant };
  return new SignJWT(claims).setProtectedHeader({ alg: 'HS256' }).setExpirationTime('1h').sign(key);
}

/** The same subject with the same role in two tenants, so that only the tenant tells them apart. */
async function connect(tenant: string, role: string): Promise<{ peer: Peer; frames: string[] }> {
  const headers = { authorization: `Bearer ${await bearer(tenant, 'same', role)}` };
  const frames: string[] = [];
  const peer = await Peer.connect(server.urls.bus, { client_key: 'same-key-same-key' }, { headers });
  peer.ws.on('message', (data) => frames.push(String(data)));
  return { peer, frames };
}

type Step = readonly ['command', string, Record<string, unknown>] | readonly ['send', Record<string, unknown>];

const room = fc.constantFrom('science', 'shared', 'integriguard', 'default:x', 'omega-lab');
const channel = fc.constantFrom('explore', 'x', 'a/b', 'telemetry-stream', '*', 'signals');
const place = fc.record({ room, channel }, { requiredKeys: ['room'] });
const namespace = fc.constantFrom('default', 'n', 'alpha', 'beta', 'alpha/default', '../alpha/store');
const id = fc.constantFrom('arq_1', 'arq_2', 'arq_3');
const tricks = fc.constantFrom('sub:same', 'sub:alpha/same', 'sub:*', '*', 'arq_client_guess');

/** Whatever a client may ask for. `mark` stands in all content that it sends. */
const steps = (mark: string): fc.Arbitrary<Step> => {
  const payload = fc.constant({ mark });
  const cmd = (name: string, args: fc.Arbitrary<Record<string, unknown>>): fc.Arbitrary<Step> =>
    args.map((given) => ['command', name, given] as const);
  const key = fc.constantFrom('k', `${mark}-key`);
  return fc.oneof(
    fc.record({ type: fc.constant('event'), room, channel, payload, id }).map((one) => ['send', one] as const),
    fc.record({ type: fc.constant('private'), to: tricks, payload, id }).map((one) => ['send', one] as const),
    fc
      .record({ type: fc.constant('telemetry'), payload: fc.constant({ eventType: 'e', payload: { mark } }) })
      .map((one) => ['send', one] as const),
    cmd('join_channel', place),
    cmd('join_channel', fc.constant({ room: '*:*' })),
    cmd('leave_channel', place),
    cmd('create_channel', fc.record({ room, channel, description: fc.constant(mark) })),
    cmd('delete_channel', place),
    cmd('history', place),
    cmd('op.history.get', fc.constant({})),
    cmd(
      'op.history.replay',
      fc.constant({ from_ts: '2020-01-01T00:00:00Z', to_ts: '2030-01-01T00:00:00Z', strict_sequence: false }),
    ),
    cmd('channel_info', place),
    cmd('list_rooms', fc.constant({})),
    cmd('list_channels', fc.record({ room })),
    cmd('status', fc.constant({})),
    cmd('identify', fc.constant({ screen_name: mark })),
    cmd('op.store.set', fc.record({ key, value: fc.constant(mark), namespace }, { requiredKeys: ['key', 'value'] })),
    cmd('op.store.get', fc.record({ key, namespace }, { requiredKeys: ['key'] })),
    cmd('op.store.list', fc.record({ namespace }, { requiredKeys: [] })),
    cmd('op.store.delete', fc.record({ key, namespace }, { requiredKeys: ['key'] })),
    cmd('op.store.watch', fc.record({ namespace }, { requiredKeys: [] })),
    cmd('op.cron.schedule', fc.record({ room, channel, payload, delay_seconds: fc.constant(0) })),
    cmd('op.cron.list', fc.constant({})),
    cmd('op.webhook.register', fc.constant({ url: `https://${mark}.example/` })),
    cmd('op.webhook.list', fc.constant({})),
    cmd('op.omega.register_substrate', fc.constant({ name: mark, kind: 'k' })),
    cmd('op.omega.list_substrates', fc.constant({})),
    cmd('op.omega.list_events', fc.constant({})),
  );
};

async function take(peer: Peer, step: Step): Promise<void> {
  if (step[0] === 'command') await peer.command(step[1], step[2]);
  else {
    peer.send(step[1]);
    await peer.ask('ping');
  }
}

describe('tenants', () => {
  it('P5.2 never meet, whatever two of them do with the same names, subject, role and ids', async () => {
    for (const role of ['admin', 'user']) {
      const [alpha, beta] = [await connect('alpha', role), await connect('beta', role)];
      const script = fc.array(fc.tuple(steps('of-alpha'), steps('of-beta')), { minLength: 20, maxLength: 60 });
      await fc.assert(
        fc.asyncProperty(script, async (pairs) => {
          for (const [one, other] of pairs) await Promise.all([take(alpha.peer, one), take(beta.peer, other)]);
          for (const [mine, foreign, stranger] of [
            [alpha.frames, 'of-beta', beta.peer.id],
            [beta.frames, 'of-alpha', alpha.peer.id],
          ] as const) {
            for (const frame of mine.splice(0)) {
              expect(frame).not.toContain(foreign);
              expect(frame).not.toContain(stranger);
            }
          }
          alpha.peer.inbox.splice(0);
          beta.peer.inbox.splice(0);
        }),
        { seed: 3, numRuns: 12 },
      );
      await Promise.all([alpha.peer.close(), beta.peer.close()]);
    }
  });

  it('P5.2 count, sequence and deduplicate for themselves', async () => {
    const [one, other] = [await connect('gamma', 'admin'), await connect('delta', 'admin')];
    for (let n = 0; n < 5; n += 1) await one.peer.publish({ room: 'r', channel: 'x' });
    const event = { room: 'r', channel: 'x', id: 'arq_same' };
    expect((await one.peer.publish(event)).payload).toMatchObject({ sequence: 6, duplicate: false });
    expect((await other.peer.publish(event)).payload).toMatchObject({ sequence: 1, duplicate: false });
    const { connections, messages, rooms } = await other.peer.ask('status');
    expect(connections).toEqual({ total: 1, active: 1 });
    expect(messages.total).toBeLessThan(5);
    expect(rooms.active).toBe((await other.peer.ask('list_rooms')).rooms.length);
    await Promise.all([one.peer.close(), other.peer.close()]);
  });

  it("see only their own events on the telemetry port; the server's are for operators", async () => {
    const watch = async (tenant: string): Promise<{ seen: string[]; close: () => void }> => {
      const { WebSocket } = await import('ws');
      const headers = { authorization: `Bearer ${await bearer(tenant, 'watcher', 'admin')}` };
      const ws = new WebSocket(server.urls.telemetry, { headers });
      const seen: string[] = [];
      await new Promise<void>((resolve) => ws.on('message', (data) => seen.push(String(data)) === 1 && resolve()));
      return { seen, close: () => ws.close() };
    };
    const [own, foreign, operator] = [await watch('epsilon'), await watch('zeta'), await watch('*')];
    const { peer } = await connect('epsilon', 'admin');
    await expect(Peer.connect(server.urls.bus)).rejects.toMatchObject({ status: 401 });
    await expect.poll(() => operator.seen.join()).toContain('auth_failed');
    await expect.poll(() => own.seen.join()).toContain(peer.id);
    expect(operator.seen.join()).toContain(peer.id);
    expect(foreign.seen.join()).not.toContain(peer.id);
    expect(own.seen.join() + foreign.seen.join()).not.toContain('auth_failed');
    for (const { close } of [own, foreign, operator]) close();
    await peer.close();
  });
});

describe('a flood of bad handshakes', () => {
  it('does not keep a working client from its answers', async () => {
    const { peer } = await connect('calm', 'admin');
    const other = await connect('calm', 'admin');
    await other.peer.ask('join_channel', { room: 'r', channel: 'x' });
    const flood = Array.from({ length: 1_000 }, (_, n) =>
      Peer.connect(server.urls.bus, { token: `bad.${n}.token` }).catch((error: { status?: number }) => error.status),
    );
    // The answers come while the flood is still being refused.
    for (let n = 0; n < 50; n += 1) {
      peer.send({ type: 'event', room: 'r', channel: 'x', payload: { n } });
      expect((await other.peer.message()).payload.n).toBe(n);
    }
    expect(new Set(await Promise.all(flood))).toEqual(new Set([401]));
    await Promise.all([peer.close(), other.peer.close()]);
  });
});
