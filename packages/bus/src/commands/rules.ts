import type { CommandResult, Explanation } from '@arqonbus/protocol';
import { z } from 'zod';
import { andThen } from '../awaitable.ts';
import type { Core } from '../core.ts';
import type { Awaitable } from '../engine/engine.ts';
import { explain } from '../explain.ts';
import { ACTIONS, grantsOf, MAX_SUBJECT_LENGTH, type Principal, principalOf } from '../principal.ts';
import { hideSecrets, keepSecrets, RULE, RULE_SETTINGS, RULES } from '../rules/rule.ts';
import { OBJECT, ROLE } from '../schemas/fields.ts';
import { PLACE, placeOf } from './arguments.ts';
import { type AnyCommand, command } from './command.ts';

const VERSION = z.int().min(0).describe('0 before the first rules were set.');

const MAY = z.strictObject({
  publish: z.boolean(),
  subscribe: z.boolean(),
  history: z.boolean(),
  presence: z.boolean(),
});

const EXPLANATION: z.ZodType<Explanation> = z
  .strictObject({
    rules: z
      .array(z.strictObject({ match: z.string(), from: z.enum(['file', 'store']) }))
      .describe('The matching rules, the least specific first.'),
    effective: RULE_SETTINGS.describe(
      'The settings that apply: from rules, from the channel itself or from the configuration.',
    ),
    origins: z.record(z.string(), z.string()).describe('For each field, the `match` of the rule that sets it.'),
    may: MAY.describe('What the role and grants allow.'),
    publish: z.strictObject({
      allowed: z.boolean(),
      error_code: z.string().exactOptional(),
      reason: z.string().exactOptional(),
      casil: z
        .strictObject({
          decision: z.enum(['ALLOW', 'ALLOW_WITH_REDACTION', 'BLOCK']),
          reason_code: z.string(),
          rules: z.array(z.string()).describe('Ids of the matching rules, never the text.'),
        })
        .exactOptional(),
      schema: z
        .strictObject({ ok: z.boolean(), path: z.string().exactOptional(), expected: z.string().exactOptional() })
        .exactOptional(),
    }),
    hooks: z
      .array(
        z.strictObject({
          on: z.enum(['connect', 'join', 'publish']),
          host: z.string(),
          on_failure: z.enum(['deny', 'allow']),
        }),
      )
      .describe('Backends that are asked before a client connects, reads or publishes.'),
    receivers: z.strictObject({
      connections: z.int().min(0).describe('Of the answering node.'),
      names: z.array(z.string()).describe('For operators: subjects or client ids, at most 100.').exactOptional(),
      groups: z
        .array(
          z.strictObject({
            group: z.string().exactOptional(),
            webhook: z.string().describe('Id of its rule.').exactOptional(),
            source: z.string().describe('The place that it reads, as room:channel.'),
          }),
        )
        .describe('Groups and webhooks that read the channel, at most 100.'),
    }),
  })
  .meta({ id: 'Explanation', description: 'What would happen to an event.' });

const GLOBS = z.array(z.string().max(260)).max(100);

const AS = z
  .strictObject({
    subject: z.string().min(1).max(MAX_SUBJECT_LENGTH).exactOptional(),
    role: ROLE.describe('Default: user.').exactOptional(),
    grants: z
      .strictObject(Object.fromEntries(ACTIONS.map((action) => [action, GLOBS.exactOptional()])))
      .describe('As listed in a token; without it, everything that the role allows.')
      .exactOptional(),
  })
  .describe('Another principal, described like the claims of a token.');

/** op.rules.get, op.rules.set, op.rules.explain: a tenant's own channel rules (RULES 1). */
export function ruleCommands(bus: Core): AnyCommand[] {
  const { rules } = bus;
  return [
    command({
      name: 'op.rules.get',
      role: 'admin',
      isTenantWide: true,
      description: "Returns your tenant's own channel rules, and those of the configuration.",
      args: z.strictObject({}),
      result: z.strictObject({ version: VERSION, rules: z.array(RULE), base: z.array(RULE) }),
      run: ({ sender }): CommandResult<'op.rules.get'> => {
        const own = rules.own(sender.principal.tenant);
        return {
          version: own.version,
          rules: hideSecrets(own.rules),
          base: hideSecrets(rules.baseRules),
        };
      },
    }),
    command({
      name: 'op.rules.set',
      role: 'admin',
      isTenantWide: true,
      description: "Replaces your tenant's own channel rules, on every node at once.",
      args: z.strictObject({
        rules: RULES,
        if_version: VERSION.describe(
          'The version that they replace, as returned by op.rules.get. Default: any.',
        ).exactOptional(),
      }),
      result: z.strictObject({ version: VERSION }),
      run: ({ sender }, args): Awaitable<CommandResult<'op.rules.set'>> => {
        const { tenant } = sender.principal;
        const given = keepSecrets(args.rules, rules.own(tenant).rules);
        return andThen(rules.set(tenant, given, args.if_version), (version) => {
          void bus.retention.applyAll(tenant);
          return { version };
        });
      },
    }),
    command({
      name: 'op.rules.explain',
      role: 'admin',
      description:
        'Explains which rules apply to a channel, and what would happen to an event published there. Sends nothing.',
      args: z.strictObject({
        ...PLACE,
        as: AS.exactOptional(),
        // Marked as a secret: this command is not inspected, but explains what inspection would do.
        payload: OBJECT.meta({ secret: true }).exactOptional(),
      }),
      result: EXPLANATION,
      run: ({ sender }, { as, payload = {}, ...place }): Awaitable<Explanation> => {
        const at = placeOf(place);
        bus.access.require(sender.principal, 'admin', at.room, at.channel);
        const described = as === undefined ? null : principalAs(sender.principal, as);
        return explain(bus, sender, at, payload, described);
      },
    }),
  ];
}

function principalAs(
  { tenant }: Principal,
  {
    subject = null,
    role = 'user',
    grants,
  }: Omit<Partial<Pick<Principal, 'subject' | 'role'>>, never> & { grants?: Parameters<typeof grantsOf>[0] },
): Principal {
  return principalOf({ tenant, subject, role, grants: grants === undefined ? null : grantsOf(grants) });
}
