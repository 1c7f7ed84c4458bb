import { BusError } from '@arqonbus/protocol';
import { describe, expect, it } from 'vitest';
import { MAX_RULES, parseRules } from './rule.ts';

function faultOf(given: unknown): BusError {
  try {
    parseRules(given);
  } catch (error) {
    if (error instanceof BusError) return error;
    throw error;
  }
  throw new Error('nothing was refused');
}

describe('a list of rules', () => {
  it('takes all that a rule may settle', () => {
    const rules = [
      { match: '*:*', history: { size: 10, bytes: 1_000, ttl_seconds: 60 }, publish: 'members' },
      { match: 'orders:*.created', retain_last: true, schema: { schema: { type: 'object' }, mode: 'warn' } },
      { match: 'team.*:notes/>', hook: { on: ['publish'], url: 'https://app.example/hook' } },
    ];
    expect(parseRules(rules)).toEqual(rules);
  });

  it('takes bounds of mailboxes, and nothing else for them', () => {
    const rules = [
      { match: '@:*', history: { size: 10 } },
      { match: '@:ada', history: { bytes: 1_000, ttl_seconds: 60 } },
    ];
    expect(parseRules(rules)).toEqual(rules);
    const fault = faultOf([{ match: '@:*', history: { size: 1 }, publish: 'nobody' }]);
    expect(fault.details).toMatchObject({ field: 'rules.0.publish' });
    expect(fault.message).toContain('settles "history" alone');
  });

  it.each(['@', '@:', '@ada:x', 'orders', 'orders:', ':new', 'a:b:c', 'a/b:c', 'orders:*x', 'a:>.b', '', '_x:y'])(
    'refuses to match %j',
    (match) => {
      expect(faultOf([{ match }])).toMatchObject({ code: 'VALIDATION_ERROR', details: { field: 'rules.0.match' } });
    },
  );

  it('names the place of a fault and the nearest known field', () => {
    const fault = faultOf([{ match: 'a:b' }, { match: 'a:*', history: { siez: 3 } }]);
    expect(fault.details).toMatchObject({ field: 'rules.1.history.siez' });
    expect(fault.message).toBe('rules.1.history.siez: there is no such field; did you mean "size"?');
  });

  it('tells every fault at once', () => {
    const fault = faultOf([{ match: 'a:b', retain_lats: true, rate_per_second: -1 }]);
    expect(fault.details.faults).toHaveLength(2);
  });

  it.each([
    ['history.size', { history: { size: 100_001 } }],
    ['history.ttl_seconds', { history: { ttl_seconds: 0 } }],
    ['dedupe_seconds', { dedupe_seconds: 86_401 }],
    ['publish', { publish: 'everybody' }],
    ['hook.url', { hook: { on: ['join'], url: 'file:///etc/passwd' } }],
  ])('bounds %s', (field, settings) => {
    expect(faultOf([{ match: 'a:b', ...settings }]).details).toMatchObject({ field: `rules.0.${field}` });
  });

  it('has a bound of its own', () => {
    expect(faultOf(Array.from({ length: MAX_RULES + 1 }, () => ({ match: 'a:b' }))).code).toBe('VALIDATION_ERROR');
  });
});
