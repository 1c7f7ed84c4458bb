import { BusError } from '@arqonbus/protocol';
import { Ajv2020 } from 'ajv/dist/2020.js';
import fc from 'fast-check';
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

  const many = (count: number, make: (index: number) => unknown): Record<string, unknown> =>
    Object.fromEntries(Array.from({ length: count }, (_, index) => [`p${index}`, make(index)]));

  it.each([
    ['many combined', { allOf: Array(2_400).fill({ type: 'object' }) }],
    [
      'many alternatives',
      { oneOf: Array.from({ length: 900 }, (_, n) => ({ required: [`p${n}`] })), properties: { p0: true } },
    ],
    ['many fields', { properties: many(1_500, () => ({ type: 'integer' })), required: ['p0'] }],
    [
      'many patterns of names',
      { patternProperties: { ...many(300, () => ({ type: 'integer' })), '^p0$': { minimum: 0 } } },
    ],
    ['a long enumeration', { properties: { p0: { enum: Array.from({ length: 4_000 }, (_, n) => n) } } }],
  ])('of %s is checked as any other', (_what, schema) => {
    expect(compileSchema(schema)({ p0: 1 })).toBeNull();
    expect(compileSchema(schema)([])).toEqual(
      'allOf' in schema
        ? { path: '', expected: 'object' }
        : 'oneOf' in schema
          ? { path: '', expected: 'what fits one schema of several, and no second one' }
          : null,
    );
  });

  it('gives up a payload that takes too many steps, whatever they are spent on', () => {
    const large = Array.from({ length: 2_000 }, (_, n) => n);
    const thousand = (one: object) => ({
      allOf: Array.from({ length: 1_000 }, (_, n) => ({ ...one, description: String(n) })),
    });
    const text = 'x'.repeat(100_000);
    for (const [schema, payload] of [
      [{ items: thousand({ type: 'integer' }) }, large],
      [thousand({ contains: true }), large],
      [thousand({ minProperties: 1 }), many(1_000, () => 1)],
      [thousand({ const: { a: 1 } }), { text }],
      [thousand({ minLength: 60_000 }), text],
      [thousand({ propertyNames: true }), many(1_000, () => 1)],
      [thousand({ uniqueItems: true, maxItems: 1_000 }), Array.from({ length: 1_000 }, (_, n) => n)],
      [{ pattern: '^(x{0,30}){0,30}y' }, text],
    ] as const) {
      expect(compileSchema(schema)(payload)?.expected).toMatch(/takes too long|^\{"a":1\}/);
    }
  });

  it('refuses patterns that are too large together', () => {
    const properties = many(10, (n) => ({ pattern: `^(a{0,30}){0,3${n}}` }));
    expect(refusal({ properties })).toContain('too large together');
  });

  it('refuses keywords of the wrong kind, used or not, and other versions of the language', () => {
    for (const schema of [
      { minimum: '1' },
      { maxLength: -1 },
      { required: 'id' },
      { required: ['a', 'a'] },
      { properties: [] },
      { properties: { a: 1 } },
      { items: [{}] },
      { anyOf: [] },
      { multipleOf: 0 },
      { $defs: { never: { type: 1 } } },
      // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema
      { then: 1 },
      { uniqueItems: 'yes' },
      { type: ['string', 'text'] },
    ]) {
      expect([schema, refusal(schema)]).toEqual([schema, expect.stringContaining('cannot be compiled')]);
    }
    expect(refusal({ $schema: 'http://json-schema.org/draft-07/schema#' })).toContain('2020-12');
    expect(compileSchema({ $schema: 'https://json-schema.org/draft/2020-12/schema' })({})).toBeNull();
  });

  const value = fc.letrec((tie) => ({
    any: fc.oneof(
      { depthSize: 'small', withCrossShrink: true },
      fc.constantFrom(null, true, 0, 1, 2.5, -3, 'a', 'ab', '\u{1f600}'),
      fc.array(tie('any'), { maxLength: 3 }),
      fc.dictionary(fc.constantFrom('a', 'b', '__proto__', 'c/d'), tie('any'), { maxKeys: 3 }),
    ),
  })).any;
  const names = fc.uniqueArray(fc.constantFrom('a', 'b', 'c/d'), { maxLength: 2 });
  const schemas = fc.letrec((tie) => {
    const one = tie('schema');
    const list = fc.array(one, { minLength: 1, maxLength: 3 });
    const byName = fc.dictionary(fc.constantFrom('a', 'b', 'c/d'), one, { maxKeys: 2 });
    const bound = fc.integer({ min: 0, max: 3 });
    return {
      schema: fc.oneof(
        { depthSize: 'small', withCrossShrink: true },
        fc.boolean(),
        fc.record(
          {
            type: fc.oneof(
              fc.constantFrom('object', 'array', 'string', 'number', 'integer'),
              fc.constant(['null', 'object', 'array']),
            ),
            enum: fc.array(value, { minLength: 1, maxLength: 3 }),
            const: value,
            minimum: bound,
            exclusiveMaximum: bound,
            multipleOf: fc.constantFrom(0.5, 2),
            minLength: bound,
            maxLength: bound,
            pattern: fc.constantFrom('^a', 'b$'),
            contains: fc.constantFrom({ type: 'integer' }, { const: 'a' }, { minItems: 1 }),
            minContains: bound,
            maxContains: fc.integer({ min: 3, max: 4 }),
            minItems: bound,
            maxItems: bound,
            minProperties: bound,
            maxProperties: bound,
            required: names,
          },
          { requiredKeys: [] },
        ),
        fc.record(
          {
            properties: byName,
            patternProperties: fc.dictionary(fc.constantFrom('^a', 'b|d'), one, { maxKeys: 2 }),
            additionalProperties: one,
            propertyNames: one,
            unevaluatedProperties: one,
            dependentRequired: fc.dictionary(fc.constantFrom('a', 'b'), names, { maxKeys: 1 }),
            dependentSchemas: byName,
            prefixItems: list,
            items: one,
            unevaluatedItems: one,
          },
          { requiredKeys: [] },
        ),
        fc.record(
          {
            allOf: list,
            anyOf: list,
            oneOf: list,
            not: one,
            if: one,
            // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema
            then: one,
            else: one,
            unevaluatedProperties: one,
            unevaluatedItems: one,
          },
          { requiredKeys: [] },
        ),
      ),
    };
  }).schema as fc.Arbitrary<object | boolean>;

  it('takes what another implementation of the standard takes, and refuses what it refuses', () => {
    const ajv = new Ajv2020({ strict: false, validateFormats: false, logger: false });
    fc.assert(
      fc.property(schemas, fc.array(value, { minLength: 1, maxLength: 5 }), (schema, payloads) => {
        const text = JSON.stringify(schema);
        const other = ajv.compile(JSON.parse(text));
        const check = compileSchema(JSON.parse(text));
        for (const one of payloads) {
          const payload = JSON.parse(JSON.stringify(one));
          expect([payload, check(payload) === null]).toEqual([payload, other(payload)]);
        }
      }),
      { numRuns: 60, seed: 7 },
    );
  });
});
