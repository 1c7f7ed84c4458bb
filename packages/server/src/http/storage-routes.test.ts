import { principalOf } from '@arqonbus/bus';
import type { Envelope } from '@arqonbus/protocol';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Answer, ask } from '../../../../test/fixtures/http.ts';
import { Peer } from '../../../../test/fixtures/peer.ts';
import { startTestServer, type TestServer } from '../../../../test/fixtures/start.ts';
import { readHistory } from './storage-history.ts';

let server: TestServer;
let ann: Peer;
let bob: Peer;

beforeAll(async () => {
  server = await startTestServer({ ARQONBUS_MAX_HISTORY_SIZE: '5000' });
  [ann, bob] = [await Peer.connect(server.urls.bus), await Peer.connect(server.urls.bus)];
  for (let n = 1; n <= 3; n += 1) {
    await ann.publish({ room: 'lab', channel: 'one', payload: { n } });
    await bob.publish({ room: 'lab', channel: 'two', payload: { n } });
  }
  await bob.publish({ room: 'lab', payload: { wide: true } });
  await bob.publish({ room: 'other', channel: 'x', payload: {} });
});
afterAll(() => server.stop());

function history(query: string): Promise<Answer> {
  return ask(`${server.urls.http}/storage/history?${query}`);
}

function places({ json }: Answer): string[] {
  return json.entries.map(
    ({ envelope }: { envelope: Envelope }) =>
      `${envelope.room}:${envelope.channel} ${JSON.stringify(envelope.payload)}`,
  );
}

describe('GET /storage/history', () => {
  it('gives the envelopes of a channel, oldest first, with where they are stored', async () => {
    const answer = await history('room=lab&channel=one');
    expect(answer.json.count).toBe(3);
    expect(answer.json.entries[0]).toEqual({
      envelope: expect.objectContaining({
        type: 'event',
        room: 'lab',
        channel: 'one',
        from: ann.id,
        payload: { n: 1 },
      }),
      stored_at: expect.stringMatching(/Z$/),
      storage_metadata: { backend: 'memory', sequence: 1, epoch: expect.any(String) },
    });
    expect(places(answer)).toEqual(['lab:one {"n":1}', 'lab:one {"n":2}', 'lab:one {"n":3}']);
    expect(places(await history('room=lab:one&limit=2'))).toEqual(['lab:one {"n":2}', 'lab:one {"n":3}']);
  });

  it('gives a whole room, its room-wide stream alone, or the tenant', async () => {
    expect(places(await history('room=lab'))).toHaveLength(7);
    expect(places(await history('room=lab&channel=*'))).toEqual(['lab:* {"wide":true}']);
    expect(places(await history('limit=1000'))).toContain('other:x {}');
  });

  it('gives what one sender sent, however far back that is', async () => {
    expect(places(await history(`room=lab&client_id=${bob.id}&limit=2`))).toEqual([
      'lab:two {"n":3}',
      'lab:* {"wide":true}',
    ]);
    for (let n = 0; n < 1_300; n += 1) {
      const sending = { room: 'deep', channel: 'x', payload: { n } };
      if (n === 0) await ann.publish(sending);
      else if (n % 100 === 99) await bob.publish(sending);
      else bob.send({ type: 'event', ...sending });
    }
    await bob.ask('ping');
    expect(places(await history(`room=deep&channel=x&client_id=${ann.id}`))).toEqual(['deep:x {"n":0}']);
    expect((await history(`room=deep&channel=x&client_id=${bob.id}&limit=1000`)).json.count).toBe(1_000);
    expect((await history('client_id=nobody')).json).toEqual({ entries: [], count: 0 });
  });

  it.each([
    ['limit=0', 'limit'],
    ['limit=1001', 'limit'],
    ['limit=x', 'limit'],
    ['room=a%20b', 'room'],
    ['channel=one', 'room'],
    ['room=', 'room'],
  ])('refuses %s', async (query, field) => {
    expect(await history(query)).toMatchObject({
      status: 400,
      json: { error_code: 'VALIDATION_ERROR', details: { field } },
    });
  });

  it('is empty where nothing is stored', async () => {
    expect((await history('room=nowhere&channel=x')).json).toEqual({ entries: [], count: 0 });
  });

  it('shows of payloads what the rule of redaction leaves', async () => {
    const { bus } = server.server;
    const principal = principalOf({ role: 'admin', telemetry: true, operator: true });
    const request = { place: { room: 'lab', channel: 'one' }, from: undefined, limit: 1 };
    const redact = (room: string, channel: string, { n }: Record<string, unknown>) => ({
      seen: `${room}:${channel}:${n}`,
    });
    const [entry] = await readHistory(bus, principal, request, redact);
    expect(entry?.envelope.payload).toEqual({ seen: 'lab:one:3' });
  });
});

describe('GET /storage/stats', () => {
  it('tells how the backend is doing', async () => {
    const { status, json } = await ask(`${server.urls.http}/storage/stats`);
    expect(status).toBe(200);
    expect(json).toMatchObject({ backend: 'memory', connected: true, errors: 0, last_error: null });
    expect(json.messages).toBeGreaterThan(8);
  });
});
