import { BusError } from '@arqonbus/protocol';
import { describe, expect, it } from 'vitest';
import { compileSchema } from './payload-schema.ts';

function refusal(schema: object | boolean): string {
  try {
    compileSchema(schema);
  } catch (error) {
    if (error instanceof BusError && error.code === 'VALIDATION_ERROR') return error.message;
    throw error;
  }
  throw new Error('nothing was refused');
}

const ORDER = {
  $id: 'https://shop.example/order',
  type: 'object',
  required: ['id', 'state'],
  additionalProperties: false,
  properties: {
    id: { type: 'integer', minimum: 1 },
    state: { enum: ['open', 'paid'] },
    lines: { type: 'array', items: { $ref: '#/$defs/line' } },
  },
  $defs: { line: { type: 'object', properties: { sku: { type: 'string', pattern: '^[A-Z]{3}$' } } } },
};

describe('a schema of payloads', () => {
  it.each([
    [{ id: 1, state: 'open' }, null],
    [{ id: 1, state: 'open', lines: [{ sku: 'ABC' }] }, null],
    [{ state: 'open' }, { path: '', expected: 'the field "id"' }],
    [
      { id: 0, state: 'open' },
      { path: '/id', expected: '>= 1' },
    ],
    [
      { id: 1, state: 'lost' },
      { path: '/state', expected: 'one of ["open","paid"]' },
    ],
    [
      { id: 1, state: 'open', other: 1 },
      { path: '', expected: 'no field "other"' },
    ],
    [
      { id: 1, state: 'open', lines: [{ sku: 'abc' }] },
      { path: '/lines/0/sku', expected: 'match pattern "^[A-Z]{3}$"' },
    ],
  ])('tells of %j: %j', (payload, expected) => {
    expect(compileSchema(ORDER)(payload)).toEqual(expected);
  });

  it('may be used twice, with the same $id', () => {
    expect(compileSchema(ORDER)({ id: 1, state: 'open' })).toBeNull();
    expect(compileSchema(ORDER)({ id: 1, state: 'open' })).toBeNull();
  });

  it('looks at the own fields of a payload, and at none of its prototype', () => {
    const check = compileSchema({ properties: { constructor: { type: 'string' } }, required: ['toString'] });
    expect(check({ toString: 1 })).toBeNull();
    expect(check({})).toEqual({ path: '', expected: 'the field "toString"' });
    expect(check({ toString: 1, constructor: 2 })).toMatchObject({ path: '/constructor' });
  });

  it.each(['http://json-schema.org/draft-07/schema#', 'https://example.com/own', 7])(
    'refuses the dialect %j, and says which one to write',
    ($schema) => {
      expect(refusal({ $schema } as object)).toContain('write it as 2020-12');
    },
  );

  it('takes its own dialect by name', () => {
    expect(compileSchema({ $schema: 'https://json-schema.org/draft/2020-12/schema' })({})).toBeNull();
  });

  it('takes true and false', () => {
    expect(compileSchema(true)({})).toBeNull();
    expect(compileSchema(false)({})).not.toBeNull();
  });

  it.each([
    ['another document', { $ref: 'https://evil.example/schema' }, 'only "#/…" inside the schema'],
    ['a file', { $ref: 'file:///etc/passwd' }, 'only "#/…" inside the schema'],
    ['what it does not have', { $ref: '#/$defs/none' }, 'which it does not have'],
    ['itself', { properties: { next: { $ref: '#' } } }, 'refers to itself'],
  ])('refuses a reference to %s', (_what, schema, expected) => {
    expect(refusal(schema)).toContain(expected);
  });

  it('refuses what is too large, too deep, or too costly to check', () => {
    expect(refusal({ description: 'x'.repeat(70_000) })).toContain('65536 bytes');
    let deep: object = {};
    for (let level = 0; level < 40; level += 1) deep = { items: deep };
    expect(refusal(deep)).toContain('nests deeper than 32');
    const $defs: Record<string, object> = { d0: { type: 'string' } };
    for (let level = 1; level < 7; level += 1) {
      $defs[`d${level}`] = { anyOf: Array(8).fill({ $ref: `#/$defs/d${level - 1}` }) };
    }
    expect(refusal({ $ref: '#/$defs/d6', $defs })).toContain('references are written out');
    expect(refusal({ type: 'array', uniqueItems: true })).toContain('uniqueItems');
  });

  it('refuses a pattern whose time is not linear, and a malformed schema', () => {
    expect(refusal({ pattern: '(a)\\1' })).toContain('cannot be compiled');
    expect(refusal({ pattern: `${'a'.repeat(600)}` })).toContain('longer than 512');
    expect(refusal({ type: 'text' })).toContain('cannot be compiled');
  });

  it('checks a hostile text against a pattern in linear time', () => {
    const check = compileSchema({ properties: { text: { type: 'string', pattern: '^(a+)+$' } } });
    expect(check({ text: `${'a'.repeat(100_000)}b` })).toMatchObject({ path: '/text' });
  });

  const fields = (count: number, make: (index: number) => unknown): Record<string, unknown> =>
    Object.fromEntries(Array.from({ length: count }, (_, index) => [`p${index}`, make(index)]));

  const list = <T>(count: number, make: (index: number) => T): T[] => Array.from({ length: count }, (_, n) => make(n));

  it.each([
    ['combined', (count: number) => ({ allOf: list(count, () => ({ type: 'object' })) }), []],
    ['alternatives', (count: number) => ({ anyOf: list(count, (n) => ({ required: [`p${n}`] })) }), {}],
    ['exclusive', (count: number) => ({ oneOf: list(count, (n) => ({ required: [`p${n}`] })) }), {}],
    ['of fields', (count: number) => ({ properties: fields(count, () => ({ type: 'integer' })) }), { p1: 'one' }],
  ])('takes as many subschemas, %s, as are quickly compiled, and refuses more', (_what, make, wrong) => {
    const check = compileSchema(make(240));
    expect(check({ p0: 1 })).toBeNull();
    expect(check(wrong)).not.toBeNull();
    expect(refusal(make(600))).toContain('more than 500 subschemas');
  });

  it('takes a payload for a mismatch that has too many values for so large a schema', () => {
    const check = compileSchema({ items: { allOf: Array.from({ length: 240 }, () => ({ type: 'integer' })) } });
    expect(check(Array(10_000).fill(1))).toBeNull();
    expect(check(Array(50_000).fill(1))?.expected).toMatch(/^at most \d+ values in all$/);
  });

  it('takes a payload for a mismatch with too much text for the patterns, and bounds those together', () => {
    const check = compileSchema({ not: { pattern: '^(x{0,30}){0,30}y' } });
    expect(check('x'.repeat(500))).toBeNull();
    expect(check('x'.repeat(100_000))).toEqual({ path: '', expected: 'shorter text where the schema has patterns' });
    const properties = fields(10, (n) => ({ pattern: `^(a{0,30}){0,3${n}}` }));
    expect(refusal({ properties })).toContain('too large together');
  });
});
