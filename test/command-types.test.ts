import { SchemaDefinitions } from '@arqonbus/bus';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { PREFIX, typeText } from '../scripts/command-types.ts';

function typeOf(schema: z.ZodType): string {
  return typeText(new SchemaDefinitions(PREFIX).add(schema)).replaceAll(/\s+/g, ' ');
}

describe('the TypeScript type of a schema', () => {
  const record = z.strictObject({ a: z.int() }).meta({ id: 'Named' });
  const cases: [z.ZodType, string][] = [
    [z.string().min(1), 'string'],
    [z.int(), 'number'],
    [z.boolean().nullable(), 'boolean | null'],
    [z.literal(true), 'true'],
    [z.enum(['a', 'b']), '"a" | "b"'],
    [z.unknown(), 'unknown'],
    [z.array(z.string()), 'string[]'],
    [z.array(z.string().nullable()), '(string | null)[]'],
    [z.union([z.string(), z.array(z.string())]), 'string | string[]'],
    [z.strictObject({}), 'Record<string, never>'],
    [z.looseObject({}), 'JsonObject'],
    [z.record(z.string(), z.unknown()), 'JsonObject'],
    [z.record(z.string(), record), 'Record<string, Named>'],
    [z.strictObject({ a: z.string(), 'b-c': z.number().exactOptional() }), '{ a: string; "b-c"?: number; }'],
    [z.looseObject({ a: record }), '{ a: Named; [key: string]: unknown; }'],
    [z.array(z.strictObject({ a: z.enum(['x', 'y']) })), '{ a: "x" | "y"; }[]'],
    [
      z.discriminatedUnion('a', [z.strictObject({ a: z.literal(1) }), z.strictObject({ a: z.literal(2) })]),
      '{ a: 1; } | { a: 2; }',
    ],
  ];

  it.each(cases)('of %# is %2$s', (schema, text) => {
    expect(typeOf(schema)).toBe(text);
  });

  it('has comments from descriptions, none of which can end it', () => {
    const described = z.strictObject({ a: z.string().describe('one */ two') });
    expect(typeText(new SchemaDefinitions(PREFIX).add(described), true)).toBe('{ /** one *\\/ two */\na: string; }');
  });
});

describe('definitions', () => {
  it('stand once under their names, wherever they are used', () => {
    const place = z.strictObject({ room: z.string() }).meta({ id: 'Place' });
    const definitions = new SchemaDefinitions('#/components/schemas/');
    expect(definitions.add(z.strictObject({ from: place, to: z.array(place) }))).toMatchObject({
      properties: {
        from: { $ref: '#/components/schemas/Place' },
        to: { items: { $ref: '#/components/schemas/Place' } },
      },
    });
    expect(definitions.add(place)).toEqual({ $ref: '#/components/schemas/Place' });
    expect(Object.keys(definitions.all)).toEqual(['Place']);
  });

  it('refuse a second meaning of a name', () => {
    const definitions = new SchemaDefinitions(PREFIX);
    definitions.define('Place', { type: 'string' });
    expect(definitions.define('Place', { type: 'string' })).toEqual({ $ref: '#/$defs/Place' });
    expect(() => definitions.define('Place', { type: 'number' })).toThrow('Two schemas are called "Place".');
  });
});
