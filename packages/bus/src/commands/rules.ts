import type { CommandResult } from '@arqonbus/protocol';
import { z } from 'zod';
import { andThen } from '../awaitable.ts';
import type { Core } from '../core.ts';
import type { Awaitable } from '../engine/engine.ts';
import { hideSecrets, keepSecrets, RULE, RULES } from '../rules/rule.ts';
import { type AnyCommand, command } from './command.ts';

const VERSION = z.int().min(0).describe('0 before the first rules were set.');

/** op.rules.get, op.rules.set: a tenant's own channel rules (RULES 1). */
export function ruleCommands({ rules }: Core): AnyCommand[] {
  return [
    command({
      name: 'op.rules.get',
      role: 'admin',
      description: "Tells your tenant's own channel rules, and those of the configuration under them.",
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
      description: "Replaces your tenant's own channel rules, on every node at once.",
      args: z.strictObject({
        rules: RULES,
        if_version: VERSION.describe('The version that they replace, as op.rules.get told it.'),
      }),
      result: z.strictObject({ version: VERSION }),
      run: ({ sender }, args): Awaitable<CommandResult<'op.rules.set'>> => {
        const { tenant } = sender.principal;
        const given = keepSecrets(args.rules, rules.own(tenant).rules);
        return andThen(rules.set(tenant, given, args.if_version), (version) => ({ version }));
      },
    }),
  ];
}
