import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { exact, exactText, hashTag, Keys, slotOf, storeKeys } from './keys.ts';

const keys = new Keys(0);
const name = fc.constantFrom('default', 'a', 'A.b_c-9', '9'.repeat(128));
const channel = fc.constantFrom('*', 'general', 'a/b/', 'x._-/y');

describe('the keys of Redis', () => {
  it('computes slots as Redis Cluster does', () => {
    // The check value of CRC16 (XMODEM) is 0x31C3.
    expect(slotOf('123456789')).toBe(0x31c3 % 16_384);
    expect(slotOf('{user1000}.following')).toBe(slotOf('{user1000}.followers'));
    expect(hashTag('foo{}{bar}')).toBe('foo{}{bar}');
    expect(hashTag('foo{{bar}}zap')).toBe('{bar');
    expect(hashTag('foo{bar}{zap}')).toBe('bar');
  });

  it('puts all that one script touches for a room into one slot, whatever the sender calls itself', () => {
    fc.assert(
      fc.property(name, name, channel, fc.string({ unit: 'binary' }), (tenant, room, of, identity) => {
        const at = { tenant, room, channel: of };
        const touched = [keys.stream(at), keys.room(tenant, room), keys.idempotence(at, 'arq_1', identity)];
        expect(new Set(touched.map(hashTag))).toEqual(new Set([`${tenant}/${room}`]));
        expect(new Set(touched.map(slotOf)).size).toBe(1);
      }),
    );
  });

  it('puts rooms into partitions for a cluster, each whole, and all of them under topics of their own', () => {
    const parted = new Keys(0);
    parted.partitioned = true;
    const tags = new Set<string>();
    for (let n = 0; n < 2_000; n += 1) {
      const at = { tenant: 'default', room: `room-${n}`, channel: 'general' };
      const topic = parted.topic(at.tenant, at.room);
      const touched = [parted.stream(at), parted.room(at.tenant, at.room), parted.once(at, 'x.1'), topic];
      const [tag = '', ...others] = new Set(touched.map(hashTag));
      expect(others).toEqual([]);
      expect(tag).toMatch(/^p\d+$/);
      tags.add(tag);
      expect(parted.roomOfTopic(topic)).toEqual({ tenant: at.tenant, room: at.room });
    }
    expect(tags.size).toBe(128);
    const wide = parted.wideTopics('default');
    expect(new Set(wide.map(hashTag))).toEqual(tags);
    expect(parted.roomOfTopic(wide[0] ?? '')).toEqual({ tenant: 'default', room: '*' });
    expect(parted.roomOfTopic(parted.changes)).toBeNull();
    expect(parted.roomOfTopic(parted.nodeTopic(null))).toBeNull();
  });

  it('puts all that one script touches for a tenant’s space of the store into one slot', () => {
    const any = fc.string({ unit: 'binary' });
    fc.assert(
      fc.property(any, any, any, any, (tenant, space, namespace, other) => {
        const names = storeKeys(keys, tenant, space);
        const touched = [
          names.usage,
          names.expiries,
          names.log,
          names.entries(namespace),
          `${names.prefix}keys:${exact(other)}`,
        ];
        expect(new Set(touched.map(slotOf)).size).toBe(1);
      }),
    );
  });

  it('spreads rooms over the slots', () => {
    const slots = new Set(Array.from({ length: 1_000 }, (_, n) => slotOf(keys.room('default', `room-${n}`))));
    expect(slots.size).toBeGreaterThan(900);
  });

  it('keeps databases apart, whose publish/subscribe is one', () => {
    const other = new Keys(1);
    expect(other.topic('default', 'lab')).not.toBe(keys.topic('default', 'lab'));
    expect(other.roomOfTopic(keys.topic('default', 'lab'))).toBeNull();
    expect(keys.roomOfTopic(keys.topic('default', 'lab'))).toEqual({ tenant: 'default', room: 'lab' });
    expect(keys.roomOfTopic(keys.changes)).toBeNull();
    expect(keys.roomOfTopic(keys.nodeTopic('n'))).toBeNull();
  });

  it('writes any name so that it can be read again, in one line', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        expect(exactText(exact(text))).toBe(text);
        expect(exact(text)).not.toContain('\n');
      }),
    );
    expect(exact('\ud800')).not.toBe(exact('\udbff'));
  });
});
