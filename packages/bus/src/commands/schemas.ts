import type { JsonObject } from '@arqonbus/protocol';
import { ANSWER, INBOUND, OUTBOUND, SENT_COMMAND } from '../schemas/envelopes.ts';
import { SchemaDefinitions } from '../schemas/json-schema.ts';
import type { AnyCommand } from './command.ts';

/** A command in a document. `args` and `result` refer to definitions `NameArgs` and `NameResult`. */
export interface CommandSchemas {
  readonly command: AnyCommand;
  /** Its name and its aliases. */
  readonly names: readonly string[];
  readonly args: JsonObject;
  readonly result: JsonObject;
  /** Whether a call may omit the arguments. */
  readonly argsOptional: boolean;
}

/** The schemas of the wire protocol: references into `definitions`, by direction and type. */
export interface WireSchemas {
  readonly definitions: Readonly<Record<string, JsonObject>>;
  readonly inbound: Readonly<Record<'event' | 'private' | 'command' | 'telemetry', JsonObject>>;
  readonly outbound: Readonly<
    Record<'event' | 'private' | 'telemetry' | 'ack' | 'welcome' | 'system' | 'command_response' | 'error', JsonObject>
  >;
}

/** The type name of a command: `op.history.get` becomes `OpHistoryGet`. */
export function typeName(command: string): string {
  return command.replaceAll(/(?:^|[._])([a-z])/g, (_all, letter: string) => letter.toUpperCase());
}

/** Defines the arguments and results of commands, for documents that describe calls. */
export function commandSchemas(commands: readonly AnyCommand[], definitions: SchemaDefinitions): CommandSchemas[] {
  return commands.map((command) => {
    const { name, aliases = [] } = command;
    const type = typeName(name);
    return {
      command,
      names: [name, ...aliases],
      args: definitions.define(`${type}Args`, definitions.add(command.args)),
      result: definitions.define(`${type}Result`, definitions.add(command.result)),
      argsOptional: command.args.safeParse({}).success,
    };
  });
}

/**
 * The envelopes of both directions, with every command, answer and notice typed, as strict as the server.
 *
 * @param prefix the path of the definitions in the document, like `#/$defs/`
 */
export function wireSchemas(commands: readonly AnyCommand[], prefix: string): WireSchemas {
  const definitions = new SchemaDefinitions(prefix);
  const described = commandSchemas(commands, definitions);
  const { refused_command, ...outbound } = OUTBOUND;
  const add = (schemas: Readonly<Record<string, (typeof OUTBOUND)['event']>>): Record<string, JsonObject> =>
    Object.fromEntries(Object.entries(schemas).map(([type, schema]) => [type, definitions.add(schema)]));
  return {
    inbound: { ...add(INBOUND), command: sentCommand(described, definitions) } as WireSchemas['inbound'],
    outbound: {
      ...add(outbound),
      command_response: answers(described, definitions, definitions.add(refused_command)),
    } as WireSchemas['outbound'],
    definitions: definitions.all,
  };
}

interface ObjectSchema {
  readonly type: 'object';
  readonly properties: JsonObject;
  readonly required: readonly string[];
}

function sentCommand(described: readonly CommandSchemas[], definitions: SchemaDefinitions): JsonObject {
  // A command's own fields are combined with the shared ones by `allOf`, to keep the document small.
  const fields = { type: 'object', allOf: [definitions.add(SENT_COMMAND)] };
  const each = described.map(({ command, names, args, argsOptional }) =>
    definitions.define(`${typeName(command.name)}Command`, {
      ...fields,
      description: command.description,
      properties: { command: oneOf(names), args },
      required: ['command', ...(argsOptional ? [] : ['args'])],
    }),
  );
  const nested = described.map(({ names, args, argsOptional }) => ({
    type: 'object',
    properties: { command: oneOf(names), parameters: args },
    required: ['command', ...(argsOptional ? [] : ['parameters'])],
  }));
  const inPayload = definitions.define('CommandInPayload', {
    ...fields,
    description: 'The same in its alternative form: the name and the arguments are in the payload.',
    properties: { command: false, args: false, payload: { oneOf: nested } },
    required: ['payload'],
  });
  const description = 'Asks the server for something.';
  return definitions.define('SentCommand', { description, oneOf: [...each, inPayload] });
}

function answers(
  described: readonly CommandSchemas[],
  definitions: SchemaDefinitions,
  refusal: JsonObject,
): JsonObject {
  const base = definitions.add(ANSWER) as unknown as ObjectSchema;
  const each = described.map(({ command, names, result }) =>
    definitions.define(`${typeName(command.name)}Answer`, {
      ...base,
      properties: { ...base.properties, command: oneOf(names), payload: result },
      required: [...base.required, 'command', 'payload'],
    }),
  );
  return definitions.define('CommandResponse', {
    description: 'The answer to a command.',
    oneOf: [...each, refusal],
  });
}

function oneOf(names: readonly string[]): JsonObject {
  return names.length === 1 ? { type: 'string', const: names[0] } : { type: 'string', enum: names };
}
