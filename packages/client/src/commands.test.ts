import { describe, expect, it } from 'vitest';
import { failureOf, setUp } from './connected.suite.ts';
import { BusError } from './testing/fake-server.ts';

describe('commands', () => {
  it('are typed, answered, and refused with their error', async () => {
    const { server, client } = await setUp();
    server.answer('channel_info', ({ room }) => {
      if (room === 'secret') throw new BusError('AUTHORIZATION_ERROR', 'No.', { room });
      return { room, channel: 'explore', sequence: 7, members: [] };
    });
    const info = await client.command('channel_info', { room: 'science', channel: 'explore' });
    expect(info.sequence).toBe(7);
    expect(await client.channelInfo('science:explore')).toEqual(info);
    expect(await failureOf(client.channelInfo('secret'))).toMatchObject({
      name: 'CommandError',
      command: 'channel_info',
      code: 'AUTHORIZATION_ERROR',
      retryable: false,
      details: { room: 'secret' },
    });
    expect(await failureOf(client.status())).toMatchObject({ code: 'COMMAND_NOT_FOUND' });
  });

  it('have shorthands that say the same', async () => {
    const { server, client, clock } = await setUp();
    for (const name of ['status', 'help', 'create_channel', 'delete_channel']) server.answer(name, () => ({}));
    server.answer('list_rooms', () => ({ rooms: ['r'] }));
    server.answer('list_channels', () => ({ channels: ['c'] }));
    expect(await client.rooms()).toEqual(['r']);
    expect(await client.channels('science')).toEqual(['c']);
    await client.status();
    await client.help('ping');
    await client.createChannel('science:new', { description: 'new', retain: true });
    await client.deleteChannel('science:new');
    expect(await client.ping()).toBeGreaterThanOrEqual(0);
    await clock.settle();
    expect(server.received.map(({ command, args }) => [command, args])).toEqual([
      ['list_rooms', {}],
      ['list_channels', { room: 'science' }],
      ['status', {}],
      ['help', { command: 'ping' }],
      ['create_channel', { room: 'science', channel: 'new', description: 'new', retain: true }],
      ['delete_channel', { room: 'science', channel: 'new' }],
      ['ping', {}],
    ]);
  });

  it('are sent again after a break when that is harmless, and rejected when it is not', async () => {
    const { server, client, clock } = await setUp();
    const { connection } = server;
    connection.freeze();
    const reading = client.command('history', { room: 'science', channel: 'explore' });
    const writing = failureOf(client.command('create_channel', { room: 'science', channel: 'new' }));
    await clock.settle();
    connection.kill();
    expect(await writing).toMatchObject({ code: 'CONNECTION_LOST', retryable: true });
    await clock.advance(250);
    expect(await reading).toMatchObject({ messages: [] });
  });

  it('time out', async () => {
    const { server, client, clock } = await setUp();
    server.connection.freeze();
    const late = failureOf(client.status({ timeoutMs: 70 }));
    await clock.advance(70);
    expect(await late).toMatchObject({ code: 'TIMEOUT', message: 'No answer to status within 70 ms.' });
  });

  it('identify is kept for the connections to come', async () => {
    const { server, client, clock } = await setUp({ screenName: 'Ada', clientType: 'human' });
    await client.identify({ screenName: 'Grace', avatar: 'owl' });
    server.kill();
    await clock.advance(250);
    const { query } = server.connection;
    expect([query.get('screen_name'), query.get('avatar'), query.get('client_type')]).toEqual([
      'Grace',
      'owl',
      'human',
    ]);
  });
});
