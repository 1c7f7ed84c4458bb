import { describe, expect, it } from 'vitest';
import { Peer } from '../../../../test/fixtures/peer.ts';
import { startTestServer } from '../../../../test/fixtures/start.ts';
import { Watcher } from '../../../../test/fixtures/watcher.ts';

type Line = Record<string, unknown>;

function lines(log: readonly string[]): Line[] {
  return log.map((line) => JSON.parse(line) as Line);
}

describe('message_routed', () => {
  it('tells every message at rate 1, without its content, and none of the telemetry room', async () => {
    const server = await startTestServer({ ARQONBUS_TELEMETRY_MESSAGE_SAMPLE_RATE: '1' });
    const watcher = await Watcher.connect(server.urls.telemetry);
    await watcher.ask({ type: 'subscribe', events: ['message_routed'] }, 'subscribed');
    const peer = await Peer.connect(server.urls.bus);
    const ack = await peer.publish({ room: 'science', channel: 'explore', payload: { secret: 'content' } });
    const routed = await watcher.event('message_routed');
    expect(routed.payload).toEqual({
      message_id: ack.request_id,
      client_id: peer.id,
      room: 'science',
      channel: 'explore',
      sequence: 1,
      characters: expect.any(Number),
    });
    expect(await watcher.seen()).toEqual([]);
    await server.stop();
  });

  it('is off by default', async () => {
    const server = await startTestServer();
    const watcher = await Watcher.connect(server.urls.telemetry);
    const peer = await Peer.connect(server.urls.bus);
    await peer.publish({ room: 'science', channel: 'explore' });
    expect(await watcher.seen()).not.toContain('message_routed');
    await server.stop();
  });
});

describe('server_stats', () => {
  it('comes every interval, as an event and as a line of the log', async () => {
    const server = await startTestServer({ ARQONBUS_STATS_INTERVAL_SECONDS: '0.05' });
    const watcher = await Watcher.connect(server.urls.telemetry);
    const peer = await Peer.connect(server.urls.bus);
    await peer.publish({ room: 'science', channel: 'explore' });
    await watcher.event('server_stats');
    const { payload } = await watcher.next(
      ({ eventType, payload: figures }) => eventType === 'server_stats' && figures.messages_total > 0,
    );
    expect(payload).toMatchObject({
      clients: 1,
      rooms: 2,
      channels: 9,
      messages_total: 1,
      messages_per_minute: 1,
      telemetry_clients: 1,
      memory_bytes: expect.any(Number),
      storage_healthy: true,
    });
    const line = lines(server.log).find(({ msg, messages_total }) => msg === 'server stats' && messages_total === 1);
    expect(line).toMatchObject({ level: 'info', clients: 1, rooms: 2, channels: 9, messages_per_minute: 1 });
    await server.stop();
  });

  it('does not come all the time when its interval is longer than a timer of the platform takes', async () => {
    const server = await startTestServer({ ARQONBUS_STATS_INTERVAL_SECONDS: '2592000' });
    const watcher = await Watcher.connect(server.urls.telemetry);
    for (let i = 0; i < 20; i += 1) await watcher.ask({ type: 'ping' }, 'pong');
    expect(await watcher.seen()).not.toContain('server_stats');
    await server.stop();
  });
});

describe('the log', () => {
  it('has connections, memberships and commands, and no content', async () => {
    const server = await startTestServer();
    const peer = await Peer.connect(server.urls.bus);
    await peer.ask('join_channel', { room: 'science', channel: 'explore' });
    await peer.publish({ room: 'science', channel: 'explore', payload: { word: 'confidential-content' } });
    await peer.publish({
      type: 'telemetry',
      payload: { eventType: 'mine', payload: { word: 'confidential-content' } },
    });
    const asked = await peer.command('channel_info', { room: 'nowhere', channel: 'no' });
    const refused = await peer.publish({ type: 'private', room: 'lab', payload: { word: 'confidential-content' } });
    peer.sendRaw('{"confidential-content"');
    await peer.next(({ error_code }) => error_code === 'INVALID_JSON');
    await peer.close();
    await server.stop();
    const written = lines(server.log);
    const client_id = peer.id;
    expect(written).toContainEqual(expect.objectContaining({ level: 'info', event: 'client_connected', client_id }));
    expect(written).toContainEqual(
      expect.objectContaining({ event: 'client_joined', client_id, room: 'science', channel: 'explore' }),
    );
    expect(written).toContainEqual(
      expect.objectContaining({
        event: 'command_executed',
        client_id,
        command: 'channel_info',
        message_id: asked.request_id,
        error_code: 'NOT_FOUND',
      }),
    );
    const refusal = { msg: 'message refused', client_id };
    expect(written).toContainEqual(
      expect.objectContaining({
        ...refusal,
        error_code: 'VALIDATION_ERROR',
        message_id: refused.request_id,
        room: 'lab',
      }),
    );
    expect(written).toContainEqual(expect.objectContaining({ ...refusal, error_code: 'INVALID_JSON' }));
    expect(written).toContainEqual(expect.objectContaining({ event: 'server_stopping' }));
    expect(server.log.join('\n')).not.toContain('confidential-content');
  });

  it('has a line for each routed message at debug, without its content', async () => {
    const server = await startTestServer({ ARQONBUS_LOG_LEVEL: 'debug' });
    const peer = await Peer.connect(server.urls.bus);
    const ack = await peer.publish({ room: 'science', channel: 'explore', payload: { word: 'confidential-content' } });
    await server.stop();
    expect(lines(server.log)).toContainEqual(
      expect.objectContaining({
        level: 'debug',
        msg: 'message routed',
        message_id: ack.request_id,
        client_id: peer.id,
        room: 'science',
        channel: 'explore',
      }),
    );
    expect(server.log.join('\n')).not.toContain('confidential-content');
  });
});

describe('the end', () => {
  it('is told to telemetry clients, who are closed with 1001', async () => {
    const server = await startTestServer();
    const watcher = await Watcher.connect(server.urls.telemetry);
    await server.stop();
    expect(await watcher.closed).toBe(1001);
    expect(watcher.inbox.map(({ eventType }) => eventType)).toContain('server_stopping');
  });
});
