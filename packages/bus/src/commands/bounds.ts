import { type ZodType, z } from 'zod';

/** Size limits of an argument and its parts. */
interface Bound {
  /** Its JSON type; undefined for any. */
  readonly type: string | undefined;
  /** Keys of an object. */
  readonly keys: number;
  /** The only allowed keys of an object, if fixed. */
  readonly known: ReadonlySet<string> | null;
  /** Items of an array. */
  readonly items: number;
  /** The fixed keys of an object that have limits. */
  readonly members: readonly (readonly [string, Bound])[];
  /** The limit of each item, or of each member under other keys. */
  readonly each: Bound | null;
  /** Alternative forms of the value; the one that allows the most keys comes first. */
  readonly choices: readonly Bound[];
}

/** The limits of a command's arguments; null for none. */
export type Bounds = Bound | null;

/** An argument over its limit, and why. */
export interface Excess {
  readonly field: string;
  readonly problem: string;
}

/** The JSON Schema of a schema's input, including `meta` marks. */
export interface SchemaNode {
  readonly $ref?: string;
  readonly $defs?: Readonly<Record<string, SchemaNode>>;
  readonly type?: string;
  readonly secret?: boolean;
  readonly maxProperties?: number;
  readonly maxItems?: number;
  readonly properties?: Readonly<Record<string, SchemaNode>>;
  readonly items?: SchemaNode;
  readonly prefixItems?: readonly SchemaNode[];
  readonly additionalProperties?: SchemaNode | boolean;
  readonly anyOf?: readonly SchemaNode[];
  readonly oneOf?: readonly SchemaNode[];
  readonly allOf?: readonly SchemaNode[];
}

/** Up to this many unknown keys of an object are left to the schema, whose error names each. */
const STRANGERS = 16;

export function schemaNode(schema: ZodType): SchemaNode {
  return z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as SchemaNode;
}

/** The node itself, or the definition that it refers to: schemas with an id are in `$defs`. */
export function resolveNode(node: SchemaNode, root: SchemaNode): SchemaNode {
  return node.$ref === undefined ? node : (root.$defs?.[node.$ref.slice('#/$defs/'.length)] ?? node);
}

/** Derives limits from a JSON Schema: `maxProperties`, `maxItems`, and objects with fixed keys. */
export function boundsOf(root: SchemaNode): Bounds {
  return read(root, root);
}

function read(given: SchemaNode, root: SchemaNode): Bounds {
  const node = resolveNode(given, root);
  const { type, properties = {}, additionalProperties, items, maxProperties = Infinity, maxItems = Infinity } = node;
  const forms = node.anyOf ?? node.oneOf;
  if (forms !== undefined) {
    const choices = forms.map((form) => read(form, root) ?? unbounded(resolveNode(form, root).type));
    if (choices.every(isUnbounded)) return null;
    return { ...unbounded(undefined), choices: choices.sort((one, other) => other.keys - one.keys) };
  }
  const known = additionalProperties === false ? new Set(Object.keys(properties)) : null;
  const bound = {
    type,
    keys: known === null ? maxProperties : known.size + STRANGERS,
    known,
    items: maxItems,
    members: Object.entries(properties).flatMap(([name, member]): [string, Bound][] => {
      const inner = read(member, root);
      return inner === null ? [] : [[name, inner]];
    }),
    each: eachOf(items ?? additionalProperties, root),
    choices: [],
  };
  return isUnbounded(bound) ? null : bound;
}

function eachOf(node: SchemaNode | boolean | undefined, root: SchemaNode): Bounds {
  return typeof node === 'object' ? read(node, root) : null;
}

function unbounded(type: string | undefined): Bound {
  return { type, keys: Infinity, known: null, items: Infinity, members: [], each: null, choices: [] };
}

function isUnbounded({ keys, items, members, each, choices }: Bound): boolean {
  return keys === Infinity && items === Infinity && members.length === 0 && each === null && choices.length === 0;
}

/**
 * Finds the first argument with too many keys or items. It counts before it looks at each, so that refusing costs no
 * more than parsing did; the values are checked by the schema.
 */
export function findExcess(bounds: Bounds, args: unknown): Excess | null {
  return bounds === null ? null : excess(bounds, args, []);
}

function excess(bound: Bound, value: unknown, path: readonly string[]): Excess | null {
  if (typeof value !== 'object' || value === null) return null;
  if (bound.choices.length > 0) return excessOfAll(bound.choices, value, path);
  return Array.isArray(value) ? excessOfList(bound, value, path) : excessOfObject(bound, value as Members, path);
}

type Members = Readonly<Record<string, unknown>>;

/** A value with several forms is over its limit if it is over that of each possible form. */
function excessOfAll(choices: readonly Bound[], value: object, path: readonly string[]): Excess | null {
  const type = Array.isArray(value) ? 'array' : 'object';
  let first: Excess | null = null;
  for (const choice of choices) {
    if (choice.type !== undefined && choice.type !== type) continue;
    const found = excess(choice, value, path);
    if (found === null) return null;
    first ??= found;
  }
  return first;
}

function excessOfList(bound: Bound, value: readonly unknown[], path: readonly string[]): Excess | null {
  if (value.length > bound.items) return { field: fieldOf(path), problem: `must have at most ${bound.items} items` };
  if (bound.each === null) return null;
  for (let at = 0; at < value.length; at += 1) {
    const found = excess(bound.each, value[at], [...path, String(at)]);
    if (found !== null) return found;
  }
  return null;
}

function excessOfObject(bound: Bound, value: Members, path: readonly string[]): Excess | null {
  if (bound.keys !== Infinity && isOver(value, bound.keys)) return tooMany(bound, value, path);
  for (const [name, member] of bound.members) {
    const found = Object.hasOwn(value, name) ? excess(member, value[name], [...path, name]) : null;
    if (found !== null) return found;
  }
  if (bound.each === null) return null;
  for (const key of Object.keys(value)) {
    const found = excess(bound.each, value[key], [...path, key]);
    if (found !== null) return found;
  }
  return null;
}

function isOver(value: Members, limit: number): boolean {
  let count = 0;
  for (const _key in value) {
    count += 1;
    if (count > limit) return true;
  }
  return false;
}

function tooMany({ known, keys }: Bound, value: Members, path: readonly string[]): Excess {
  if (known === null) return { field: fieldOf(path), problem: `must have at most ${keys} keys` };
  for (const key in value) if (!known.has(key)) return { field: fieldOf([...path, key]), problem: 'is not known here' };
  return { field: fieldOf(path), problem: 'has keys that are not known here' };
}

/** Longest field name in an error, in UTF-16 units. */
const MAX_FIELD = 256;

/** The path of an invalid argument, as in errors: `rules.0.match`; truncated if long. */
export function fieldOf(path: readonly PropertyKey[]): string {
  // Truncation may have split a surrogate pair.
  return Buffer.from(path.map(String).join('.').slice(0, MAX_FIELD)).toString() || 'args';
}
