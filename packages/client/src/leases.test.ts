import { describe, expect, it } from 'vitest';
import { ArqonBusClient } from './client.ts';
import { failureOf, setUp } from './connected.suite.ts';
import { CommandError, LeaseLostError } from './errors.ts';

const SHORT = { ttlSeconds: 30 };

describe('leases', () => {
  it('are taken, renewed by themselves, and released', async () => {
    const { server, client, clock } = await setUp();
    const lease = await client.leases.acquire(['b', 'a'], SHORT);
    expect([lease.keys, lease.token, lease.held]).toEqual([['a', 'b'], 1, true]);
    const first = lease.expiresAt;
    await clock.advance(25_000);
    expect(server.sent('op.lease.renew').length).toBeGreaterThanOrEqual(2);
    expect(Date.parse(lease.expiresAt)).toBeGreaterThan(Date.parse(first));
    await clock.advance(60_000);
    expect(lease.held).toBe(true);
    await lease.release();
    expect(lease.held).toBe(false);
    expect(lease.signal.aborted).toBe(false);
    const { length } = server.sent('op.lease.renew');
    await clock.advance(60_000);
    expect(server.sent('op.lease.renew')).toHaveLength(length);
  });

  it('are refused while another has a key', async () => {
    const { server, client } = await setUp();
    const other = new ArqonBusClient({ ...server.options });
    await other.connect();
    await client.leases.acquire('printer/3');
    const refused = await failureOf(other.leases.acquire(['printer/3'], { waitMs: 5_000, keep: true, namespace: 'n' }));
    expect(refused).toBeInstanceOf(CommandError);
    expect(refused).toMatchObject({ code: 'CONFLICT', details: { key: 'printer/3' } });
    expect(server.sent('op.lease.acquire').at(-1)?.args).toEqual({
      keys: ['printer/3'],
      ttl_seconds: 30,
      wait_ms: 5_000,
      keep: true,
      namespace: 'n',
    });
    expect(await failureOf(client.leases.acquire([]))).toMatchObject({ code: 'INVALID_ARGUMENT' });
  });

  it('are released when the work is done, and when it fails', async () => {
    const { server, client } = await setUp();
    expect(await client.leases.acquire('k', SHORT, ({ token }) => token * 10)).toBe(10);
    const failing = client.leases.acquire('k', SHORT, () => Promise.reject(new Error('no paper')));
    expect(await failureOf(failing)).toMatchObject({ message: 'no paper' });
    expect(server.sent('op.lease.release')).toHaveLength(2);
    {
      await using lease = await client.leases.acquire('k');
      expect(lease.held).toBe(true);
    }
    expect(server.sent('op.lease.release')).toHaveLength(3);
  });

  it('are lost with the line, and say so', async () => {
    const { client, reconnect, clock, errors } = await setUp();
    const lease = await client.leases.acquire('k', SHORT);
    const lost: unknown[] = [];
    lease.on('lost', (error) => void lost.push(error));
    await reconnect();
    await clock.advance(15_000);
    expect(lost).toHaveLength(1);
    expect(lost[0]).toBeInstanceOf(LeaseLostError);
    expect(lease.signal.reason).toBe(lost[0]);
    expect(await failureOf(lease.release())).toBeInstanceOf(LeaseLostError);
    expect(errors).toEqual([]);
  });

  it('are kept across a lost line when asked for, and lost when they cannot be renewed in time', async () => {
    const { server, client, reconnect, clock } = await setUp();
    const lease = await client.leases.acquire('k', { ...SHORT, keep: true });
    await reconnect();
    await clock.advance(15_000);
    expect(lease.held).toBe(true);
    server.answer('op.lease.renew', () => undefined);
    await clock.advance(20_000);
    expect(lease.held).toBe(true);
    await clock.advance(30_000);
    expect(lease.held).toBe(false);
    expect(lease.signal.reason).toMatchObject({ code: 'LEASE_LOST' });
  });

  it('that were waited for are renewed at once, so that their end is known', async () => {
    const { server, client, clock } = await setUp();
    let grant: () => void = () => {};
    server.answer('op.lease.acquire', (_args, connection) => {
      const { id } = server.received.at(-1) ?? {};
      const payload = { lease_id: 'lease_late', token: 9, expires_at: '2030-01-01T00:01:00.000Z', keys: ['k'] };
      grant = () =>
        connection.send({
          type: 'command_response',
          request_id: id as string,
          command: 'op.lease.acquire',
          status: 'success',
          payload,
        });
      return undefined;
    });
    server.answer('op.lease.renew', () => ({
      lease_id: 'lease_late',
      token: 9,
      expires_at: '2030-01-01T00:02:00.000Z',
    }));
    const acquired = client.leases.acquire('k', { ttlSeconds: 5, waitMs: 20_000 });
    await clock.advance(15_000);
    grant();
    await clock.settle();
    expect(server.sent('op.lease.renew')).toHaveLength(1);
    const lease = await acquired;
    expect([lease.held, lease.expiresAt]).toEqual([true, '2030-01-01T00:02:00.000Z']);
    await lease.release().catch(() => {});
  });

  it('of other programs are renewed and released by their id', async () => {
    const { server, client } = await setUp();
    const lease = await client.leases.acquire('k', SHORT);
    await client.leases.renew(lease.id, { ttlSeconds: 60 });
    expect(server.sent('op.lease.renew')[0]?.args).toEqual({ lease_id: lease.id, ttl_seconds: 60 });
    await client.leases.release(lease.id);
    expect(await failureOf(client.leases.release(lease.id))).toBeInstanceOf(LeaseLostError);
    await lease.release().catch(() => {});
  });

  it('leave no timer behind when the client is closed', async () => {
    const { client, clock } = await setUp();
    const lease = await client.leases.acquire('k', SHORT);
    await client.close();
    expect(lease.held).toBe(false);
    expect(lease.signal.reason).toMatchObject({ code: 'CLOSED' });
    expect(clock.pending).toBe(0);
  });
});
