import { describe, expect, it } from 'vitest';
import { systemSender } from '../../system-sender.ts';
import type { FakeClock } from '../fake-clock.suite.ts';
import { ownerOf, turn } from '../rig.suite.ts';
import { EVERY_SECOND, iterationsOf, open } from './rig.suite.ts';

describe('on whose behalf', () => {
  it('is bound by the grants of its owner', async () => {
    const rig = await open();
    const bound = rig.connect({ role: 'user', subject: 'ada', grants: { publish: ['r:x'] } });
    await expect(rig.schedule(bound, { channel: 'y' })).rejects.toMatchObject({ code: 'AUTHORIZATION_ERROR' });
    await expect(rig.schedule(bound, { room: '*:*', channel: undefined })).rejects.toMatchObject({
      code: 'VALIDATION_ERROR',
    });
    await rig.schedule(bound, EVERY_SECOND);
    rig.clock.advance(1_000);
    expect(await rig.fired()).toHaveLength(1);
    rig.renew(bound, { role: 'user', grants: { publish: [] } });
    rig.clock.advance(1_000);
    expect(await rig.fired()).toHaveLength(1);
    expect(rig.operator.counts).toMatchObject({ fired: 1, refused: 1 });
    rig.renew(bound, { role: 'guest' });
    rig.clock.advance(1_000);
    rig.renew(bound, { role: 'user' });
    rig.clock.advance(1_000);
    expect(iterationsOf(await rig.fired())).toEqual([1, 4]);
  });

  it('ends what is not durable when the last connection of its owner goes', async () => {
    const rig = await open();
    const [first, second] = [rig.connect({ subject: 'ada' }), rig.connect({ subject: 'ada' })];
    await rig.schedule(first, EVERY_SECOND);
    await rig.schedule(first, { ...EVERY_SECOND, channel: 'durable', durable: true });
    rig.bus.disconnect(first, 'gone');
    rig.clock.advance(1_000);
    expect(await rig.fired()).toHaveLength(1);
    rig.bus.disconnect(second, 'gone');
    rig.clock.advance(2_000);
    expect(await rig.fired()).toHaveLength(1);
    expect(await rig.fired('durable')).toHaveLength(3);
  });

  it('takes a job of the life of a connection from nobody who has none', async () => {
    const rig = await open();
    await expect(rig.schedule(systemSender('http:key', ownerOf({})), {})).rejects.toMatchObject({
      code: 'VALIDATION_ERROR',
      details: { field: 'durable' },
    });
    await rig.schedule(systemSender('http:key', ownerOf({})), { durable: true });
    const ada = rig.connect({ subject: 'ada' });
    await rig.schedule(systemSender('http:ada', ada.principal, ada.identity), {});
  });

  it('needs an admin, or a token that says so, for what is durable', async () => {
    const rig = await open();
    await expect(rig.schedule(rig.connect({ role: 'user' }), { durable: true })).rejects.toMatchObject({
      code: 'AUTHORIZATION_ERROR',
      details: { field: 'durable' },
    });
    await rig.schedule(rig.connect({ role: 'user', durable: true }), { durable: true });
    await rig.schedule(rig.connect(), { durable: true });
  });

  const soon = (clock: FakeClock): number => clock.now() + 2_500;

  it('ends a durable job of a user with the token, of an admin never', async () => {
    const rig = await open();
    const expiresAt = soon(rig.clock);
    const user = rig.connect({ role: 'user', subject: 'ada', durable: true, expiresAt });
    const admin = rig.connect({ subject: 'root', expiresAt });
    await rig.schedule(user, { ...EVERY_SECOND, channel: 'user', durable: true });
    await rig.schedule(admin, { ...EVERY_SECOND, channel: 'admin', durable: true });
    rig.clock.advance(1_000);
    for (const session of [user, admin]) rig.bus.disconnect(session, 'gone');
    rig.clock.advance(4_000);
    expect(await rig.fired('user')).toHaveLength(2);
    expect(await rig.fired('admin')).toHaveLength(5);
    expect(await rig.jobs(rig.connect())).toMatchObject([{ channel: 'admin' }]);
    expect(rig.operator.counts.expired).toBe(1);
    const entries = await rig.bus.engine.store.list({ tenant: 'default', space: 'cron', namespace: '' }, { limit: 9 });
    expect(entries).toHaveLength(1);
  });

  it('keeps to the token that was renewed last, over a restart too', async () => {
    const rig = await open();
    const { clock } = rig;
    const user = rig.connect({ role: 'user', subject: 'ada', durable: true, expiresAt: soon(clock) });
    await rig.schedule(user, { ...EVERY_SECOND, durable: true });
    rig.renew(user, { role: 'user', durable: true, expiresAt: clock.now() + 4_500 });
    rig.bus.disconnect(user, 'gone');
    await turn();
    await rig.operator.stop();
    const after = await open({}, clock, rig.bus.engine);
    clock.advance(10_000);
    expect(iterationsOf(await after.fired())).toEqual([1, 2, 3, 4]);
    expect(await after.jobs(after.connect())).toEqual([]);
  });

  it('clears out what has expired when somebody looks or needs the room', async () => {
    const rig = await open({ maxJobsPerSubject: 1 });
    const yearly = { cron: '0 0 1 6 *', durable: true };
    const user = rig.connect({ role: 'user', subject: 'ada', durable: true, expiresAt: soon(rig.clock) });
    await rig.schedule(user, yearly);
    rig.bus.disconnect(user, 'gone');
    rig.clock.advance(5_000);
    const again = rig.connect({ role: 'user', subject: 'bob', durable: true });
    expect(await rig.jobs(rig.connect())).toEqual([]);
    await rig.schedule(again, yearly);
    await expect(rig.schedule(again, yearly)).rejects.toMatchObject({ code: 'LIMIT_EXCEEDED' });
  });
});
