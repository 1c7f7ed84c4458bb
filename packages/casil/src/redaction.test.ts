import type { CasilSettings, JsonObject } from '@arqonbus/protocol';
import { describe, expect, it } from 'vitest';
import { inspect } from './inspect.ts';
import { compilePolicy } from './policy.ts';
import { REDACTED, redactParts } from './redaction.ts';
import { DEFAULT_CASIL_SETTINGS } from './settings.ts';

function redact(payload: JsonObject, settings: Partial<CasilSettings>): JsonObject {
  const compiled = compilePolicy({
    ...DEFAULT_CASIL_SETTINGS,
    mode: 'enforce',
    transport_redaction: true,
    redaction_paths: [],
    ...settings,
  });
  if (!compiled.ok) throw new Error(JSON.stringify(compiled.faults));
  return inspect(compiled.policy, { type: 'event', room: 'r', channel: 'c', payload }).payload;
}

describe('redactParts', () => {
  const part = (start: number, end: number) => ({ start, end });

  it('puts one token for parts that overlap or touch, in any order', () => {
    expect(redactParts('abcdefgh', [part(5, 6), part(1, 3), part(2, 4), part(4, 5)])).toBe(`a${REDACTED}gh`);
    expect(redactParts('abcdefgh', [part(0, 1), part(7, 8)])).toBe(`${REDACTED}bcdefg${REDACTED}`);
  });

  it('joins with tokens that are there already', () => {
    const text = `ab${REDACTED}cd`;
    expect(redactParts(text, [part(1, 2)])).toBe(`a${REDACTED}cd`);
    expect(redactParts(text, [part(3, 17)])).toBe(`ab${REDACTED}d`);
    expect(redactParts(text, [part(0, 1)])).toBe(`${REDACTED}b${REDACTED}cd`);
  });

  it('gives the whole text up when there are too many parts', () => {
    const text = 'a '.repeat(300);
    const parts = Array.from({ length: 300 }, (_, i) => part(i * 2, i * 2 + 1));
    expect(redactParts(text, parts.slice(0, 256))).toContain('a');
    expect(redactParts(text, parts)).toBe(REDACTED);
  });
});

describe('redaction_paths', () => {
  it('redacts a name at any depth, in any case, whatever the value', () => {
    const payload = { Pin: 1, a: [{ PIN: { x: 1 } }, { pins: 2 }], b: { pin: null } };
    expect(redact(payload, { redaction_paths: ['pin'] })).toEqual({
      Pin: REDACTED,
      a: [{ PIN: REDACTED }, { pins: 2 }],
      b: { pin: REDACTED },
    });
  });

  it('follows dotted paths from the root only, with stars for any member or item', () => {
    const payload = {
      user: { auth: { code: 'a' } },
      items: [{ pin: 1 }, { pin: 2 }],
      deep: { user: { auth: { code: 'b' } } },
    };
    const settings = { redaction_paths: ['user.AUTH.code', 'items.*.pin'] };
    expect(redact(payload, settings)).toEqual({
      user: { auth: { code: REDACTED } },
      items: [{ pin: REDACTED }, { pin: REDACTED }],
      deep: { user: { auth: { code: 'b' } } },
    });
    expect(redact({ items: ['a', 'b'] }, { redaction_paths: ['items.1'] })).toEqual({ items: ['a', REDACTED] });
    expect(redact({ a: { b: 1, c: { d: 2 } } }, { redaction_paths: ['*.b', 'a.*.d'] })).toEqual({
      a: { b: REDACTED, c: { d: REDACTED } },
    });
  });

  it('redacts a field called __proto__ without touching prototypes', () => {
    const payload = JSON.parse('{"__proto__":{"pin":"1"},"x":{"__proto__":"y","pin":2}}') as JsonObject;
    const text = JSON.stringify(redact(payload, { redaction_paths: ['pin'] }));
    expect(text).toBe(`{"__proto__":{"pin":"${REDACTED}"},"x":{"__proto__":"y","pin":"${REDACTED}"}}`);
    expect(({} as JsonObject).pin).toBeUndefined();
    const named = redact(payload, { redaction_paths: ['__proto__'] });
    expect(JSON.stringify(named)).toBe(`{"__proto__":"${REDACTED}","x":{"__proto__":"${REDACTED}","pin":2}}`);
    expect(Object.getPrototypeOf(named)).toBe(Object.prototype);
  });
});

describe('redaction_patterns', () => {
  it('redacts what matches in any string, and counts it as a secret', () => {
    expect(redact({ a: ['id EMP-1234, EMP-9', 7] }, { redaction_patterns: ['EMP-\\d+'] })).toEqual({
      a: [`id ${REDACTED}, ${REDACTED}`, 7],
    });
  });

  it('understands inline flags, boundaries and lazy repetition', () => {
    const one = (pattern: string, text: string) => redact({ text }, { redaction_patterns: [pattern] }).text;
    expect(one('(?i)project x', 'PROJECT X!')).toBe(`${REDACTED}!`);
    expect(one('\\bcat\\b', 'cat concat cat')).toBe(`${REDACTED} concat ${REDACTED}`);
    expect(one('<.*?>', '<a> <b>')).toBe(`${REDACTED} ${REDACTED}`);
    expect(one('(?m)^x$', 'x\ny\nx')).toBe(`${REDACTED}\ny\n${REDACTED}`);
    expect(one('\\x{1F600}+', 'a😀😀b')).toBe(`a${REDACTED}b`);
  });

  it('matches its own token no more', () => {
    for (const pattern of ['RED', '\\*+', '.+', 'x\\*', '\\w+']) {
      const once = redact({ text: 'see xRED* and more' }, { redaction_patterns: [pattern] });
      expect(redact(once, { redaction_patterns: [pattern] })).toBe(once);
    }
  });
});

