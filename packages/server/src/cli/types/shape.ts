import type { JsonObject } from '@arqonbus/protocol';

/** The part of a JSON Schema that a type can express. */
export type Shape =
  | { readonly kind: 'any' }
  | { readonly kind: 'never' }
  | { readonly kind: 'string' | 'integer' | 'number' | 'boolean' | 'null' }
  | { readonly kind: 'literal'; readonly value: string | number | boolean }
  | { readonly kind: 'list'; readonly items: Shape }
  | { readonly kind: 'tuple'; readonly items: readonly Shape[] }
  | { readonly kind: 'object'; readonly fields: ReadonlyMap<string, Field>; readonly others: Shape | null }
  | { readonly kind: 'union' | 'all'; readonly of: readonly Shape[] }
  | { readonly kind: 'named'; readonly name: string };

export interface Field {
  readonly shape: Shape;
  readonly isRequired: boolean;
  /** The schema's description. */
  readonly about: string | null;
}

/** A named type. */
export interface Declaration {
  readonly name: string;
  readonly shape: Shape;
  readonly about: string | null;
}

const ANY: Shape = { kind: 'any' };
const NEVER: Shape = { kind: 'never' };
/** Deeper than any schema accepted by the bus; anything below is ignored. */
const MAX_DEPTH = 64;
/** Maximum members of a union; larger ones become `any`. */
const MAX_UNION = 200;

/** Reads the schemas of channels; `$ref` targets become separate declarations. */
export class ShapeReader {
  /** All named types, each after its dependencies, unless it is recursive. */
  readonly declarations: Declaration[] = [];
  private readonly taken: Set<string> = new Set();

  /** Reads the schema of one channel and returns the name of its type. */
  read(match: string, schema: unknown): string {
    const name = this.free(`${pascal(match) || 'Channel'}Payload`);
    const reader = new SchemaReader(schema, name, (wanted) => this.free(wanted), this.declarations);
    this.declarations.push({ name, shape: reader.read(schema, 0), about: aboutOf(schema) });
    return name;
  }

  /** An unused name. */
  private free(wanted: string): string {
    let name = wanted;
    for (let number = 2; this.taken.has(name); number += 1) name = `${wanted}${number}`;
    this.taken.add(name);
    return name;
  }
}

class SchemaReader {
  private readonly root: unknown;
  private readonly base: string;
  private readonly free: (wanted: string) => string;
  private readonly declarations: Declaration[];
  /** Names of reference targets, by pointer. */
  private readonly named: Map<string, string> = new Map();

  constructor(root: unknown, base: string, free: (wanted: string) => string, declarations: Declaration[]) {
    this.root = root;
    this.base = base;
    this.free = free;
    this.declarations = declarations;
  }

  read(schema: unknown, depth: number): Shape {
    if (schema === false) return NEVER;
    if (!isObject(schema) || depth > MAX_DEPTH) return ANY;
    const parts: Shape[] = [];
    if (typeof schema.$ref === 'string') parts.push(this.refer(schema.$ref, depth));
    parts.push(this.plain(schema, depth));
    for (const one of listOf(schema.allOf)) parts.push(this.read(one, depth + 1));
    for (const alternatives of [schema.anyOf, schema.oneOf]) {
      const shapes = listOf(alternatives).map((one) => this.read(one, depth + 1));
      if (shapes.length > 0) parts.push(union(shapes));
    }
    return parts.reduce(both, ANY);
  }

  /** The shape of a schema without its combined schemas. */
  private plain(schema: JsonObject, depth: number): Shape {
    if ('const' in schema) return literal(schema.const);
    if (Array.isArray(schema.enum)) return union(schema.enum.map(literal));
    const types = typeof schema.type === 'string' ? [schema.type] : listOf(schema.type);
    if (types.length > 0) return union(types.map((type) => this.ofType(type, schema, depth)));
    // Strictly, these keywords do not restrict the type, but that is what authors mean.
    if ('properties' in schema || 'required' in schema || 'additionalProperties' in schema) {
      return this.object(schema, depth);
    }
    return 'items' in schema || 'prefixItems' in schema ? this.list(schema, depth) : ANY;
  }

  private ofType(type: unknown, schema: JsonObject, depth: number): Shape {
    switch (type) {
      case 'string':
      case 'integer':
      case 'number':
      case 'boolean':
      case 'null':
        return { kind: type };
      case 'array':
        return this.list(schema, depth);
      case 'object':
        return this.object(schema, depth);
      default:
        return ANY;
    }
  }

  private list({ items, prefixItems }: JsonObject, depth: number): Shape {
    const first = listOf(prefixItems).map((one) => this.read(one, depth + 1));
    if (first.length === 0) return { kind: 'list', items: items === undefined ? ANY : this.read(items, depth + 1) };
    if (items === false) return { kind: 'tuple', items: first };
    return { kind: 'list', items: union([...first, items === undefined ? ANY : this.read(items, depth + 1)]) };
  }

