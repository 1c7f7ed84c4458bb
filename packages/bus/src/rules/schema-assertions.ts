import { canonical, isObject, keysOf, pointerStep, stepsOf } from './json-value.ts';
import type { StepBudget } from './schema-budget.ts';
import type { Patterns } from './schema-pattern.ts';
import { isTexts, type SchemaReader } from './schema-reader.ts';

/** How much of a wrong value is told. */
const MAX_TOLD = 100;
const CHARACTERS_PER_STEP = 4;

/** Where a payload is not as its schema says. */
export interface Mismatch {
  /** JSON Pointer into the payload; empty for all of it. */
  readonly path: string;
  /** What the schema asks for there, as a phrase. */
  readonly expected: string;
}

/** Tells the first mismatch of a value, or null. */
export type Check = (value: unknown, budget: StepBudget) => Mismatch | null;

const TYPES: Readonly<Record<string, (value: unknown) => boolean>> = {
  null: (value) => value === null,
  boolean: (value) => typeof value === 'boolean',
  object: isObject,
  array: Array.isArray,
  number: (value) => typeof value === 'number',
  integer: Number.isInteger,
  string: (value) => typeof value === 'string',
};

export function here(expected: string): Mismatch {
  return { path: '', expected };
}

/** A mismatch of a part, as one of the whole. */
export function below(key: string | number, { path, expected }: Mismatch): Mismatch {
  return { path: pointerStep(key) + path, expected };
}

export function told(value: unknown): string {
  return JSON.stringify(value)?.slice(0, MAX_TOLD) ?? '';
}

/** The checks of a schema that look at one value and at no subschema. */
export function assertionsOf(read: SchemaReader, patterns: Patterns): Check[] {
  return [
    ...typeOf(read),
    ...valuesOf(read),
    ...numbersOf(read),
    ...textsOf(read, patterns),
    ...arraysOf(read),
    ...objectsOf(read),
  ];
}

function typeOf({ node }: SchemaReader): Check[] {
  const { type } = node;
  if (type === undefined) return [];
  const names: unknown = typeof type === 'string' ? [type] : type;
  if (!isTexts(names) || names.length === 0 || names.some((name) => !Object.hasOwn(TYPES, name))) {
    throw new Error(`"type" must be one or several of ${Object.keys(TYPES).join(', ')}`);
  }
  const tests = names.map((name) => TYPES[name] as (value: unknown) => boolean);
  const wrong = here(names.join(' or '));
  const [only] = tests;
  if (tests.length === 1 && only !== undefined) return [(value) => (only(value) ? null : wrong)];
  return [(value) => (tests.some((test) => test(value)) ? null : wrong)];
}

function valuesOf(read: SchemaReader): Check[] {
  const checks: Check[] = [];
  const { const: only } = read.node;
  if (only !== undefined) checks.push(oneOf([only], told(only)));
  const all = read.list('enum');
  if (all !== undefined) checks.push(oneOf(all, `one of ${told(all)}`));
  return checks;
}

function oneOf(allowed: readonly unknown[], expected: string): Check {
  const plain = new Set(allowed.filter((one) => !hasParts(one)));
  const texts = new Set(allowed.filter(hasParts).map(canonical));
  const wrong = here(expected);
  return (value, budget) => {
    if (!hasParts(value)) return plain.has(value) ? null : wrong;
    if (texts.size === 0) return wrong;
    budget.spend(stepsOf(value));
    return texts.has(canonical(value)) ? null : wrong;
  };
}

function hasParts(value: unknown): boolean {
  return typeof value === 'object' && value !== null;
}

