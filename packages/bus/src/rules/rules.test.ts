import { describe, expect, it, vi } from 'vitest';
import { createMemoryEngine } from '../engine/memory/memory.ts';
import { ChannelRules } from './rules.ts';

const DEFAULTS = {
  retention: { size: 500, ttlMs: 86_400_000, bytes: 1_000_000 },
  autoCreateChannels: true,
  channelIdleMs: 300_000,
  publishRequiresJoin: false,
};

function setup(base: readonly unknown[] = []) {
  const { store } = createMemoryEngine();
  const onFault = vi.fn();
  const make = () => {
    const rules = new ChannelRules(store, base, DEFAULTS, onFault);
    rules.start();
    return rules;
  };
  return { store, onFault, make, rules: make() };
}

describe('the rules of channels', () => {
  it('are the configuration where there are none', () => {
    const policy = setup().rules.policy('default', 'a', 'b');
    expect(policy).toMatchObject({
      retention: DEFAULTS.retention,
      publish: 'granted',
      autoCreate: true,
      idleMs: 300_000,
    });
  });

  it('let bytes alone bound what is kept for groups', () => {
    const { rules } = setup([
      { match: 'a:*', history: { size: 2, ttl_seconds: 1, bytes: 5_000 }, keep_for_groups: true },
    ]);
    const { size, ttlMs, bytes } = rules.policy('default', 'a', 'b').retention;
    expect(size).toBe(10_000_000);
    expect(ttlMs).toBeGreaterThan(86_400_000 * 365);
    expect(bytes).toBe(5_000);
  });

  it('share one policy among the channels that the same rules match', () => {
    const { rules } = setup([{ match: 'a:*', echo: true }]);
    expect(rules.policy('default', 'a', 'b')).toBe(rules.policy('default', 'a', 'c'));
    expect(rules.policy('default', 'a', 'b')).not.toBe(rules.policy('default', 'x', 'c'));
  });

  it('hold for one tenant alone when it has set them, over those of the file', async () => {
    const { rules } = setup([{ match: 'a:*', history: { size: 9, ttl_seconds: 5 } }]);
    expect(rules.own('red')).toEqual({ version: 0, rules: [] });
    await rules.set('red', [{ match: 'a:*', history: { size: 1 } }], 0);
    expect(rules.policy('red', 'a', 'b').retention).toEqual({ size: 1, ttlMs: 5_000, bytes: 1_000_000 });
    expect(rules.policy('blue', 'a', 'b').retention.size).toBe(9);
    expect(rules.merged('red', 'a', 'b').origins['history.size']?.from).toBe('store');
  });

  it('hold on other nodes at once, and after a restart', async () => {
    const { rules, make } = setup();
    const other = make();
    const told = vi.fn();
    other.changed.add(told);
    await rules.set('red', [{ match: 'a:*', echo: true }], 0);
    expect(other.policy('red', 'a', 'b').echo).toBe(true);
    expect(told).toHaveBeenCalledWith('red');
    const later = make();
    await later.load();
    expect(later.policy('red', 'a', 'b').echo).toBe(true);
  });

  it('let one of two admins win who set them at once', async () => {
    const { rules } = setup();
    const version = await rules.set('red', [{ match: 'a:b' }], 0);
    expect(() => rules.set('red', [], 0)).toThrow(
      expect.objectContaining({ code: 'CONFLICT', details: { version, if_version: 0 } }),
    );
    expect(await rules.set('red', [], version)).toBeGreaterThan(version);
  });

  it('are refused as a whole when a schema cannot be compiled', () => {
    const { rules } = setup();
    const given = [{ match: 'a:b' }, { match: 'a:c', schema: { schema: { $ref: 'x:y' }, mode: 'warn' } }];
    expect(() => rules.set('red', given, 0)).toThrow(/rules\.1\.schema\.schema: .*refers to "x:y"/);
    expect(rules.own('red').version).toBe(0);
    expect(() => setup(given)).toThrow(/rules\.1/);
  });

  it('are bounded in bytes', () => {
    const description = 'x'.repeat(60_000);
    const many = Array.from({ length: 5 }, (_, n) => ({
      match: `a:b${n}`,
      schema: { schema: { description }, mode: 'warn' },
    }));
    expect(() => setup().rules.set('red', many, 0)).toThrow(/at most 262144 bytes/);
  });

  it('stay as they were when another node has set what this one cannot read', async () => {
    const { rules, store, onFault } = setup();
    await rules.set('red', [{ match: 'a:*', echo: true }], 0);
    await store.set({ tenant: 'red', space: 'rules', namespace: '' }, 'rules', '[{"match":"a:*","future":1}]');
    expect(onFault).toHaveBeenCalledTimes(1);
    expect(rules.policy('red', 'a', 'b').echo).toBe(true);
  });
});