  private object(schema: JsonObject, depth: number): Shape {
    const { properties, additionalProperties, patternProperties } = schema;
    const required = new Set(listOf(schema.required));
    const fields = new Map<string, Field>();
    for (const [name, one] of isObject(properties) ? Object.entries(properties) : []) {
      const isRequired = required.delete(name);
      fields.set(name, { shape: this.read(one, depth + 1), isRequired, about: aboutOf(one) });
    }
    for (const name of required) {
      if (typeof name === 'string') fields.set(name, { shape: ANY, isRequired: true, about: null });
    }
    const hasPatterns = isObject(patternProperties) && Object.keys(patternProperties).length > 0;
    if (hasPatterns) return { kind: 'object', fields, others: ANY };
    if (additionalProperties === undefined) return { kind: 'object', fields, others: fields.size === 0 ? ANY : null };
    if (additionalProperties === false) return { kind: 'object', fields, others: null };
    return { kind: 'object', fields, others: this.read(additionalProperties, depth + 1) };
  }

  /** A separate type for the target of a reference. */
  private refer(reference: string, depth: number): Shape {
    const known = this.named.get(reference);
    if (known !== undefined) return { kind: 'named', name: known };
    const target = pointedAt(this.root, reference);
    if (target === undefined) return ANY;
    const name = this.free(`${this.base}${pascal(reference.slice(reference.lastIndexOf('/') + 1)) || 'Part'}`);
    // Before reading it, since it may be recursive.
    this.named.set(reference, name);
    this.declarations.push({ name, shape: this.read(target, depth + 1), about: aboutOf(target) });
    return { kind: 'named', name };
  }
}

/** The intersection of two shapes. */
function both(one: Shape, other: Shape): Shape {
  if (one.kind === 'any') return other;
  if (other.kind === 'any') return one;
  if (one.kind === 'object' && other.kind === 'object') {
    const fields = new Map(one.fields);
    for (const [name, field] of other.fields) {
      const known = fields.get(name);
      fields.set(
        name,
        known === undefined
          ? field
          : {
              shape: both(known.shape, field.shape),
              isRequired: known.isRequired || field.isRequired,
              about: known.about ?? field.about,
            },
      );
    }
    return {
      kind: 'object',
      fields,
      others: one.others === null ? other.others : both(one.others, other.others ?? ANY),
    };
  }
  const members = (shape: Shape): number => (shape.kind === 'union' ? shape.of.length : 1);
  if (members(one) * members(other) <= MAX_UNION) {
    if (one.kind === 'union') return union(one.of.map((member) => both(member, other)));
    if (other.kind === 'union') return union(other.of.map((member) => both(one, member)));
  }
  if (keyOf(one) === keyOf(other)) return one;
  return { kind: 'all', of: [one, other] };
}

/** The union of shapes, without duplicates. */
function union(shapes: readonly Shape[]): Shape {
  const members = new Map<string, Shape>();
  for (const shape of shapes.flatMap((one) => (one.kind === 'union' ? one.of : [one]))) {
    if (shape.kind === 'any') return ANY;
    if (shape.kind !== 'never') members.set(keyOf(shape), shape);
  }
  const of = [...members.values()];
  if (of.length > MAX_UNION) return ANY;
  if (of.length < 2) return of[0] ?? NEVER;
  return { kind: 'union', of };
}

/** Equal for equal shapes. */
function keyOf(shape: Shape): string {
  return JSON.stringify(shape, (_name, value: unknown) => (value instanceof Map ? [...value] : value));
}

function literal(value: unknown): Shape {
  if (value === null) return { kind: 'null' };
  if (typeof value === 'string' || typeof value === 'boolean') return { kind: 'literal', value };
  if (typeof value === 'number') return Number.isSafeInteger(value) ? { kind: 'literal', value } : { kind: 'number' };
  return ANY;
}

/** Resolves a JSON Pointer within the schema; undefined if it points nowhere. */
function pointedAt(root: unknown, reference: string): unknown {
  if (!reference.startsWith('#')) return undefined;
  let at: unknown = root;
  for (const step of reference.slice(1).split('/').slice(1)) {
    const name = decoded(step).replaceAll('~1', '/').replaceAll('~0', '~');
    if (typeof at !== 'object' || at === null || !Object.hasOwn(at, name)) return undefined;
    at = (at as JsonObject)[name];
  }
  return at;
}

function decoded(step: string): string {
  try {
    return decodeURIComponent(step);
  } catch {
    return step;
  }
}

/** The letters and digits of a text as a type name: `orders:eu.*` becomes `OrdersEuAny`. */
function pascal(text: string): string {
  const words =
    text
      .replaceAll('*', ' any ')
      .replaceAll('>', ' all ')
      .match(/[A-Za-z0-9]+/g) ?? [];
  const name = words
    .map((word) => word.charAt(0).toUpperCase() + word.slice(1))
    .join('')
    .slice(0, 100);
  return /^\d/.test(name) ? `Channel${name}` : name;
}

function aboutOf(schema: unknown): string | null {
  if (!isObject(schema)) return null;
  const text = schema.description ?? schema.title;
  return typeof text === 'string' ? text : null;
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
