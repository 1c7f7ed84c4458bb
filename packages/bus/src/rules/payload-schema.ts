import { BusError } from '@arqonbus/protocol';
import type { ErrorObject, ValidateFunction } from 'ajv';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { RE2JS } from 're2js';

/** UTF-8 bytes of one schema. */
const MAX_BYTES = 65_536;
/** Levels of nesting. */
const MAX_DEPTH = 32;
/** Subschemas when every reference is written out: what checking one value may cost. */
const MAX_NODES = 5_000;
/** Items that may be compared with each other. */
const MAX_UNIQUE = 1_000;
/** Longest pattern. */
const MAX_PATTERN = 512;
/** How much of a wrong value is told. */
const MAX_TOLD = 100;
const DIALECT = 'https://json-schema.org/draft/2020-12/schema';

/** Where a payload is not as its schema says. */
export interface Mismatch {
  /** JSON Pointer into the payload; empty for all of it. */
  readonly path: string;
  /** What the schema asks for there, as a phrase. */
  readonly expected: string;
}

/** Tells the first mismatch of a payload, or null. Its cost is bounded by the schema's bounds and the payload's size. */
export type PayloadCheck = (payload: unknown) => Mismatch | null;

/**
 * Compiles a JSON Schema (2020-12) once. Throws VALIDATION_ERROR for one that is malformed, over 64 KiB, nested deeper
 * than 32, refers to another document or to itself, or could cost too much to check. Patterns are of RE2's syntax, whose
 * time is linear. `format` is an annotation, as the standard has it.
 */
export function compileSchema(schema: object | boolean): PayloadCheck {
  const text = JSON.stringify(schema);
  if (Buffer.byteLength(text) > MAX_BYTES) throw invalid(`is over ${MAX_BYTES} bytes; make it smaller`);
  requireDialect(schema);
  new Cost(schema).check();
  const validate = compiled(schema);
  return (payload) => {
    if (validate(payload) === true) return null;
    const [error] = validate.errors ?? [];
    return error === undefined ? { path: '', expected: 'another value' } : mismatchOf(error);
  };
}

function requireDialect(schema: object | boolean): void {
  const { $schema: dialect } = schema as { readonly $schema?: unknown };
  if (dialect === undefined || (typeof dialect === 'string' && dialect.replace(/#$/, '') === DIALECT)) return;
  throw invalid(
    `is of the dialect ${JSON.stringify(dialect).slice(0, MAX_TOLD)}; write it as 2020-12, with "$schema": "${DIALECT}" or none`,
  );
}

function compiled(schema: object | boolean): ValidateFunction {
  const ajv = new Ajv2020({
    strict: false,
    validateFormats: false,
    // A payload has the fields that it was sent with, and no "constructor" by its prototype.
    ownProperties: true,
    logger: false,
    // Nothing is fetched: a reference that is not inside the schema does not compile.
    code: { regExp: Object.assign(linearRegExp, { code: 'linearRegExp' }) },
  });
  try {
    if (typeof schema === 'boolean') return ajv.compile(schema);
    // Its own name means nothing here, and two rules may have the same.
    const { $id: _name, ...nameless } = schema as { readonly $id?: unknown };
    return ajv.compile(nameless);
  } catch (error) {
    throw invalid(`cannot be compiled: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** Ajv's patterns by RE2: a payload cannot make one take longer than linear time. */
function linearRegExp(pattern: string): { test(text: string): boolean; toString(): string } {
  if (pattern.length > MAX_PATTERN) throw new Error(`a pattern is longer than ${MAX_PATTERN} characters`);
  const regExp = RE2JS.compile(pattern);
  // Ajv shares what has the same text.
  return { test: (text) => regExp.matcher(text).find(), toString: () => pattern };
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

/** What a schema may cost: how deep it is, and how many subschemas it has when each reference is written out. */
class Cost {
  private readonly root: unknown;
  private readonly sizes: Map<unknown, number> = new Map();
  private readonly open: Set<unknown> = new Set();

  constructor(root: unknown) {
    this.root = root;
  }

  check(): void {
    if (this.sizeOf(this.root, 1) > MAX_NODES) {
      throw invalid(`has more than ${MAX_NODES} subschemas when its references are written out; make it simpler`);
    }
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

  /** What a local reference names: a JSON Pointer from the root. */
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
