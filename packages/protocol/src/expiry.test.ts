import { describe, expect, it } from 'vitest';
import { encode, markReplayed, openDraft, seal, sealUnstored } from './encode.ts';
import { isExpired } from './expiry.ts';

const END = Date.parse('2030-01-01T00:00:00.000Z');
const marks = '"sender":{"type":"service","role":"user"},"expires_at":"2030-01-01T00:00:00.000Z"';
const source = { id: 'arq_1', type: 'event', room: 'r', channel: 'c', from: 'x', payload: {} } as const;

describe('isExpired', () => {
  it.each([
    ['a stored event', seal(openDraft({ ...source, marks }).open, 1, 'e')],
    ['a live one', sealUnstored(openDraft({ ...source, marks }).open)],
    ['a replayed one', markReplayed(seal(openDraft({ ...source, marks }).open, 1, 'e'))],
    [
      'a private message whose payload looks like metadata',
      encode({
        type: 'private',
        payload: { metadata: {} },
        metadata: { expires_at: '2030-01-01T00:00:00.000Z' },
      }),
    ],
    [
      'one with metadata of its own that looks like the server’s',
      seal(openDraft({ ...source, metadata: { a: { metadata: { b: 1 } } }, marks }).open, 1, 'e'),
    ],
  ])('tells %s by its end', (_what, text) => {
    expect(isExpired(text, END - 1)).toBe(false);
    expect(isExpired(text, END)).toBe(true);
  });

  it.each([
    ['in the payload', { ...source, payload: { expires_at: '2020-01-01T00:00:00.000Z' } }],
    ['deeper in the metadata', { ...source, metadata: { own: { expires_at: '2020-01-01T00:00:00.000Z' } } }],
    ['nowhere', source],
  ])('is not taken in by a time that stands %s', (_where, given) => {
    expect(isExpired(seal(openDraft(given).open, 1, 'e'), END)).toBe(false);
  });
});
