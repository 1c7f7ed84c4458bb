import type { JsonObject } from '@arqonbus/protocol';
import { type ZodType, z } from 'zod';

/**
 * JSON Schemas (2020-12) with shared definitions: each nested schema with an id is defined once under that id, and
 * referenced wherever it is used.
 */
export class SchemaDefinitions {
  /** By name. */
  readonly all: Record<string, JsonObject> = {};
  private readonly prefix: string;

  /** @param prefix the path of the definitions in the document, like `#/$defs/` or `#/components/schemas/` */
  constructor(prefix: string) {
    this.prefix = prefix;
  }

  /** The input schema of `schema`; for a schema with an id, a reference to its definition. */
  add(schema: ZodType): JsonObject {
    const {
      $schema: _dialect,
      $defs = {},
      ...rest
    } = z.toJSONSchema(schema, {
      io: 'input',
      unrepresentable: 'any',
      override: tellSecret,
    });
    for (const [name, definition] of Object.entries($defs)) this.define(name, this.relocate(definition) as JsonObject);
    return this.relocate(rest) as JsonObject;
  }

  /** Names a schema; returns a reference to it. Throws when the name is already used for another schema. */
  define(name: string, definition: JsonObject): JsonObject {
    const known = this.all[name];
    if (known !== undefined && JSON.stringify(known) !== JSON.stringify(definition)) {
      throw new Error(`Two schemas are called "${name}".`);
    }
    this.all[name] = definition;
    return this.reference(name);
  }

  reference(name: string): JsonObject {
    return { $ref: `${this.prefix}${name}` };
  }

  private relocate(schema: unknown): unknown {
    if (Array.isArray(schema)) return schema.map((item) => this.relocate(item));
    if (typeof schema !== 'object' || schema === null) return schema;
    // Omit the trivial statement that property names are strings.
    const said = Object.entries(schema).filter(
      ([key, value]) => key !== 'propertyNames' || Object.keys(value).length > 1,
    );
    return Object.fromEntries(said.map(([key, value]) => [key, this.relocated(key, value)]));
  }

  private relocated(key: string, value: unknown): unknown {
    return key === '$ref' && typeof value === 'string' ? value.replace('#/$defs/', this.prefix) : this.relocate(value);
  }
}

/** Converts the `secret` mark to JSON Schema's `writeOnly`. */
export function tellSecret({ jsonSchema }: { jsonSchema: object }): void {
  const schema = jsonSchema as JsonObject;
  if (schema.secret !== true) return;
  delete schema.secret;
  schema.writeOnly = true;
}
