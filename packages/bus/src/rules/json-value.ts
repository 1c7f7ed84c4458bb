import type { StepBudget } from './schema-budget.ts';

/** A JSON text in which equal values are equal texts, whatever the order of their keys. */
export function canonical(value: unknown): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'undefined';
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  const members = Object.entries(value).sort(([one], [other]) => (one < other ? -1 : 1));
  return `{${members.map(([key, member]) => `${JSON.stringify(key)}:${canonical(member)}`).join(',')}}`;
}

/** Listing the keys of a large object takes longer than looking at as many values. */
const STEPS_PER_KEY = 4;
/** Units of text that take as long as one value. */
const UNITS_PER_STEP = 16;

/** The steps that it takes to read a text. */
function stepsOfText({ length }: string): number {
  return 1 + Math.floor(length / UNITS_PER_STEP);
}

/** The steps that it takes to read a value with all that is in it. */
export function stepsOf(value: unknown): number {
  if (typeof value === 'string') return stepsOfText(value);
  if (typeof value !== 'object' || value === null) return 1;
  let steps = 1;
  for (const [key, member] of Object.entries(value)) steps += stepsOfText(key) + stepsOf(member);
  return steps;
}

/** One step of a JSON Pointer. */
export function pointerStep(key: string | number): string {
  return `/${String(key).replaceAll('~', '~0').replaceAll('/', '~1')}`;
}

export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function keysOf(value: object, budget: StepBudget): string[] {
  const keys = Object.keys(value);
  budget.spend(STEPS_PER_KEY * keys.length);
  return keys;
}