function numbersOf(read: SchemaReader): Check[] {
  const checks: Check[] = [];
  const add = (keyword: string, sign: string, holds: (value: number, bound: number) => boolean): void => {
    const bound = read.number(keyword);
    if (bound === undefined) return;
    const wrong = here(`${sign} ${bound}`);
    checks.push((value) => (typeof value !== 'number' || holds(value, bound) ? null : wrong));
  };
  add('minimum', '>=', (value, bound) => value >= bound);
  add('maximum', '<=', (value, bound) => value <= bound);
  add('exclusiveMinimum', '>', (value, bound) => value > bound);
  add('exclusiveMaximum', '<', (value, bound) => value < bound);
  if ((read.number('multipleOf') ?? 1) <= 0) throw new Error('"multipleOf" must be greater than 0');
  add('multipleOf', 'a multiple of', (value, bound) => Number.isInteger(value / bound));
  return checks;
}

function textsOf(read: SchemaReader, patterns: Patterns): Check[] {
  const most = read.count('maxLength');
  const least = read.count('minLength');
  const pattern = read.text('pattern');
  const checks: Check[] = [];
  const add = (expected: string, holds: (value: string, budget: StepBudget) => boolean): void => {
    const wrong = here(expected);
    checks.push((value, budget) => (typeof value !== 'string' || holds(value, budget) ? null : wrong));
  };
  // A character takes one or two units: most texts need not be counted.
  if (most !== undefined) {
    add(
      `at most ${most} characters`,
      (value, budget) => value.length <= most || (value.length <= 2 * most && characters(value, budget) <= most),
    );
  }
  if (least !== undefined) {
    add(
      `at least ${least} characters`,
      (value, budget) => value.length >= least && (value.length >= 2 * least || characters(value, budget) >= least),
    );
  }
  if (pattern !== undefined) {
    const matches = patterns.compile(pattern);
    add(`match pattern ${JSON.stringify(pattern)}`, matches);
  }
  return checks;
}

function characters(text: string, budget: StepBudget): number {
  budget.spend(Math.ceil(text.length / CHARACTERS_PER_STEP));
  let count = 0;
  for (const _character of text) count += 1;
  return count;
}

function arraysOf(read: SchemaReader): Check[] {
  const most = read.count('maxItems');
  const least = read.count('minItems');
  const checks: Check[] = [];
  const add = (expected: string, holds: (value: readonly unknown[], budget: StepBudget) => boolean): void => {
    const wrong = here(expected);
    checks.push((value, budget) => (!Array.isArray(value) || holds(value, budget) ? null : wrong));
  };
  if (most !== undefined) add(`at most ${most} items`, ({ length }) => length <= most);
  if (least !== undefined) add(`at least ${least} items`, ({ length }) => length >= least);
  if (read.boolean('uniqueItems') === true) {
    add('items of which no two are the same', (items, budget) => {
      budget.spend(stepsOf(items));
      return new Set(items.map(canonical)).size === items.length;
    });
  }
  return checks;
}

function objectsOf(read: SchemaReader): Check[] {
  const most = read.count('maxProperties');
  const least = read.count('minProperties');
  const checks: Check[] = [];
  if (most !== undefined) {
    const wrong = here(`at most ${most} fields`);
    checks.push((value, budget) => (!isObject(value) || keysOf(value, budget).length <= most ? null : wrong));
  }
  if (least !== undefined) {
    const wrong = here(`at least ${least} fields`);
    checks.push((value, budget) => (!isObject(value) || keysOf(value, budget).length >= least ? null : wrong));
  }
  const required = read.texts('required');
  if (required !== undefined)
    checks.push((value, budget) => (isObject(value) ? missing(value, required, budget) : null));
  for (const [name, names] of read.entries('dependentRequired')) {
    if (!isTexts(names)) throw new Error('"dependentRequired" must have lists of different strings');
    checks.push(requiredBy(name, names));
  }
  return checks;
}

export function requiredBy(name: string, names: readonly string[]): Check {
  return (value, budget) => (isObject(value) && Object.hasOwn(value, name) ? missing(value, names, budget) : null);
}

function missing(value: object, names: readonly string[], budget: StepBudget): Mismatch | null {
  budget.spend(names.length);
  for (const name of names) if (!Object.hasOwn(value, name)) return here(`the field ${told(name)}`);
  return null;
}
