import type { CommandResult, WebhookRule } from '@arqonbus/protocol';
import { z } from 'zod';
import { type AnyCommand, command } from '../../commands/command.ts';
import { COUNT } from '../../schemas/fields.ts';
import { MAX_PAGE, PAGE, pageOf } from '../page.ts';
import type { ActiveRule } from './active-rule.ts';
import { DEAD_LETTER, WEBHOOK_RULE } from './records.ts';
import { REGISTRATION } from './registration.ts';
import type { WebhookRules } from './rules.ts';

const RULE = { rule_id: z.string().min(1).max(128).describe('Id of a rule, as returned by register.') };

/** op.webhook.register, .list, .unregister, .dead_letters, .retry. */
export function webhookCommands(rules: WebhookRules): AnyCommand[] {
  return [
    command({
      name: 'op.webhook.register',
      role: 'user',
      description: 'Posts every matching event to a URL, in order, with retries.',
      args: REGISTRATION,
      result: WEBHOOK_RULE,
      run: async ({ sender }, args): Promise<WebhookRule> => (await rules.register(sender, args)).record(),
    }),
    command({
      name: 'op.webhook.list',
      role: 'user',
      description: 'Lists your webhooks with their figures; for admins all of the tenant.',
      args: z.strictObject(PAGE),
      result: z.strictObject({ rules: z.array(WEBHOOK_RULE), count: COUNT, next: z.string().exactOptional() }),
      run: ({ sender }, args): CommandResult<'op.webhook.list'> => {
        const placeOf = ({ rule }: ActiveRule): string => `${rule.createdAt}/${rule.id}`;
        const { entries, next } = pageOf(rules.visible(sender), placeOf, (active) => active.record(), args);
        return { rules: entries, count: entries.length, ...(next === undefined ? {} : { next }) };
      },
    }),
    command({
      name: 'op.webhook.unregister',
      role: 'user',
      description: 'Removes a webhook with its waiting events.',
      args: z.strictObject(RULE),
      result: z.strictObject({ removed: z.literal(true), rule_id: z.string() }),
      run: async ({ sender }, { rule_id }): Promise<CommandResult<'op.webhook.unregister'>> => {
        await rules.remove(rules.manageable(sender, rule_id));
        return { removed: true, rule_id };
      },
    }),
    command({
      name: 'op.webhook.dead_letters',
      role: 'user',
      description: 'Lists the failed deliveries, oldest first.',
      args: z.strictObject({ ...RULE, ...PAGE }),
      result: z.strictObject({ dead_letters: z.array(DEAD_LETTER), count: COUNT, next: z.string().exactOptional() }),
      run: async (
        { sender },
        { rule_id, limit = MAX_PAGE, after },
      ): Promise<CommandResult<'op.webhook.dead_letters'>> => {
        // The right to manage a rule does not include reading what the caller's own grants do not cover.
        const { letters, next } = await rules.manageable(sender, rule_id).deadLetters(sender.principal, limit, after);
        return { dead_letters: letters, count: letters.length, ...(next === null ? {} : { next }) };
      },
    }),
    command({
      name: 'op.webhook.retry',
      role: 'user',
      description: 'Delivers dead letters again: all of a rule, or one.',
      args: z.strictObject({
        ...RULE,
        delivery_id: z.string().min(1).max(128).describe('Only this one.').exactOptional(),
      }),
      result: z.strictObject({ requeued: COUNT }),
      run: async ({ sender }, { rule_id, delivery_id }): Promise<CommandResult<'op.webhook.retry'>> => ({
        requeued: await rules.manageable(sender, rule_id).retry(delivery_id),
      }),
    }),
  ];
}