describe('sensitive names', () => {
  const sensitive = (payload: JsonObject) => redact(payload, {});

  it.each([
    'password',
    'PASSWORD',
    'db_password',
    'userPassword',
    'apiKey',
    'X-Api-Key',
    'client_secret',
    'access.token',
  ])('redacts the value of %s', (name) => {
    expect(sensitive({ [name]: 'hunter2' })).toEqual({ [name]: REDACTED });
    expect(sensitive({ list: [{ [name]: ['hunter2', 3] }] })).toEqual({ list: [{ [name]: [REDACTED, 3] }] });
  });

  it.each([
    '',
    '***',
    'xxxxxx',
    '<token>',
    'changeme',
    `\${VAR}`,
    '$PASSWORD',
    '{{ password }}',
    'your-password-here',
    REDACTED,
    'vault:app/db',
  ])('leaves the placeholder %j', (value) => {
    const payload = { password: value, nested: { api_key: value } };
    expect(sensitive(payload)).toBe(payload);
  });

  it.each([
    ['password', true],
    ['password', 12345],
    ['password_policy', 'at least eight characters'],
    ['passwordResetUrl', 'https://example.com/reset'],
    ['token_count', '1200abc4'],
    ['nextPageToken', 'CAUQAA1b2c3d4'],
    ['token', 'Hello'],
    ['token', 'ring'],
    ['secret', 'the secret of good bread'],
    ['tokens', ['the', ' quick', ' brown']],
    ['auth', 'oauth2'],
    ['public_key', 'aB3dE5fG7hJ9kL1m'],
  ])('leaves %s: %j', (name, value) => {
    const payload = { [name]: value };
    expect(sensitive(payload)).toBe(payload);
  });

  it('redacts the value of a name of many meanings when it can be a credential', () => {
    expect(sensitive({ token: 'f3a9b2c4d5e6', secret: 'correct7horse' })).toEqual({
      token: REDACTED,
      secret: REDACTED,
    });
  });
});

describe('hostile texts', () => {
  it('bounds what redaction can add to a payload', () => {
    const text = 'a '.repeat(30_000);
    expect(redact({ text }, { redaction_patterns: ['a'] })).toEqual({ text: REDACTED });
  });

  it('redacts all that follows once a payload has held more matches than one in 32 bytes', () => {
    const list = Array.from({ length: 3_000 }, (_, i) => (i % 1_000 === 999 ? 'harmless' : `a${i}`));
    const redacted = redact(
      { list, after: 'harmless', n: 1 },
      { redaction_patterns: ['a\\d+'], max_inspect_bytes: 65_536 },
    );
    const result = redacted.list as string[];
    expect(result[999]).toBe('harmless');
    expect(result[1_999]).toBe('harmless');
    expect(result[2_999]).toBe(REDACTED);
    expect(redacted).toMatchObject({ after: REDACTED, n: 1 });
  });

  it('gives a text up when every redaction brings a new match about', () => {
    const settings = { redaction_patterns: ['g', '[a-f]\\*'] };
    expect(redact({ text: 'xx efg' }, settings)).toEqual({ text: `xx ${REDACTED}` });
    expect(redact({ text: 'xx abcdefg' }, settings)).toEqual({ text: REDACTED });
  });

  it('reads no more than four times the bound, redacting what follows', () => {
    const settings = { redaction_patterns: ['x{50,}'], max_inspect_bytes: 60 };
    const secrets = (count: number) => Array.from({ length: count }, () => 'x'.repeat(58));
    expect(redact({ list: [...secrets(4), 'hello'] }, settings)).toEqual({
      list: [...Array(4).fill(REDACTED), 'hello'],
    });
    expect(redact({ list: [...secrets(5), 'hello'] }, settings)).toEqual({ list: Array(6).fill(REDACTED) });
  });

  it('writes no more than four times the bound, redacting what follows', () => {
    const settings = { redaction_patterns: ['a\\d'], max_inspect_bytes: 60 };
    const texts = (count: number) => Array.from({ length: count }, () => 'a1 a2');
    const partly = `${REDACTED} ${REDACTED}`;
    expect(redact({ list: [...texts(8), 'hello'] }, settings)).toEqual({ list: [...Array(8).fill(partly), 'hello'] });
    const more = redact({ list: [...texts(12), 'hello'] }, settings).list as string[];
    expect(more.slice(9)).toEqual(Array(4).fill(REDACTED));
  });

  it('judges names alike however many it has seen', () => {
    const names = Array.from({ length: 10_000 }, (_, i) => `name${i}`);
    const payload = Object.fromEntries([...names, 'dbPassword', ...names].map((name) => [name, 'hunter2']));
    const redacted = redact(payload, { max_inspect_bytes: 1_048_576 });
    expect(redacted).toEqual({ ...payload, dbPassword: REDACTED });
    expect(redact(redacted, { max_inspect_bytes: 1_048_576 })).toBe(redacted);
  });
});
