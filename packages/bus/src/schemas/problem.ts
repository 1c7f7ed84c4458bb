import type { $ZodErrorMap, $ZodIssue, $ZodRawIssue } from 'zod/v4/core';

/** Phrases for zod's type names. */
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

const UNITS: Readonly<Record<string, string>> = { string: 'character', array: 'item' };

/**
 * Describes a problem in words that follow the value's name ("limit": must be at most 500), for the `error` option of
 * zod's `parse` and `safeParse`. A schema's own message takes precedence.
 */
export const plainProblem: $ZodErrorMap = (issue) => problemOf(issue);

/** Problems with the value itself, not with its content. */
const OF_KIND: ReadonlySet<string> = new Set(['invalid_type', 'invalid_value', 'invalid_union']);

function problemOf(issue: $ZodRawIssue): string | undefined {
  // Serializers of several languages write unset fields as null.
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
      return bound(issue.inclusive === false ? 'less than' : 'at most', issue.maximum, issue.origin);
    case 'too_small':
      return bound(issue.inclusive === false ? 'more than' : 'at least', issue.minimum, issue.origin);
    case 'unrecognized_keys':
      return 'is not known here';
    case 'invalid_union':
      return issue.input === undefined ? 'is missing' : formsOf(issue.errors);
    case 'invalid_key':
      return issue.issues[0]?.message;
    case 'not_multiple_of':
      return `must be a multiple of ${issue.divisor}`;
    case 'invalid_format':
      return issue.pattern === undefined ? `must be a valid ${issue.format}` : `must match ${issue.pattern}`;
    default:
      return undefined;
  }
}

function bound(rule: string, limit: number | bigint, origin: string): string {
  const unit = UNITS[origin];
  if (unit === undefined) return `must be ${rule} ${limit}`;
  if (origin === 'string' && rule === 'at least' && limit === 1) return 'must not be empty';
  return `must have ${rule} ${limit} ${unit}${limit === 1 ? '' : 's'}`;
}

const MUST_BE = 'must be ';

/** The expected forms of a value that matches none of them. */
function formsOf(forms: readonly (readonly $ZodIssue[])[]): string {
  const rules = forms.map(([issue]) => issue?.message ?? '');
  if (rules.length === 0 || !rules.every((rule) => rule.startsWith(MUST_BE))) {
    return 'has none of the forms that it may have';
  }
  return MUST_BE + [...new Set(rules.map((rule) => rule.slice(MUST_BE.length)))].join(' or ');
}

/** A problem and its path. */
export interface Fault {
  readonly path: readonly PropertyKey[];
  readonly problem: string;
}

/** The fault of an issue: an unknown key gets its own path, a union the fault of its closest form. */
export function faultOf(issue: $ZodIssue): Fault {
  const { path, message: problem } = issue;
  if (issue.code === 'unrecognized_keys') return { path: [...path, issue.keys[0] ?? ''], problem };
  const closest = issue.code === 'invalid_union' ? closestForm(issue.errors) : undefined;
  if (closest === undefined) return { path, problem };
  const inner = faultOf(closest);
  return { path: [...path, ...inner.path], problem: inner.problem };
}

/** The first issue of the form that the value matches most closely; undefined when none has its type. */
function closestForm(forms: readonly (readonly $ZodIssue[])[]): $ZodIssue | undefined {
  let closest: readonly $ZodIssue[] = [];
  for (const issues of forms) {
    if (issues.some(isOtherKind)) continue;
    if (closest.length === 0 || issues.length < closest.length) closest = issues;
  }
  return closest[0];
}

function isOtherKind({ path, code }: $ZodIssue): boolean {
  return path.length === 0 && (code === 'invalid_type' || code === 'invalid_value' || code === 'invalid_union');
}
