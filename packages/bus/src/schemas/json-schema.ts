import type { JsonObject } from '@arqonbus/protocol';
import { type ZodType, z } from 'zod';

/**
 * JSON Schemas (2020-12) that refer to each other: what a schema is made of and has an id becomes a definition under
 * that id, once, and a reference wherever it is used.
 */
export class SchemaDefinitions {
  /** By name. */
  readonly all: Record<string, JsonObject> = {};
  private readonly prefix: string;

  /** @param prefix where the definitions will stand in the document, like `#/$defs/` or `#/components/schemas/` */
  constructor(prefix: string) {
    this.prefix = prefix;
  }

  /** What a sender must meet for `schema` to accept it; for a schema with an id, a reference to its definition. */
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

  /** Gives a schema a name; answers a reference to it. Throws when the name means something else already. */
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
    // That names are strings goes without saying.
    const said = Object.entries(schema).filter(
      ([key, value]) => key !== 'propertyNames' || Object.keys(value).length > 1,
    );
    return Object.fromEntries(said.map(([key, value]) => [key, this.relocated(key, value)]));
  }

  private relocated(key: string, value: unknown): unknown {
    return key === '$ref' && typeof value === 'string' ? value.replace('#/$defs/', this.prefix) : this.relocate(value);
  }
}

/** JSON Schema has a word of its own for what is given and never shown. */
export function tellSecret({ jsonSchema }: { jsonSchema: object }): void {
  const schema = jsonSchema as JsonObject;
  if (schema.secret !== true) return;
  delete schema.secret;
  schema.writeOnly = true;
}
