import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { EventReader } from '../fixtures/event-stream.ts';
import { ask } from '../fixtures/http.ts';
import { Peer } from '../fixtures/peer.ts';
import { startTestServer, type TestServer } from '../fixtures/start.ts';

let server: TestServer;
let writer: Peer;

beforeAll(async () => {
  server = await startTestServer();
  writer = await Peer.connect(server.urls.bus);
});
afterAll(async () => {
  await writer.close();
  await server.stop();
});

/** Opens a stream in a channel of its own, with a first text. */
async function begin(channel: string, text: string): Promise<string> {
  const { stream_id } = await writer.ask('stream.open', { room: 'talk', channel });
  await writer.ask('stream.append', { stream_id, text });
  return String(stream_id);
}

describe('token streams of the program', () => {
  it('reach a reader over server-sent events, who comes late, and goes on after what it had', async () => {
    const stream_id = await begin('sse', 'so far');
    const reader = await EventReader.open(`${server.urls.http}/v1/stream?join=talk:sse`);
    const first = await reader.envelope(({ type }) => type === 'event');
    expect(first).toMatchObject({
      payload: { text: 'so far' },
      metadata: { stream: { offset: 0, state: 'streaming' } },
    });
    await writer.ask('stream.append', { stream_id, text: ' and on' });
    const second = await reader.envelope(({ type }) => type === 'event');
    expect(second).toMatchObject({ payload: { text: ' and on' }, metadata: { stream: { offset: 6 } } });
    reader.close();
    const again = await EventReader.open(`${server.urls.http}/v1/stream?join=talk:sse`, {
      'last-event-id': reader.lastId,
    });
    const whole = await again.envelope(({ type }) => type === 'event');
    expect(whole).toMatchObject({ payload: { text: 'so far and on' }, metadata: { stream: { offset: 0 } } });
    await writer.ask('stream.close', { stream_id, status: 'complete' });
    const end = await again.envelope(({ type }) => type === 'event');
    expect(end).toMatchObject({ metadata: { sequence: 1, stream: { offset: 13, state: 'complete' } } });
    again.close();
  });

  it('are written and listed over HTTP', async () => {
    const command = async (name: string, args: object): Promise<object> => {
      const { status, json } = await ask(`${server.urls.http}/v1/commands/${name}`, { body: args });
      expect([name, status]).toEqual([name, 200]);
      return json as object;
    };
    await command('stream.open', { room: 'talk', channel: 'http', id: 'by-http' });
    await command('stream.append', { stream_id: 'by-http', text: 'one' });
    const listed = await command('stream.list', { room: 'talk', channel: 'http' });
    expect(listed).toMatchObject({ streams: [{ stream_id: 'by-http', length: 3, state: 'streaming' }], next: null });
    expect(await command('stream.close', { stream_id: 'by-http', status: 'complete' })).toMatchObject({ sequence: 1 });
  });

  it('are held to the content policy over several appends, each channel to its own', async () => {
    const guarded = await startTestServer({
      ARQONBUS_CASIL_ENABLED: 'true',
      ARQONBUS_CASIL_MODE: 'enforce',
      ARQONBUS_CASIL_BLOCK_ON_PROBABLE_SECRET: 'true',
      ARQONBUS_CASIL_SCOPE_INCLUDE: 'vault:*',
    });
    const peer = await Peer.connect(guarded.urls.bus);
    const [half, rest] = ['the key is AKIAIOSFOD', 'NN7EXAMPLQ, and that is it'];
    for (const [room, isBlocked] of [
      ['vault', true],
      ['open', false],
    ] as const) {
      const { stream_id } = await peer.ask('stream.open', { room, channel: 'c' });
      await peer.ask('stream.append', { stream_id, text: half });
      const { status, error_code } = await peer.command('stream.append', { stream_id, text: rest });
      expect([room, status, error_code]).toEqual(
        isBlocked ? [room, 'error', 'CASIL_POLICY_BLOCKED_SECRET'] : [room, 'success', undefined],
      );
      await peer.ask('stream.close', { stream_id, status: 'complete' });
    }
    await peer.close();
    await guarded.stop();
  });

  it('are told of in the welcome', async () => {
    expect(writer.welcome.payload.features).toContain('streams');
  });
});
