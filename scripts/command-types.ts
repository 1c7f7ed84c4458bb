import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { type AnyCommand, commandSchemas, NOTICES, SchemaDefinitions } from '@arqonbus/bus';
import type { JsonObject } from '@arqonbus/protocol';

/** Where the types are written, relative to the root of the repository. */
export const TYPES_FILE = 'packages/protocol/src/commands.ts';

/** Where {@link typeText} looks up definitions. */
export const PREFIX = '#/$defs/';
/** Types that are already in packages/protocol/src/envelope.ts. */
const IMPORTED: ReadonlySet<string> = new Set(['ClientType', 'Envelope', 'JsonObject', 'Role', 'SenderRecord']);

/** The JSON Schema features that the declarations use. */
export interface Schema {
  readonly $ref?: string;
  readonly type?: string | readonly string[];
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
  readonly items?: Schema;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: boolean | Schema;
  readonly description?: string;
}

const SCALARS: Readonly<Record<string, string>> = {
  string: 'string',
  number: 'number',
  integer: 'number',
  boolean: 'boolean',
  null: 'null',
};

/** The TypeScript type of the values that a JSON Schema accepts; named definitions are referenced by name. */
export function typeText(schema: Schema | JsonObject | boolean, comments = false): string {
  if (schema === false) return 'never';
  if (schema === true) return 'unknown';
  const { $ref, type, items, anyOf, oneOf = anyOf } = schema as Schema;
  if ($ref !== undefined) return $ref.slice(PREFIX.length);
  if ('const' in schema) return JSON.stringify(schema.const);
  const choices = (schema as Schema).enum;
  if (choices !== undefined) return union(choices.map((choice) => JSON.stringify(choice)));
  if (oneOf !== undefined) return union(oneOf.map((one) => typeText(one, comments)));
  if (typeof type === 'object') return union(type.map((one) => typeText({ ...schema, type: one }, comments)));
  if (type === 'object') return objectText(schema as Schema, comments);
  if (type === 'array') return arrayText(typeText(items ?? true, comments));
  return type === undefined ? 'unknown' : (SCALARS[type] as string);
}

function union(types: readonly string[]): string {
  return [...new Set(types)].join(' | ');
}

function arrayText(item: string): string {
  return item.includes('|') && !item.startsWith('{') ? `(${item})[]` : `${item}[]`;
}

function objectText(
  { properties = {}, required = [], additionalProperties = true }: Schema,
  comments: boolean,
): string {
  const further = additionalProperties === false ? undefined : typeText(additionalProperties, comments);
  const members = Object.entries(properties).map(([name, property]) => {
    const mark = required.includes(name) ? '' : '?';
    const said = comments ? comment(property.description) : '';
    return `${said}${propertyName(name)}${mark}: ${typeText(property, comments)};`;
  });
  if (members.length > 0) {
    return `{ ${[...members, ...(further === undefined ? [] : [`[key: string]: ${further};`])].join('\n')} }`;
  }
  if (further === undefined) return 'Record<string, never>';
  return further === 'unknown' ? 'JsonObject' : `Record<string, ${further}>`;
}

function propertyName(name: string): string {
  return /^[A-Za-z_]\w*$/.test(name) ? name : JSON.stringify(name);
}

function comment(text: string | undefined): string {
  return text === undefined ? '' : `/** ${text.replaceAll('*/', '*\\/')} */\n`;
}

/** The source of the protocol's command types: the arguments, responses and notices. */
export function commandTypes(commands: readonly AnyCommand[]): string {
  const definitions = new SchemaDefinitions(PREFIX);
  const described = commandSchemas(commands, definitions);
  const notices = Object.values(NOTICES).map((notice) => definitions.add(notice));
  const contentOf = (reference: JsonObject): JsonObject =>
    definitions.all[String(reference.$ref).slice(PREFIX.length)] as JsonObject;

  const members = described.map(({ command, args, result }) => {
    const types = `args: ${typeText(contentOf(args), true)}; result: ${typeText(contentOf(result), true)}`;
    return `${comment(command.description)}${propertyName(command.name)}: { ${types} };`;
  });
  const used = [...described.flatMap(({ args, result }) => [contentOf(args), contentOf(result)]), ...notices];
  const records = namesIn(used, definitions.all).map((name) => recordText(name, definitions.all[name] as Schema));
  const names = described.map(({ command }) => JSON.stringify(command.name));
  const source = `
    // Made from the declarations of the commands by \`npm run docs\`; do not edit.
    import type { ClientType, Envelope, JsonObject, Role, SenderRecord } from './envelope.ts';

    ${records.join('\n\n')}

    /** The payload of a \`system\` envelope, told apart by its \`event\`. */
    export type Notice = ${notices.map((notice) => typeText(notice)).join(' | ')};

    /** Every command of the protocol: its arguments and the \`payload\` of its successful answer (PROTOCOL section 7). */
    export interface Commands { ${members.join('\n\n')} }

    export type CommandName = keyof Commands;
    export type CommandArgs<N extends CommandName> = Commands[N]['args'];
    export type CommandResult<N extends CommandName> = Commands[N]['result'];

    /** The names of all commands, in their order; aliases are left out. */
    export const COMMAND_NAMES: readonly CommandName[] = [${names.join(', ')}];
  `;
  return format(source);
}

/** The definitions reachable from `schemas` that must be written, in order of discovery. */
export function namesIn(schemas: readonly unknown[], all: Readonly<Record<string, JsonObject>>): string[] {
  const found = new Set<string>();
  const visit = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) return;
    for (const [key, item] of Object.entries(value)) {
      const name = key === '$ref' && typeof item === 'string' ? item.slice(PREFIX.length) : undefined;
      if (name === undefined) visit(item);
      else if (!IMPORTED.has(name) && !found.has(name)) {
        found.add(name);
        visit(all[name]);
      }
    }
  };
  for (const schema of schemas) visit(schema);
  return [...found];
}

function recordText(name: string, schema: Schema): string {
  const text = typeText(schema, true);
  const declaration = text.startsWith('{') ? `interface ${name} ${text}` : `type ${name} = ${text};`;
  return `${comment(schema.description)}export ${declaration}`;
}

function format(source: string): string {
  const root = fileURLToPath(new URL('..', import.meta.url));
  const biome = `${root}node_modules/@biomejs/biome/bin/biome`;
  const options = { cwd: root, input: source.trimStart(), encoding: 'utf8' } as const;
  return execFileSync(process.execPath, [biome, 'format', `--stdin-file-path=${TYPES_FILE}`], options);
}
