import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { schemaNode } from './bounds.ts';
import { command, secretPathsOf } from './command.ts';

const SECRET = z.string().meta({ secret: true });

describe('secretPathsOf', () => {
  it('finds every argument that is marked, however it is wrapped', () => {
    const schema = z.strictObject({
      plain: z.string(),
      token: SECRET.describe('The token.'),
      described: z.string().describe('Described first.').meta({ secret: true }).exactOptional(),
      optional: SECRET.optional(),
      defaulted: SECRET.default('x'),
      nullable: SECRET.nullable(),
      checked: z.string().min(3).meta({ secret: true }),
    });
    expect(secretPathsOf(schemaNode(schema))).toEqual([
      'token',
      'described',
      'optional',
      'defaulted',
      'nullable',
      'checked',
    ]);
  });

  it('finds them inside of objects, lists, records and choices', () => {
    const schema = z.strictObject({
      hook: z.strictObject({ url: z.string(), secret: SECRET }).exactOptional(),
      rules: z.array(z.strictObject({ match: z.string(), key: SECRET })),
      headers: z.record(z.string(), SECRET),
      by: z.union([z.strictObject({ id: z.string() }), z.strictObject({ token: SECRET })]),
    });
    expect(secretPathsOf(schemaNode(schema))).toEqual(['hook.secret', 'rules.*.key', 'headers.*', 'by.token']);
  });

  it('says so once when all arguments are marked', () => {
    expect(secretPathsOf(schemaNode(z.strictObject({ a: SECRET, b: z.string() }).meta({ secret: true })))).toEqual([
      '',
    ]);
    expect(secretPathsOf(schemaNode(z.strictObject({ a: z.string() })))).toEqual([]);
  });
});

describe('command', () => {
  it('reads the marks once, where a command is declared', () => {
    const args = z.strictObject({ token: SECRET });
    const declared = command({
      name: 'x',
      role: 'guest',
      description: '',
      args,
      result: z.strictObject({}),
      run: () => ({}),
    });
    expect(declared).toMatchObject({ name: 'x', inspectedAs: 'command', secretPaths: ['token'] });
  });
});
