import { describe, expectTypeOf, it } from 'vitest';
import type { Ack, ArqonBusClient, Message, PrivateAck, Sent } from './index.ts';

// These are for the compiler: nothing here runs.
function program(client: ArqonBusClient): unknown[] {
  return [
    // @ts-expect-error op.cron.cancel needs a job
    client.command('op.cron.cancel', {}),
    // @ts-expect-error and its arguments
    client.command('op.cron.cancel'),
    // @ts-expect-error there is no such command
    client.command('no_such_command', {}),
    // @ts-expect-error an argument that the command does not have
    client.command('list_channels', { room: 'science', colour: 'red' }),
    // @ts-expect-error a webhook needs its address
    client.webhooks.register({}),
    // @ts-expect-error a payload is an object
    client.publish('science:explore', 'text'),
    // @ts-expect-error a handler's result is an object
    client.onRequest(() => 'text'),
    client.status(),
    client.command('status'),
    client.webhooks.list(),
  ];
}

describe('the types', () => {
  it('follow from the names of commands, from options and from what the caller says of payloads', () => {
    expectTypeOf(program).toBeFunction();
    expectTypeOf<ArqonBusClient['ping']>().returns.resolves.toEqualTypeOf<number>();
    const reads = async (client: ArqonBusClient): Promise<void> => {
      expectTypeOf((await client.command('channel_info', { room: 'science' })).sequence).toEqualTypeOf<number>();
      expectTypeOf((await client.cron.schedule({ room: 'a', payload: {} })).job_id).toEqualTypeOf<string>();
      expectTypeOf(await client.publish('a:b', { n: 1 })).toEqualTypeOf<Ack>();
      expectTypeOf(await client.publish('a:b', {}, { ack: true })).toEqualTypeOf<Ack>();
      expectTypeOf(await client.publish('a:b', {}, { ack: false })).toEqualTypeOf<Sent>();
      expectTypeOf(await client.send('arq_client_1', {})).toEqualTypeOf<PrivateAck>();
      const subscription = await client.subscribe<{ n: number }>('a:b');
      for await (const message of subscription) expectTypeOf(message).toEqualTypeOf<Message<{ n: number }>>();
      expectTypeOf((await client.request<{ sum: number }>('x', {})).payload.sum).toEqualTypeOf<number>();
      client.on('reconnecting', ({ delayMs }) => expectTypeOf(delayMs).toEqualTypeOf<number>());
    };
    expectTypeOf(reads).toBeFunction();
  });
});
