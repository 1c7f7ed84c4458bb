import { BusError } from '@arqonbus/protocol';
import { isObject } from './json-value.ts';
import { type Check, here, type Mismatch } from './schema-assertions.ts';
import { StepBudget, TooCostly } from './schema-budget.ts';
import { SchemaCompiler } from './schema-compiler.ts';

/** UTF-8 bytes of one schema. */
const MAX_BYTES = 65_536;
/** Levels of nesting. */
const MAX_DEPTH = 32;
/** Subschemas when every reference is written out. */
const MAX_NODES = 5_000;
/** Items that may be compared with each other. */
const MAX_UNIQUE = 1_000;
/** How much of a wrong value is told. */
const MAX_TOLD = 100;
const DIALECT = /^https:\/\/json-schema\.org\/draft\/2020-12\/schema#?$/;

/** Tells the first mismatch of a payload, or null. One that takes too many steps to check is a mismatch. */
export type PayloadCheck = (payload: unknown) => Mismatch | null;

/**
 * Compiles a JSON Schema (2020-12) once, in a few milliseconds. Throws VALIDATION_ERROR for one that is malformed, over 64 KiB,
 * nested deeper than 32, refers to another document or to itself, or is too large. Patterns are of RE2's syntax, whose
 * time is linear. `format` is an annotation, as the standard has it.
 */
export function compileSchema(schema: object | boolean): PayloadCheck {
  const text = JSON.stringify(schema);
  if (Buffer.byteLength(text) > MAX_BYTES) throw invalid(`is over ${MAX_BYTES} bytes; make it smaller`);
  const cost = new Cost(schema);
  cost.check();
  const check = compiled(schema, (ref) => cost.target(ref));
  return (payload) => {
    try {
      return check(payload, new StepBudget());
    } catch (error) {
      if (error instanceof TooCostly) return here('less: to check all of this against the schema takes too long');
      throw error;
    }
  };
}

function compiled(schema: object | boolean, target: (ref: string) => unknown): Check {
  if (isObject(schema) && schema.$schema !== undefined && !DIALECT.test(String(schema.$schema))) {
    throw invalid('says with "$schema" that it is none of 2020-12');
  }
  try {
    return new SchemaCompiler(target).compile(schema).check;
  } catch (error) {
    if (error instanceof BusError) throw error;
    throw invalid(`cannot be compiled: ${error instanceof Error ? error.message : String(error)}`);
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
  target(ref: string): unknown {
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
