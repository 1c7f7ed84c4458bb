import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { plainProblem } from './problem.ts';

const problem = (schema: z.ZodType, input: unknown): string | undefined =>
  schema.safeParse(input, { error: plainProblem }).error?.issues[0]?.message;

describe('what is wrong with a value', () => {
  it.each<[z.ZodType, unknown, string]>([
    [z.number(), undefined, 'is missing'],
    [z.number(), 'x', 'must be a number'],
    [z.string(), 1, 'must be a string'],
    [z.int(), 1.5, 'must be a whole number'],
    [z.boolean(), 'yes', 'must be true or false'],
    [z.array(z.string()), {}, 'must be an array'],
    [z.strictObject({}), [], 'must be an object'],
    [z.record(z.string(), z.number()), 1, 'must be an object'],
    [z.enum(['a', 'b']), 'c', 'must be one of "a", "b"'],
    [z.enum(['a', 'b']), undefined, 'is missing; it is one of "a", "b"'],
    [z.literal(true), false, 'must be true'],
    [z.number().max(5), 6, 'must be at most 5'],
    [z.number().lt(5), 5, 'must be less than 5'],
    [z.number().min(5), 4, 'must be at least 5'],
    [z.number().gt(5), 5, 'must be more than 5'],
    [z.string().max(2), 'abc', 'must be at most 2 characters'],
    [z.array(z.number()).max(1), [1, 2], 'must be at most 1 items'],
    [z.string().min(1), '', 'must be at least 1 characters'],
    [z.number().multipleOf(5), 6, 'must be a multiple of 5'],
    [z.string().regex(/^a$/), 'b', 'must match /^a$/'],
    [z.strictObject({}), { more: 1 }, 'is not known here'],
    [z.union([z.string(), z.number()]), true, 'has none of the forms that it may have'],
    [z.union([z.string(), z.number()]), undefined, 'is missing'],
    [z.number().optional(), null, 'is null: give it a value, or leave it out'],
    [z.enum(['a', 'b']), null, 'is null: give it a value, or leave it out'],
    [z.union([z.string(), z.number()]), null, 'is null: give it a value, or leave it out'],
  ])('%# is told in words that follow its name', (schema, input, told) => {
    expect(problem(schema, input)).toBe(told);
  });

  it('leaves what a schema says itself as it is', () => {
    expect(problem(z.string().regex(/^a$/, 'must be the letter a'), 'b')).toBe('must be the letter a');
  });
});
