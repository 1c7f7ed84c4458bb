import type { JsonObject } from './envelope.ts';
import { BusError } from './errors.ts';
import { MAX_NESTING } from './limits.ts';
import { mayHoldSurrogates, replaceSurrogates } from './surrogates.ts';

/** Longest path in a refusal, in UTF-16 units. */
const MAX_PLACE = 256;

/** Why a value cannot be sent: it nests too deep, or contains a number that JSON cannot represent. */
export type JsonFault = 'depth' | 'number';

/**
 * Parses JSON text like the bus: every lone surrogate, in keys too, becomes U+FFFD. Throws a
 * SyntaxError where `JSON.parse` does, and VALIDATION_ERROR for values that {@link checkJson} refuses.
 */
export function parseJson(text: string, field = 'body', levels: number = MAX_NESTING + 1): unknown {
  const value: unknown = JSON.parse(text);
  assertJson(value, field, levels);
  return mayHoldSurrogates(text) ? replaceSurrogates(value, levels) : value;
}

/**
 * The same for an object that a program publishes, without text. Returns the object, or a copy
 * if lone surrogates had to be replaced. Throws VALIDATION_ERROR naming the place below `field` if it nests deeper
 * than `levels` (itself being level 1) or contains a number that is not finite (`1e400` overflows to one).
 */
export function checkJson(value: JsonObject, field: string, levels: number = MAX_NESTING): JsonObject {
  assertJson(value, field, levels);
  return replaceSurrogates(value, levels);
}

/**
 * What is wrong with the objects, arrays and numbers in `value`, itself being level 1. This runs for every frame, so
 * finite numbers are recognized without a function call (`x - x` is 0 only for them).
 */
export function jsonFault(value: unknown, levels: number): JsonFault | undefined {
  if (typeof value === 'number') return Number.isFinite(value) ? undefined : 'number';
  if (typeof value !== 'object' || value === null) return undefined;
  if (levels === 0) return 'depth';
  if (Array.isArray(value)) {
    for (const item of value) {
      if (typeof item === 'object' && item !== null) {
        const fault = jsonFault(item, levels - 1);
        if (fault !== undefined) return fault;
      } else if (typeof item === 'number' && item - item !== 0) return 'number';
    }
    return undefined;
  }
  for (const key in value) {
    const item = (value as JsonObject)[key];
    if (typeof item === 'object' && item !== null) {
      const fault = jsonFault(item, levels - 1);
      if (fault !== undefined) return fault;
    } else if (typeof item === 'number' && item - item !== 0) return 'number';
  }
  return undefined;
}

/** Throws the VALIDATION_ERROR for what {@link jsonFault} finds in the field. */
export function assertJson(value: unknown, field: string, levels: number = MAX_NESTING): void {
  const fault = jsonFault(value, levels);
  if (fault !== undefined) throw refusal(fault, value, field, levels);
}

function refusal(fault: JsonFault, value: unknown, field: string, levels: number): BusError {
  if (fault === 'depth') {
    return new BusError('VALIDATION_ERROR', `"${field}" nests deeper than ${levels} levels; flatten it.`, {
      field,
      expected: `at most ${levels} levels`,
    });
  }
  const place = [field, ...(pathToNumber(value) ?? [])].join('.').slice(0, MAX_PLACE);
  return new BusError(
    'VALIDATION_ERROR',
    `"${place}" is a number beyond what JSON can carry (about 1.8e308); send a smaller one, or text.`,
    { field: place, expected: 'finite number' },
  );
}

/** The keys that lead to the first number that is not finite, in one pass; undefined where there is none. */
function pathToNumber(value: unknown): string[] | undefined {
  if (typeof value === 'number' && !Number.isFinite(value)) return [];
  if (typeof value !== 'object' || value === null) return undefined;
  for (const key in value) {
    const below = pathToNumber((value as JsonObject)[key]);
    if (below !== undefined) return [key, ...below];
  }
  return undefined;
}
