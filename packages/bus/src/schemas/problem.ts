import type { $ZodErrorMap, $ZodRawIssue } from 'zod/v4/core';

/** What a value should have been, by zod's names of types. */
const KINDS: Readonly<Record<string, string>> = {
  string: 'a string',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'an array',
  object: 'an object',
  record: 'an object',
  null: 'null',
};

const UNITS: Readonly<Record<string, string>> = { string: ' characters', array: ' items' };

/**
 * Says what is wrong with a value in words that follow its name ("limit": must be at most 500), for the `error` option
 * of zod's `parse` and `safeParse`. A message that a schema gives itself comes before these.
 */
export const plainProblem: $ZodErrorMap = (issue) => problemOf(issue);

/** Problems of a value as such, and not of what is in it. */
const OF_KIND: ReadonlySet<string> = new Set(['invalid_type', 'invalid_value', 'invalid_union']);

function problemOf(issue: $ZodRawIssue): string | undefined {
  // Serializers of several languages write fields that are not set.
  if (issue.input === null && OF_KIND.has(issue.code)) return 'is null: give it a value, or leave it out';
  switch (issue.code) {
    case 'invalid_type':
      return issue.input === undefined ? 'is missing' : `must be ${KINDS[issue.expected] ?? issue.expected}`;
    case 'invalid_value': {
      const values = issue.values.map((value) => JSON.stringify(value)).join(', ');
      if (issue.input === undefined) return `is missing; it is ${issue.values.length > 1 ? 'one of ' : ''}${values}`;
      return `must be ${issue.values.length > 1 ? 'one of ' : ''}${values}`;
    }
    case 'too_big':
      return `must be ${issue.inclusive === false ? 'less than' : 'at most'} ${issue.maximum}${UNITS[issue.origin] ?? ''}`;
    case 'too_small':
      return `must be ${issue.inclusive === false ? 'more than' : 'at least'} ${issue.minimum}${UNITS[issue.origin] ?? ''}`;
    case 'unrecognized_keys':
      return 'is not known here';
    case 'invalid_union':
      return issue.input === undefined ? 'is missing' : 'has none of the forms that it may have';
    case 'not_multiple_of':
      return `must be a multiple of ${issue.divisor}`;
    case 'invalid_format':
      return issue.pattern === undefined ? `must be a valid ${issue.format}` : `must match ${issue.pattern}`;
    default:
      return undefined;
  }
}
