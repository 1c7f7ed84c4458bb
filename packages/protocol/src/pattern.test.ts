import { describe, expect, it } from 'vitest';
import { compilePattern, isChannelPattern } from './pattern.ts';

describe('channel patterns', () => {
  it.each(['orders.*', 'orders.>', '*.created', 'a/*/c', 'a.*.>', '>', '*/>', `${'a'.repeat(126)}.*`])(
    'takes %s as one',
    (text) => {
      expect(isChannelPattern(text)).toBe(true);
    },
  );

  it.each([
    '',
    '*',
    'orders',
    'orders.created',
    'ord*',
    '*s.a',
    'a.>.b',
    'a>',
    '.*',
    '-a.*',
    'a b.*',
    '**',
    'a.**',
    '>.a',
    'a:*',
    `${'a'.repeat(127)}.*`,
  ])('does not take %j as one', (text) => {
    expect(isChannelPattern(text)).toBe(false);
  });

  it.each([
    ['orders.*', 'orders.created', true],
    ['orders.*', 'orders.eu.created', false],
    ['orders.*', 'orders.eu/created', false],
    ['orders.*', 'orders', false],
    ['orders.*', 'orders.', false],
    ['orders.*', 'orders/created', false],
    ['orders.*', 'reorders.created', false],
    ['orders.>', 'orders.created', true],
    ['orders.>', 'orders.eu/created.late', true],
    ['orders.>', 'orders', false],
    ['orders.>', 'orders.', false],
    ['*.created', 'orders.created', true],
    ['*.created', 'orders.eu.created', false],
    ['a/*/c', 'a/b/c', true],
    ['a/*/c', 'a/b.b/c', false],
    ['>', 'anything/at.all', true],
    ['orders', 'orders', true],
    ['orders', 'orders2', false],
  ])('%s on %s: %s', (pattern, channel, expected) => {
    expect(compilePattern(pattern)(channel)).toBe(expected);
  });
});
