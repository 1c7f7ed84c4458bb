import { type ZodType, z } from 'zod';

/** How much there may be of an argument and of what is in it. */
interface Bound {
  /** What JSON calls such a value; undefined when it may be anything. */
  readonly type: string | undefined;
  /** Keys of an object. */
  readonly keys: number;
  /** The only keys of an object, when they are fixed. */
  readonly known: ReadonlySet<string> | null;
  /** Items of an array. */
  readonly items: number;
  /** What has a bound among an object's fixed keys. */
  readonly members: readonly (readonly [string, Bound])[];
  /** What each item, or each member under other keys, has for a bound. */
  readonly each: Bound | null;
  /** Forms of which the value may have any; the one with most room comes first. */
  readonly choices: readonly Bound[];
}

/** The bounds of a command's arguments; null when there is nothing to count. */
export type Bounds = Bound | null;

/** An argument that is over its bound, and in which way. */
export interface Excess {
  readonly field: string;
  readonly problem: string;
}

/** The JSON Schema that a schema is for whoever sends; marks of `meta` are in it. */
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

/** Unknown keys of an object that are left to the schema, whose refusal says more of each. */
const STRANGERS = 16;

export function schemaNode(schema: ZodType): SchemaNode {
  return z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as SchemaNode;
}

/** The node itself, or the definition that it refers to: what has an id of its own stands among the definitions. */
export function resolveNode(node: SchemaNode, root: SchemaNode): SchemaNode {
  return node.$ref === undefined ? node : (root.$defs?.[node.$ref.slice('#/$defs/'.length)] ?? node);
}

/** Reads the bounds of arguments from their JSON Schema: `maxProperties`, `maxItems`, and objects of fixed keys. */
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
 * Finds the first argument that has more keys or items than it may. It counts before it looks at any of them, so that
 * what is refused here costs no more than to have been read; values themselves are left to the schema.
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

/** What has many forms is over its bound when it is over that of each form that it can be. */
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

/** Longest field that a refusal names, in UTF-16 units. */
const MAX_FIELD = 256;

/** The argument at fault, as refusals name it: `rules.0.match`; cut off where keys are long. */
export function fieldOf(path: readonly PropertyKey[]): string {
  // A cut may have parted a surrogate pair.
  return Buffer.from(path.map(String).join('.').slice(0, MAX_FIELD)).toString() || 'args';
}
