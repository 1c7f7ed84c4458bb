import { BusError } from '@arqonbus/protocol';
import type { ErrorObject, ValidateFunction } from 'ajv';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { RE2JS } from 're2js';

/** UTF-8 bytes of one schema. */
const MAX_BYTES = 65_536;
/** Levels of nesting. */
const MAX_DEPTH = 32;
/**
 * Subschemas with all references expanded. The time that ajv takes to compile grows with their square: for this many at
 * most a tenth of a second, for ten times as many about ten seconds.
 */
const MAX_NODES = 500;
/** Subschemas times values of a payload, since each pair may have to be checked: about 50 ms. */
const MAX_CHECKS = 5_000_000;
/** The most items for `uniqueItems`, which compares them with each other. */
const MAX_UNIQUE = 1_000;
/** Longest pattern. */
const MAX_PATTERN = 512;
/** Instructions of all patterns of a schema: compiling them takes about 20 ms. */
const MAX_PROGRAM = 4_000;
/** Characters times instructions that patterns may process in one payload: about 50 ms. */
const MAX_PATTERN_STEPS = 4_000_000;
/** How much of a wrong value an error shows. */
const MAX_TOLD = 100;
const DIALECT = 'https://json-schema.org/draft/2020-12/schema';

/** A violation of the schema. */
export interface Mismatch {
  /** JSON Pointer into the payload; empty for the whole payload. */
  readonly path: string;
  /** What the schema expects there, as a phrase. */
  readonly expected: string;
}

/** Returns a payload's first violation, or null, within a limited time: what would take longer is a violation. */
export type PayloadCheck = (payload: unknown) => Mismatch | null;

/**
 * Compiles a JSON Schema (2020-12) once. Throws VALIDATION_ERROR for one that is malformed, over 64 KiB, nested deeper
 * than 32, refers to another document or to itself, or could cost too much to check. Patterns use RE2 syntax, which
 * runs in linear time. `format` is only an annotation, as in the standard.
 */
export function compileSchema(schema: object | boolean): PayloadCheck {
  const text = JSON.stringify(schema);
  if (Buffer.byteLength(text) > MAX_BYTES) throw invalid(`is over ${MAX_BYTES} bytes; make it smaller`);
  requireDialect(schema);
  const mostValues = Math.floor(MAX_CHECKS / new Cost(schema).total());
  const patterns = new Patterns();
  const validate = compiled(schema, patterns);
  return (payload) => {
    if (!hasAtMost(payload, mostValues)) return { path: '', expected: `at most ${mostValues} values in all` };
    patterns.stepsLeft = MAX_PATTERN_STEPS;
    try {
      if (validate(payload) === true) return null;
    } catch (error) {
      if (!(error instanceof TooLong)) throw error;
      return { path: '', expected: 'shorter text where the schema has patterns' };
    }
    const [error] = validate.errors ?? [];
    return error === undefined ? { path: '', expected: 'another value' } : mismatchOf(error);
  };
}

/** Whether a payload contains at most this many values, including nested ones. */
function hasAtMost(payload: unknown, most: number): boolean {
  let left = most;
  const count = (value: unknown): void => {
    left -= 1;
    if (left < 0 || typeof value !== 'object' || value === null) return;
    for (const key in value) {
      count((value as Record<string, unknown>)[key]);
      if (left < 0) return;
    }
  };
  count(payload);
  return left >= 0;
}

/** Patterns would have to process too much text. */
class TooLong extends Error {}

/** The patterns of one schema, run by RE2 in linear time and with a limit for all of them together. */
class Patterns {
  stepsLeft = 0;
  private program = 0;

  compile(pattern: string): { test(text: string): boolean; toString(): string } {
    if (pattern.length > MAX_PATTERN) throw new Error(`a pattern is longer than ${MAX_PATTERN} characters`);
    const regExp = RE2JS.compile(pattern);
    const size = regExp.programSize();
    this.program += size;
    if (this.program > MAX_PROGRAM) throw new Error('its patterns are too large together; repeat less, or use fewer');
    const test = (text: string): boolean => {
      this.stepsLeft -= text.length * size;
      if (this.stepsLeft < 0) throw new TooLong();
      return regExp.matcher(text).find();
    };
    // Ajv shares patterns with the same text.
    return { test, toString: () => pattern };
  }
}

