import { type AnyCommand, wireSchemas } from '@arqonbus/bus';
import type { JsonObject } from '@arqonbus/protocol';

/** One JSON Schema for every frame of the bus, in both directions. */
export function protocolSchema(commands: readonly AnyCommand[]): JsonObject {
  const { inbound, outbound, definitions } = wireSchemas(commands, '#/$defs/');
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'ArqonBus wire protocol 1.0',
    description:
      'Made from the code by `npm run docs`. A frame is what a client sends or what it receives. `NameArgs` and ' +
      '`NameResult` are the arguments of a command and the payload of its answer.',
    oneOf: [{ $ref: '#/$defs/Sent' }, { $ref: '#/$defs/Received' }],
    $defs: {
      Sent: {
        description: 'What a client sends: whatever has not all four fields that the server writes into every frame.',
        type: 'object',
        not: { type: 'object', required: ['version', 'id', 'from', 'timestamp'] },
        oneOf: Object.values(inbound),
      },
      Received: { description: 'What a client receives.', type: 'object', oneOf: Object.values(outbound) },
      ...definitions,
    },
  };
}
