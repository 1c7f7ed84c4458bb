import type { Bus, Principal } from '@arqonbus/bus';
import type { ChannelRule, JsonObject } from '@arqonbus/protocol';
import { z } from 'zod';
import { type Publishing, runCommand } from './publishing.ts';
import { type AnyRoute, route } from './route.ts';

/** `/v1/asyncapi` and `/v1/explain`: the typed channels, and what would happen to an event. */
export function ruleRoutes(publishing: Publishing): AnyRoute[] {
  const { bus } = publishing;
  return [
    route({
      method: 'get',
      path: '/v1/asyncapi',
      tag: 'rules',
      summary: 'The typed channels that the caller may read, as AsyncAPI 3, from the schemas of channel rules.',
      access: 'user',
      answer: z.looseObject({ asyncapi: z.literal('3.0.0'), channels: z.looseObject({}) }),
      run: ({ caller }) => typedChannels(bus, caller.principal),
    }),
    route({
      method: 'post',
      path: '/v1/explain',
      tag: 'rules',
      summary: 'Explains what would happen to an event: the command `op.rules.explain`. Nothing is sent.',
      access: 'user',
      body: z.looseObject({}).describe('The arguments of op.rules.explain.'),
      answer: z.looseObject({}),
      run: ({ caller, body, signal }) =>
        runCommand(publishing, caller, { name: 'op.rules.explain', args: body, signal }),
    }),
  ];
}

/** One channel and one message for each rule with a schema; a tenant's own rule overrides one of the configuration. */
function typedChannels({ rules, access, options }: Bus, principal: Principal): object {
  const typed = new Map<string, NonNullable<ChannelRule['schema']>>();
  for (const { match, schema } of [...rules.baseRules, ...rules.own(principal.tenant).rules]) {
    const [room = '', channel = ''] = match.split(':');
    if (schema === undefined) continue;
    if (access.may(principal, 'subscribe', room, channel) || access.mayInPart(principal, 'subscribe', room, channel)) {
      typed.set(match, schema);
    }
  }
  const named = [...typed].map(([match, schema], index) => ({ match, schema, name: `channel${index + 1}` }));
  const each = (make: (one: (typeof named)[number]) => readonly [string, object]): JsonObject =>
    Object.fromEntries(named.map(make));
  return {
    asyncapi: '3.0.0',
    info: { title: 'Typed channels of this bus', version: options.version },
    defaultContentType: 'application/json',
    channels: each(({ match, name }) => [
      name,
      { address: match, messages: { event: { $ref: `#/components/messages/${name}` } } },
    ]),
    operations: Object.fromEntries(
      named.flatMap(({ name }) =>
        (['send', 'receive'] as const).map((action) => [
          `${action}.${name}`,
          {
            action,
            channel: { $ref: `#/channels/${name}` },
            messages: [{ $ref: `#/channels/${name}/messages/event` }],
          },
        ]),
      ),
    ),
    components: {
      messages: each(({ match, schema, name }) => [
        name,
        {
          name: match,
          title: `The payload of events at ${match}`,
          summary: schema.mode === 'enforce' ? 'Other payloads are refused.' : 'Other payloads are reported.',
          payload: { schemaFormat: 'application/schema+json;version=2020-12', schema: schema.schema },
        },
      ]),
    },
  };
}
