import { BusError } from '@arqonbus/protocol';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { openReceiver, openRig } from './rig.suite.ts';

const COMMANDS = ['register', 'list', 'unregister', 'dead_letters', 'retry'] as const;

describe('tenants', () => {
  it('reach no rule of another by any argument of any command', async () => {
    const [rig, receiver] = await Promise.all([openRig(), openReceiver()]);
    const victim = rig.connect({ tenant: 'alpha', subject: 'alice' });
    const attacker = rig.connect({ tenant: 'beta', subject: 'alice' });
    const keeper = rig.connect({ tenant: 'alpha', subject: 'alice' });
    receiver.answer = 400;
    const { rule_id } = await rig.run(victim, 'op.webhook.register', { url: receiver.url, durable: true });
    await rig.run(keeper, 'op.webhook.register', { url: receiver.url, room: 'science' });
    rig.publish(victim, 'science', 'a', 'secret of alpha');
    await rig.until(() => rig.failures.length === 2);
    // Telemetry of these very commands passes through the queue of a rule for all rooms.
    const rules = async () => (await rig.run(victim, 'op.webhook.list', {})).rules.map(({ queued, ...rule }) => rule);
    await expect.poll(rules).toMatchObject([{ dead_letters: 1 }, { dead_letters: 1 }]);
    const { dead_letters } = await rig.run(victim, 'op.webhook.dead_letters', { rule_id });
    const before = await rules();

    const known = fc.constantFrom(
      rule_id,
      `alpha/${rule_id}`,
      `../alpha/${rule_id}`,
      dead_letters[0]?.delivery_id ?? '',
      'alpha',
      'alpha/science',
      'science',
      '*',
      '__proto__',
      'constructor',
      'toString',
    );
    const value = fc.oneof(known, known, fc.jsonValue({ maxDepth: 2 }));
    const keys = fc.constantFrom(
      ...['rule_id', 'delivery_id', 'room', 'channel', 'url', 'durable', 'headers', 'tenant', 'owner', '__proto__'],
    );
    const args = fc.oneof(
      fc.record({ rule_id: known }),
      fc.record({ rule_id: known, delivery_id: known }),
      fc.record({ url: fc.constant('https://example.com/'), room: known }),
      fc.dictionary(keys, value),
    );
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...COMMANDS), args, async (name, given) => {
        let answer: unknown;
        try {
          answer = await rig.run(attacker, `op.webhook.${name}`, given);
        } catch (error) {
          expect(error).toBeInstanceOf(BusError);
          expect((error as BusError).code).not.toBe('INTERNAL_ERROR');
          // What names a rule of alpha's is answered as if there were none.
          if (name !== 'register' && Object.keys(given).every((key) => key === 'rule_id' || key === 'delivery_id')) {
            expect(['NOT_FOUND', 'VALIDATION_ERROR']).toContain((error as BusError).code);
          }
          return;
        }
        const text = JSON.stringify(answer);
        expect(text).not.toContain('secret of alpha');
        // The rule's id may come back as the room of a rule of the attacker's own; its URL can come from nowhere else.
        expect(text).not.toContain(receiver.url);
      }),
      { numRuns: 300 },
    );
    expect(await rules()).toEqual(before);
  });

  it('get no event of another, whatever their rules name', async () => {
    const [rig, mine, theirs] = await Promise.all([openRig(), openReceiver(), openReceiver()]);
    const attacker = rig.connect({ tenant: 'beta' });
    const victim = rig.connect({ tenant: 'alpha' });
    const other = rig.connect({ tenant: 'beta' });
    for (const place of [{}, { room: 'science' }, { room: 'science', channel: 'a' }, { room: 'alpha' }]) {
      await rig.run(attacker, 'op.webhook.register', { url: mine.url, ...place });
    }
    await rig.run(victim, 'op.webhook.register', { url: theirs.url });
    rig.publish(victim, 'science', 'a', 'alpha');
    rig.publish(victim, 'alpha', 'a', 'alpha');
    rig.publish(other, 'science', 'a', 'beta');
    await Promise.all([mine.until(3), theirs.until(2)]);
    expect(mine.numbers).toEqual(['beta', 'beta', 'beta']);
    expect(theirs.numbers).toEqual(['alpha', 'alpha']);
  });
});
