import { type AnyCommand, type CommandSchemas, commandSchemas, SchemaDefinitions } from '@arqonbus/bus';
import type { JsonObject } from '@arqonbus/protocol';
import { namesIn, PREFIX, type Schema, typeText } from './command-types.ts';

/** docs/commands.md: every command with its arguments and response, and the records in responses. */
export function commandsPage(commands: readonly AnyCommand[]): string {
  const definitions = new SchemaDefinitions(PREFIX);
  const described = commandSchemas(commands, definitions);
  const contentOf = (reference: JsonObject): Schema =>
    definitions.all[String(reference.$ref).slice(PREFIX.length)] as Schema;
  const schemas = described.flatMap(({ args, result }) => [contentOf(args), contentOf(result)]);
  const records = namesIn(schemas, definitions.all).sort();
  return [
    '# Commands',
    '',
    'Every command of the bus with its arguments and its answer, for developers of clients. `npm run docs` generates this',
    'page from the code. Types are written as in TypeScript. `@arqonbus/protocol` exports them as',
    "`CommandArgs<'NAME'>` and `CommandResult<'NAME'>`, and [protocol.schema.json](protocol.schema.json) as JSON",
    'Schemas. `room` and `channel` may each contain `room:channel`.',
    '',
    ...described.map((one) => section(one, contentOf)),
    '## Records',
    '',
    'The objects in the answers. An `Envelope` is an event as it was delivered; [protocol.md](protocol.md) describes it.',
    '',
    ...records.flatMap((name) => {
      const record = definitions.all[name] as Schema;
      const said = record.description === undefined ? [] : [record.description, ''];
      return [`### ${name}`, '', ...said, ...fields('field', 'always', record), ''];
    }),
  ].join('\n');
}

function section({ command, args, result }: CommandSchemas, contentOf: (reference: JsonObject) => Schema): string {
  const { name, aliases = [], role, description } = command;
  const also = aliases.length === 0 ? '' : ` Also called ${aliases.map((alias) => `\`${alias}\``).join(', ')}.`;
  const answer = contentOf(result);
  return [
    `## ${name}`,
    '',
    `${description} Role: \`${role}\`.${also}`,
    '',
    ...fields('argument', 'required', contentOf(args)),
    '',
    ...(answer.$ref === undefined ? fields('answer', 'always', answer) : [`Answers \`${typeText(answer)}\`.`]),
    '',
  ].join('\n');
}

/** A table of an object's members, each with its type and whether it is optional. */
function fields(title: string, always: string, schema: Schema): string[] {
  const { properties, required = [] } = schema;
  if (properties === undefined) return [code(typeText(schema))];
  const rows = Object.entries(properties).map(([name, property]) => {
    const mark = required.includes(name) ? always : '';
    return `| \`${name}\` | ${code(typeText(property))} | ${mark} | ${property.description ?? ''} |`;
  });
  return rows.length === 0 ? [`No ${title}s.`] : [`| ${title} | type | | |`, '|---|---|---|---|', ...rows];
}

/** A bar would end the table cell, even in code. */
function code(text: string): string {
  return `\`${text.replaceAll('\n', ' ').replaceAll('|', '\\|')}\``;
}
