import type { CommandResult, WebhookRule } from '@arqonbus/protocol';
import { z } from 'zod';
import { type AnyCommand, command } from '../../commands/command.ts';
import { may } from '../../principal.ts';
import { COUNT } from '../../schemas/fields.ts';
import { deadLetterRecord } from './dead-letters.ts';
import { DEAD_LETTER, WEBHOOK_RULE } from './records.ts';
import { REGISTRATION } from './registration.ts';
import type { RuleDesk } from './rule-desk.ts';

const RULE = { rule_id: z.string().min(1).max(128).describe('Id of a rule, as register answered it.') };

/** op.webhook.register, .list, .unregister, .dead_letters, .retry. */
export function webhookCommands(desk: RuleDesk): AnyCommand[] {
  return [
    command({
      name: 'op.webhook.register',
      role: 'user',
      description: 'Posts every matching event to a URL, in order, with retries.',
      args: REGISTRATION,
      result: WEBHOOK_RULE,
      run: async ({ sender }, args): Promise<WebhookRule> => (await desk.register(sender, args)).record(),
    }),
    command({
      name: 'op.webhook.list',
      role: 'user',
      description: 'Lists your webhooks with their figures; for admins all of the tenant.',
      args: z.strictObject({}),
      result: z.strictObject({ rules: z.array(WEBHOOK_RULE) }),
      run: ({ sender }): CommandResult<'op.webhook.list'> => ({
        rules: desk.visible(sender).map((active) => active.record()),
      }),
    }),
    command({
      name: 'op.webhook.unregister',
      role: 'user',
      description: 'Removes a webhook with all that waits for it.',
      args: z.strictObject(RULE),
      result: z.strictObject({ removed: z.literal(true), rule_id: z.string() }),
      run: async ({ sender }, { rule_id }): Promise<CommandResult<'op.webhook.unregister'>> => {
        await desk.unregister(desk.manageable(sender, rule_id));
        return { removed: true, rule_id };
      },
    }),
    command({
      name: 'op.webhook.dead_letters',
      role: 'user',
      description: 'Shows the deliveries that were given up, oldest first.',
      args: z.strictObject(RULE),
      result: z.strictObject({ dead_letters: z.array(DEAD_LETTER), count: COUNT }),
      run: ({ sender }, { rule_id }): CommandResult<'op.webhook.dead_letters'> => {
        const letters = desk.manageable(sender, rule_id).letters.all();
        // Managing a rule is no right to read what one's own grants do not cover.
        const readable = letters.filter(({ room, channel }) => may(sender.principal, 'subscribe', room, channel));
        return { dead_letters: readable.map(deadLetterRecord), count: readable.length };
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
        requeued: await desk.manageable(sender, rule_id).retry(delivery_id),
      }),
    }),
  ];
}
