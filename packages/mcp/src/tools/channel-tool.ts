import { ArqonBusError } from '@arqonbus/client';
import type { Agent } from '../agent.ts';
import { invalid, readChannel } from '../place.ts';
import type { Tool } from '../tool.ts';
import { publish } from './talk.ts';

const MAX_NAME = 64;
/** A larger schema would fill a model's context and is omitted; the bus enforces it anyway. */
const MAX_SCHEMA = 8_192;
/** How long the tool list waits for a schema, milliseconds. */
const SCHEMA_MS = 2_000;

/** A channel as a separate tool, with the channel's schema as its arguments. Throws INVALID_ARGUMENT. */
export async function channelTool(agent: Agent, channel: string): Promise<Tool> {
  const schema = await schemaOf(agent, channel);
  const jsonSchema = { input: () => schema, output: () => schema };
  return {
    name: toolName(channel),
    description: `Publish to ${channel}; the arguments are the data.`,
    // The bus validates them and explains its refusals.
    input: {
      '~standard': { version: 1, vendor: 'arqonbus', validate: (value: unknown) => ({ value }), jsonSchema },
    } as unknown as Tool['input'],
    run: ((call: Parameters<Tool['run']>[0], data: object) => publish(call, channel, data)) as Tool['run'],
  };
}

/** Throws INVALID_ARGUMENT for an invalid channel, and for two channels with the same tool name. */
export function checkChannels(channels: readonly string[]): void {
  const names = new Map<string, string>();
  for (const channel of channels) {
    const name = toolName(channel);
    const other = names.get(name);
    if (other !== undefined)
      throw invalid(`${other} and ${channel} would both be the tool ${name}; offer one of them.`);
    names.set(name, channel);
  }
}

/** `publish_ROOM_CHANNEL`: letters, digits, `_` and `-`, at most 64. Throws INVALID_ARGUMENT for an invalid channel. */
function toolName(channel: string): string {
  const { room, channel: name } = readChannel(channel);
  return `publish_${room}_${name}`.replace(/[^\w-]/g, '_').slice(0, MAX_NAME);
}

async function schemaOf(agent: Agent, channel: string): Promise<Readonly<Record<string, unknown>>> {
  const schema = await agent.schemaOf(channel, { timeoutMs: SCHEMA_MS }).catch((error: unknown) => {
    // The bus is unavailable or refuses this agent; the call of the tool will report it.
    if (error instanceof ArqonBusError) return undefined;
    throw error;
  });
  const isObject = schema !== undefined && (schema.type === undefined || schema.type === 'object');
  return isObject && JSON.stringify(schema).length <= MAX_SCHEMA ? schema : { type: 'object' };
}
