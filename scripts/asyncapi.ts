import { type AnyCommand, wireSchemas } from '@arqonbus/bus';
import { CLIENT_TYPES, CLOSE, type JsonObject } from '@arqonbus/protocol';
import { stringify } from 'yaml';

/** The responses to each message, if any. */
const REPLIES: Readonly<Record<string, readonly string[]>> = {
  event: ['ack', 'error'],
  private: ['ack', 'error'],
  telemetry: ['ack', 'error'],
  command: ['command_response'],
};

const SCHEMAS = '#/components/schemas/';

/** The wire protocol as AsyncAPI 3.0 in YAML, from the server's view: it receives what clients send. */
export function asyncapi(commands: readonly AnyCommand[]): string {
  // AsyncAPI's own schemas use draft 7; no newer features are used here.
  const { inbound, outbound, definitions } = wireSchemas(commands, SCHEMAS);
  const summary = ({ $ref }: JsonObject): string =>
    String(definitions[String($ref).slice(SCHEMAS.length)]?.description ?? '');
  const document = {
    asyncapi: '3.0.0',
    info: {
      title: 'ArqonBus',
      version: '1.0',
      description:
        'The wire protocol of the bus. Made from the code by `npm run docs`; docs/protocol.md has the rules in words.',
      license: { name: 'Apache-2.0', url: 'https://www.apache.org/licenses/LICENSE-2.0' },
    },
    defaultContentType: 'application/json',
    servers: { bus: server() },
    channels: {
      bus: {
        address: '/',
        title: 'A connection',
        description: `One JSON envelope for each text frame, on any path. Close codes: ${closeCodes()}.`,
        servers: [{ $ref: '#/servers/bus' }],
        messages: Object.fromEntries(
          [...named('inbound', inbound), ...named('outbound', outbound)].map(([name]) => [
            name,
            { $ref: `#/components/messages/${name}` },
          ]),
        ),
        bindings: { ws: { method: 'GET', query: query(), bindingVersion: '0.1.0' } },
      },
    },
    operations: {
      ...Object.fromEntries(
        Object.entries(inbound).map(([type, schema]) => [`receive.${type}`, receive(type, summary(schema))]),
      ),
      ...Object.fromEntries(
        Object.entries(outbound).map(([type, schema]) => [`send.${type}`, send(type, summary(schema))]),
      ),
    },
    components: {
      messages: Object.fromEntries(
        [...named('inbound', inbound), ...named('outbound', outbound)].map(([name, type, payload]) => {
          const title = `${type}, ${name.startsWith('inbound') ? 'to' : 'from'} the server`;
          return [name, { name: type, title, summary: summary(payload), payload }];
        }),
      ),
      schemas: definitions,
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' },
        query: { type: 'httpApiKey', in: 'query', name: 'token', description: 'For clients that can do nothing else.' },
      },
    },
  };
  return `# Made from the code by \`npm run docs\`; do not edit.\n${stringify(document, { lineWidth: 120, aliasDuplicateObjects: false })}`;
}

function server(): object {
  return {
    host: '127.0.0.1:9100',
    protocol: 'ws',
    description: 'As it starts; with TLS the protocol is wss. Tokens are asked for when authentication is on.',
    security: [{ $ref: '#/components/securitySchemes/bearer' }, { $ref: '#/components/securitySchemes/query' }],
  };
}

function query(): object {
  const text = { type: 'string' };
  return {
    type: 'object',
    properties: {
      client_type: { type: 'string', enum: [...CLIENT_TYPES], default: 'service' },
      screen_name: text,
      avatar: text,
      personality: text,
      client_key: { type: 'string', pattern: '^[A-Za-z0-9._~-]{16,64}$' },
      room: text,
      channel: text,
      token: text,
      access_token: text,
    },
  };
}

function closeCodes(): string {
  return Object.entries(CLOSE)
    .map(([name, code]) => `${code} ${name.toLowerCase().replaceAll('_', ' ')}`)
    .join(', ');
}

function receive(type: string, summary: string): object {
  const replies = REPLIES[type] ?? [];
  return {
    action: 'receive',
    channel: { $ref: '#/channels/bus' },
    summary,
    messages: [onChannel(`inbound.${type}`)],
    reply: { channel: { $ref: '#/channels/bus' }, messages: replies.map((reply) => onChannel(`outbound.${reply}`)) },
  };
}

function send(type: string, summary: string): object {
  return {
    action: 'send',
    channel: { $ref: '#/channels/bus' },
    summary,
    messages: [onChannel(`outbound.${type}`)],
  };
}

function onChannel(name: string): object {
  return { $ref: `#/channels/bus/messages/${name}` };
}

/** Name, type and schema of each message in one direction. */
function named(
  direction: 'inbound' | 'outbound',
  schemas: Readonly<Record<string, JsonObject>>,
): [name: string, type: string, schema: JsonObject][] {
  return Object.entries(schemas).map(([type, schema]) => [`${direction}.${type}`, type, schema]);
}
