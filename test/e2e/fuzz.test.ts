import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Peer } from '../fixtures/peer.ts';
import { startTestServer, type TestServer } from '../fixtures/start.ts';

let server: TestServer;

beforeAll(async () => {
  server = await startTestServer({ ARQONBUS_LOG_LEVEL: 'error', ARQONBUS_OMEGA_ENABLED: 'true' });
});
afterAll(() => server.stop());

const words = fc.constantFrom(
  'science',
  'explore',
  'science:explore',
  '*',
  '*:*',
  'pm',
  '__proto__',
  'constructor',
  'arq_1',
  '1.0',
  '',
);
const leaf = fc.oneof(words, fc.string({ maxLength: 40 }), fc.integer(), fc.double(), fc.boolean(), fc.constant(null));
const value = fc.letrec((tie) => ({
  any: fc.oneof(
    { depthSize: 'small' },
    leaf,
    fc.array(tie('any'), { maxLength: 4 }),
    fc.dictionary(fc.oneof(words, fc.string({ maxLength: 12 })), tie('any'), { maxKeys: 5 }),
  ),
})).any;

/** Envelopes that are right in some fields and anything in others. */
function envelopes(commands: readonly string[]): fc.Arbitrary<object> {
  return fc.record(
    {
      version: fc.oneof(fc.constant('1.0'), value),
      id: fc.oneof(fc.constantFrom('arq_a', 'arq_b'), value),
      type: fc.oneof(fc.constantFrom('event', 'private', 'command', 'telemetry', 'message'), value),
      room: fc.oneof(words, value),
      channel: fc.oneof(words, value),
      to: fc.oneof(fc.constantFrom('sub:x', 'arq_client_x'), value),
      payload: value,
      command: fc.oneof(fc.constantFrom(...commands), value),
      args: fc.oneof(
        fc.dictionary(
          fc.constantFrom('room', 'channel', 'key', 'value', 'limit', 'since', 'url', 'payload', 'cron', 'name'),
          value,
        ),
        value,
      ),
      ack: fc.oneof(fc.boolean(), value),
      metadata: value,
      timestamp: fc.oneof(fc.constant('2026-01-01T00:00:00Z'), value),
    },
    { requiredKeys: [] },
  );
}

describe('hostile frames', () => {
  it('are answered or closed by the table; the server stays up and others notice nothing', async () => {
    const witness = await Peer.connect(server.urls.bus, { room: 'quiet', channel: 'x' });
    const speaker = await Peer.connect(server.urls.bus);
    const { commands } = await speaker.ask('help');
    // Policies and tokens are left alone; everything else may be asked for.
    const names = commands
      .map((one: { name: string }) => one.name)
      .filter((name: string) => name !== 'op.casil.reload');
    let hostile: Peer | null = null;
    let sent = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(fc.oneof(envelopes(names), value), { minLength: 1, maxLength: 8 }), async (frames) => {
        if (hostile === null || hostile.ws.readyState !== hostile.ws.OPEN)
          hostile = await Peer.connect(server.urls.bus);
        for (const frame of frames) hostile.sendRaw(JSON.stringify(frame) ?? 'undefined');
        sent += frames.length;
        await speaker.publish({ room: 'quiet', channel: 'x', payload: { sent } });
        expect((await witness.message()).payload).toEqual({ sent });
        const ended = await Promise.race([hostile.ask('ping').then(() => 0), hostile.closed]);
        expect([0, 1008]).toContain(ended);
        for (const answer of hostile.inbox.splice(0)) {
          expect(answer.error_code).not.toBe('INTERNAL_ERROR');
          expect(JSON.stringify(answer)).not.toMatch(/node_modules|\.ts:\d|\.js:\d/);
        }
      }),
      { seed: 42, numRuns: 400 },
    );
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
    expect((await witness.received('event')).length).toBe(0);
    await Promise.all([witness.close(), speaker.close(), (hostile as Peer | null)?.close()]);
  }, 120_000);

  it('of raw bytes never stop the server', async () => {
    const witness = await Peer.connect(server.urls.bus);
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.uint8Array({ minLength: 1, maxLength: 200 }), { minLength: 1, maxLength: 5 }),
        async (chunks) => {
          const peer = await Peer.connect(server.urls.bus);
          // Straight onto the line, past the framing of the client.
          const { _socket: socket } = peer.ws as unknown as {
            _socket: { write(data: Uint8Array): void; destroy(): void };
          };
          for (const chunk of chunks) socket.write(chunk);
          await witness.ask('ping');
          socket.destroy();
          await peer.closed;
        },
      ),
      { seed: 43, numRuns: 150 },
    );
    expect(await witness.ask('ping')).toMatchObject({ pong: true });
    await witness.close();
  }, 120_000);
});
