import { CLIENT_TYPES, CLOSE } from '@arqonbus/protocol';
import { stringify } from 'yaml';
import { z } from 'zod';
import { INBOUND, OUTBOUND } from './envelope-schemas.ts';

/** What a message is for; every schema of the envelopes has one. */
const SUMMARIES: Readonly<Record<string, string>> = {
  'inbound.event': 'Publishes to a channel or room.',
  'inbound.private': 'Sends to the addressed clients alone.',
  'inbound.command': 'Asks the server for something; commands.md lists what there is.',
  'inbound.telemetry': 'Tells whoever monitors the bus.',
  'outbound.event': 'Somebody published.',
  'outbound.telemetry': 'Somebody told something to those who monitor.',
  'outbound.private': 'Somebody sent to this client alone.',
  'outbound.ack': 'The message is stored and handed on.',
  'outbound.system': 'A notice: presence, shutdown, token expiry, channels made and deleted.',
  'outbound.welcome': 'The first frame of every connection.',
  'outbound.command_response': 'The one answer to a command.',
  'outbound.error': 'The refusal of anything that is no command.',
};

/** What answers a message, if anything does. */
const REPLIES: Readonly<Record<string, readonly string[]>> = {
  event: ['ack', 'error'],
  private: ['ack', 'error'],
  telemetry: ['ack', 'error'],
  command: ['command_response'],
};

/** The wire as AsyncAPI 3.0 in YAML, seen from the server: it receives what clients send. */
export function asyncapi(): string {
  const inbound = Object.keys(INBOUND).map((type) => `inbound.${type}`);
  const outbound = Object.keys(OUTBOUND).map((type) => `outbound.${type}`);
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
        messages: byName([...inbound, ...outbound], (name) => ({ $ref: `#/components/messages/${name}` })),
        bindings: { ws: { method: 'GET', query: query(), bindingVersion: '0.1.0' } },
      },
    },
    operations: {
      ...Object.fromEntries(Object.keys(INBOUND).map((type) => [`receive.${type}`, receive(type)])),
      ...Object.fromEntries(Object.keys(OUTBOUND).map((type) => [`send.${type}`, send(type)])),
    },
    components: {
      messages: {
        ...messages('inbound', INBOUND),
        ...messages('outbound', OUTBOUND),
      },
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

function receive(type: string): object {
  const replies = REPLIES[type] ?? [];
  return {
    action: 'receive',
    channel: { $ref: '#/channels/bus' },
    summary: SUMMARIES[`inbound.${type}`],
    messages: [onChannel(`inbound.${type}`)],
    reply: { channel: { $ref: '#/channels/bus' }, messages: replies.map((reply) => onChannel(`outbound.${reply}`)) },
  };
}

function send(type: string): object {
  return {
    action: 'send',
    channel: { $ref: '#/channels/bus' },
    summary: SUMMARIES[`outbound.${type}`],
    messages: [onChannel(`outbound.${type}`)],
  };
}

function onChannel(name: string): object {
  return { $ref: `#/channels/bus/messages/${name}` };
}

function messages(direction: string, schemas: Readonly<Record<string, z.ZodType>>): Record<string, object> {
  return byName(
    Object.keys(schemas).map((type) => `${direction}.${type}`),
    (name, type) => {
      const summary = SUMMARIES[name];
      if (summary === undefined) throw new Error(`scripts/asyncapi.ts does not say what ${name} is for`);
      // AsyncAPI's own schemas are of draft 7.
      const { $schema: _dialect, ...payload } = z.toJSONSchema(schemas[type] as z.ZodType, {
        io: 'input',
        target: 'draft-7',
        unrepresentable: 'any',
      });
      return { name: type, title: `${type}, ${direction === 'inbound' ? 'to' : 'from'} the server`, summary, payload };
    },
  );
}

function byName(names: readonly string[], make: (name: string, type: string) => object): Record<string, object> {
  return Object.fromEntries(names.map((name) => [name, make(name, name.slice(name.indexOf('.') + 1))]));
}
