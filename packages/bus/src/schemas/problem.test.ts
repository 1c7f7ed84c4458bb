import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { faultOf, plainProblem } from './problem.ts';

const problem = (schema: z.ZodType, input: unknown): string | undefined =>
  schema.safeParse(input, { error: plainProblem }).error?.issues[0]?.message;

const LETTERS = z.union([z.string().regex(/^a$/, 'is the letter a'), z.string().regex(/^b$/, 'is the letter b')]);

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
    [z.string().max(2), 'abc', 'must have at most 2 characters'],
    [z.array(z.number()).max(1), [1, 2], 'must have at most 1 item'],
    [z.string().min(1), '', 'must not be empty'],
    [z.string().min(3), '', 'must have at least 3 characters'],
    [z.array(z.number()).min(1), [], 'must have at least 1 item'],
    [z.number().multipleOf(5), 6, 'must be a multiple of 5'],
    [z.string().regex(/^a$/), 'b', 'must match /^a$/'],
    [z.strictObject({}), { more: 1 }, 'is not known here'],
    [z.union([z.string(), z.number()]), true, 'must be a string or a number'],
    [z.union([z.enum(['a', 'b']), z.strictObject({})]), 'c', 'must be one of "a", "b" or an object'],
    [LETTERS, 'c', 'has none of the forms that it may have'],
    [z.record(z.string().regex(/^a$/, 'keys are the letter a'), z.number()), { b: 1 }, 'keys are the letter a'],
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

describe('where it is', () => {
  const POSITION = z.strictObject({ sequence: z.int(), epoch: z.string() });
  const SINCE = z.union([POSITION, z.strictObject({ time: z.string() }), z.record(z.string(), POSITION)]);
  const fault = (schema: z.ZodType, input: unknown): unknown => {
    const [issue] = schema.safeParse(input, { error: plainProblem }).error?.issues ?? [];
    return issue === undefined ? undefined : faultOf(issue);
  };

  it.each<[unknown, string, string]>([
    ['x', '', 'must be an object'],
    [{ sequence: 1 }, 'epoch', 'is missing'],
    [{ sequence: 1, epoch: 2 }, 'epoch', 'must be a string'],
    [{ time: 5 }, 'time', 'must be a string'],
    [{ a: { sequence: 1 } }, 'a.epoch', 'is missing'],
  ])('of what may have several forms, in the one that %j comes closest to', (since, place, problem) => {
    expect(fault(z.strictObject({ since: SINCE }), { since })).toEqual({
      path: ['since', ...(place === '' ? [] : place.split('.'))],
      problem,
    });
  });

  it('of an unknown key is the key', () => {
    expect(fault(z.strictObject({}), { more: 1 })).toEqual({ path: ['more'], problem: 'is not known here' });
  });

  it('of one form of the same kind is its own problem', () => {
    expect(fault(LETTERS, 'c')).toEqual({ path: [], problem: 'is the letter a' });
  });
});
