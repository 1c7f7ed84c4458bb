import { describe, expect, it } from 'vitest';
import { ArqonBusClient } from './client.ts';
import { failureOf, setUp } from './connected.suite.ts';
import { MailboxFullError } from './errors.ts';
import type { Receipt } from './receipts.ts';

/** A token of a subject, as far as a client reads it. */
function tokenOf(sub: string): string {
  const claims = btoa(String.fromCharCode(...new TextEncoder().encode(JSON.stringify({ sub }))));
  return `head.${claims.replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '')}.signature`;
}

describe('mail', () => {
  it('is kept for its subject, and read as a group', async () => {
    const { server, client } = await setUp();
    const ada = new ArqonBusClient({ ...server.options, token: tokenOf('ada') });
    await ada.connect();
    const mailbox = await ada.mailbox<{ text: string }>();
    expect(server.sent('join_channel').at(-1)?.args).toMatchObject({ room: '@', channel: 'ada', group: 'inbox' });
    const sent = await client.send('@ada', { text: 'hello' });
    expect(sent).toMatchObject({ queued: ['@ada'], undelivered: [] });
    const message = await mailbox.next();
    expect([message.id, message.payload.text]).toEqual([sent.id, 'hello']);
    await message.ack();
  });

  it('resolves the receipt when the message is handled, and tells it as an event too', async () => {
    const { server, client, clock } = await setUp({ token: tokenOf('bob') });
    const told: Receipt[] = [];
    client.on('receipt', (receipt) => void told.push(receipt));
    const mailbox = await client.mailbox({ onMessage: () => {} });
    const sent = await client.send('@bob', { n: 1 }, { receipt: true });
    const receipt = await sent.handled;
    expect(receipt).toEqual({ id: sent.id, stage: 'handled', by: 'somebody', attempts: 1 });
    await clock.settle();
    expect(told).toEqual([receipt]);
    expect(mailbox.group).toBe('inbox');
    // Without a receipt there is nothing to wait for.
    expect((await client.send('@bob', {})).handled).toBeUndefined();
    expect(server.sent('private').at(-1)).not.toHaveProperty('options');
  });

  it('tells a receipt that waited in the mailbox as any other, once, and acknowledges it', async () => {
    const { server, client, clock } = await setUp({ token: tokenOf('bob') });
    const told: Receipt[] = [];
    const read: string[] = [];
    client.on('receipt', (receipt) => void told.push(receipt));
    await client.mailbox({ onMessage: ({ id }) => void read.push(id) });
    const { handled } = await client.send('@ada', {}, { receipt: true, id: 'arq_asked' });
    const mail = (token: string, more: object = {}): void =>
      server.connection.send({
        ...{ id: 'arq_receipt', type: 'private', room: '@', channel: 'bob', from: 'arqonbus', to: '@bob' },
        ...{ request_id: 'arq_asked', payload: { stage: 'handled', by: { subject: 'ada' }, attempts: 2 } },
        metadata: { delivery: { group: 'inbox', token, attempt: 1, deadline: '2100-01-01T00:00:00.000Z' } },
        ...more,
      } as never);
    mail('one');
    // The answer was lost: it comes again.
    mail('two');
    // Whoever writes the same is not the bus, and what the bus writes otherwise is mail.
    mail('three', { id: 'arq_forged', from: 'arq_client_eve' });
    mail('four', { id: 'arq_other', payload: { text: 'hello' } });
    expect(await handled).toEqual({ id: 'arq_asked', stage: 'handled', by: 'ada', attempts: 2 });
    await clock.settle();
    expect(told).toEqual([await handled]);
    expect(read).toEqual(['arq_forged', 'arq_other']);
    // Answers are gathered for a moment before they go.
    const acked = () => server.sent('delivery.ack').flatMap(({ args }) => args?.tokens);
    await expect.poll(() => acked().toSorted()).toEqual(['four', 'one', 'three', 'two']);
  });

  it('tells a receipt of an event when its group has rejected it', async () => {
    const { client } = await setUp();
    await client.subscribe('orders:new', { group: 'billing', onMessage: (message) => message.reject('never') });
    const { handled } = await client.publish('orders:new', { n: 1 }, { receipt: 'billing' });
    expect(await handled).toMatchObject({ stage: 'rejected' });
  });

  it('gives up on a receipt when the client ends', async () => {
    const { client } = await setUp();
    const { handled } = await client.send('@nobody', {}, { receipt: true });
    const over = failureOf(handled as Promise<unknown>);
    await client.close();
    expect(await over).toMatchObject({ code: 'CLOSED' });
  });

  it('is refused by a full mailbox with a class of its own', async () => {
    const { server, client } = await setUp();
    server.mailboxSize = 1;
    await client.send('@ada', { n: 1 });
    const refused = await failureOf(client.send('@ada', { n: 2 }));
    expect(refused).toBeInstanceOf(MailboxFullError);
    expect(refused).toMatchObject({ details: { pending: 1 }, retryable: true });
  });

  it('needs a subject, which the address may tell; any name has a mailbox', async () => {
    const { server, client } = await setUp();
    expect(await failureOf(client.mailbox())).toMatchObject({ code: 'INVALID_ARGUMENT' });
    await client.mailbox({ subject: 'ä b' });
    expect(server.sent('join_channel').at(-1)?.args).toMatchObject({ room: '@', channel: '~w6QgYg' });
    const named = new ArqonBusClient({ ...server.options, subject: 'cyd' });
    await named.connect();
    expect(server.connection.query.get('subject')).toBe('cyd');
    await named.mailbox({ group: 'archive' });
    expect(server.sent('join_channel').at(-1)?.args).toMatchObject({ channel: 'cyd', group: 'archive' });
  });
});