function requireDialect(schema: object | boolean): void {
  const { $schema: dialect } = schema as { readonly $schema?: unknown };
  if (dialect === undefined || (typeof dialect === 'string' && dialect.replace(/#$/, '') === DIALECT)) return;
  throw invalid(
    `is of the dialect ${JSON.stringify(dialect).slice(0, MAX_TOLD)}; write it as 2020-12, with "$schema": "${DIALECT}" or none`,
  );
}

function compiled(schema: object | boolean, patterns: Patterns): ValidateFunction {
  const compile = (pattern: string): ReturnType<Patterns['compile']> => patterns.compile(pattern);
  const ajv = new Ajv2020({
    strict: false,
    validateFormats: false,
    // Only a payload's own fields count, not a "constructor" from the prototype.
    ownProperties: true,
    logger: false,
    // Nothing is fetched: references outside the schema do not compile.
    code: { regExp: Object.assign(compile, { code: 'linearRegExp' }) },
  });
  try {
    // Its own `$id` has no meaning here, and two rules may use the same.
    const { $id: _name, ...nameless } = schema as { readonly $id?: unknown };
    const validate = ajv.compile(typeof schema === 'boolean' ? schema : nameless);
    // Ajv's generated code is compiled on its first run: do that now, not on the first payload.
    validate({});
    return validate;
  } catch (error) {
    throw invalid(`cannot be compiled: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function mismatchOf({ instancePath, keyword, params, message }: ErrorObject): Mismatch {
  const told = (value: unknown): string => JSON.stringify(value)?.slice(0, MAX_TOLD) ?? '';
  const { missingProperty, additionalProperty, allowedValues, allowedValue } = params as Record<string, unknown>;
  switch (keyword) {
    case 'required':
      return { path: instancePath, expected: `the field ${told(missingProperty)}` };
    case 'additionalProperties':
    case 'unevaluatedProperties':
      return { path: instancePath, expected: `no field ${told(additionalProperty ?? params.unevaluatedProperty)}` };
    case 'enum':
      return { path: instancePath, expected: `one of ${told(allowedValues)}` };
    case 'const':
      return { path: instancePath, expected: told(allowedValue) };
    default:
      return { path: instancePath, expected: (message ?? keyword).replace(/^must (be )?/, '') };
  }
}

/** The cost of a schema: its depth, and its number of subschemas with all references expanded. */
class Cost {
  private readonly root: unknown;
  private readonly sizes: Map<unknown, number> = new Map();
  private readonly open: Set<unknown> = new Set();

  constructor(root: unknown) {
    this.root = root;
  }

  /** The number of subschemas, at least 1. Throws if too many or too deep, or a reference cannot be resolved. */
  total(): number {
    const total = Math.max(1, this.sizeOf(this.root, 1));
    if (total <= MAX_NODES) return total;
    throw invalid(`has more than ${MAX_NODES} subschemas when its references are written out; make it simpler`);
  }

  private sizeOf(node: unknown, depth: number): number {
    if (typeof node !== 'object' || node === null) return 0;
    if (depth > MAX_DEPTH) throw invalid(`nests deeper than ${MAX_DEPTH}`);
    const known = this.sizes.get(node);
    if (known !== undefined) return known;
    if (this.open.has(node)) throw invalid('refers to itself; write it out as deep as it has to go');
    this.open.add(node);
    let size = 1;
    for (const [key, value] of Object.entries(node)) {
      const isReference = (key === '$ref' || key === '$dynamicRef') && typeof value === 'string';
      if (isReference) size += this.sizeOf(this.target(value), depth + 1);
      else if (key === '$id' && typeof value === 'string' && node !== this.root)
        throw invalid('names a part of itself by "$id"');
      else size += this.sizeOf(value, depth + 1);
      if (size > MAX_NODES) break;
    }
    const { uniqueItems, maxItems } = node as { uniqueItems?: unknown; maxItems?: unknown };
    if (uniqueItems === true && !(typeof maxItems === 'number' && maxItems <= MAX_UNIQUE)) {
      throw invalid(`has "uniqueItems" without a "maxItems" of at most ${MAX_UNIQUE}`);
    }
    this.open.delete(node);
    this.sizes.set(node, size);
    return size;
  }

  /** The target of a local reference: a JSON Pointer from the root. */
  private target(ref: string): unknown {
    if (!/^#(\/[^%]*)?$/.test(ref)) {
      throw invalid(`refers to "${ref.slice(0, MAX_TOLD)}"; only "#/…" inside the schema is followed`);
    }
    let at: unknown = this.root;
    for (const part of ref.split('/').slice(1)) {
      const key = part.replaceAll('~1', '/').replaceAll('~0', '~');
      if (typeof at !== 'object' || at === null || !Object.hasOwn(at, key))
        throw invalid(`refers to ${ref}, which it does not have`);
      at = (at as Record<string, unknown>)[key];
    }
    return at;
  }
}

function invalid(problem: string): BusError {
  return new BusError('VALIDATION_ERROR', `The schema ${problem}.`, { field: 'schema' });
}
