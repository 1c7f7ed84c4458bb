import { z } from 'zod';
import type { Answered } from '../consumers/answer.ts';
import type { Core } from '../core.ts';
import type { Awaitable } from '../engine/engine.ts';
import { type AnyCommand, command } from './command.ts';

const MAX_TOKENS = 500;
const MAX_DELAY_SECONDS = 86_400;

const TOKENS = z
  .array(z.string().min(1).max(128))
  .min(1)
  .max(MAX_TOKENS)
  .describe('"token" of each delivery\'s metadata.')
  // Random, like secrets, and marked as such so that they are not inspected.
  .meta({ secret: true });
const REASON = z.string().min(1).max(1_000);

const ANSWERED = z.strictObject({
  done: z.array(z.string()).describe('Tokens that held their lease.'),
  lost: z.array(z.string()).describe('Tokens whose lease had ended; they had no effect.'),
});

/** delivery.ack, delivery.nack, delivery.extend, delivery.reject: answers of group members to their deliveries. */
export function deliveryCommands(bus: Core): AnyCommand[] {
  return [
    command({
      name: 'delivery.ack',
      role: 'user',
      description: 'Acknowledges events of a group as handled. The answer is sent once this is stored.',
      args: z.strictObject({ tokens: TOKENS }),
      result: ANSWERED,
      run: ({ sender }, { tokens }): Awaitable<Answered> => bus.groups.answer(sender, { kind: 'ack', tokens }),
    }),
    command({
      name: 'delivery.nack',
      role: 'user',
      description: 'Returns events of a group, which are redelivered later.',
      args: z.strictObject({
        tokens: TOKENS,
        delay_seconds: z
          .number()
          .min(0)
          .max(MAX_DELAY_SECONDS)
          .describe("The delay. Default: the group's backoff.")
          .exactOptional(),
        reason: REASON.describe('The reason in its dead letter.').exactOptional(),
      }),
      result: ANSWERED,
      run: ({ sender }, { tokens, delay_seconds, reason }): Awaitable<Answered> => {
        const delayMs = delay_seconds === undefined ? undefined : delay_seconds * 1000;
        return bus.groups.answer(sender, { kind: 'nack', tokens, delayMs, reason });
      },
    }),
    command({
      name: 'delivery.extend',
      role: 'user',
      description: 'Renews the leases on events of a group for their full time.',
      args: z.strictObject({ tokens: TOKENS }),
      result: ANSWERED,
      run: ({ sender }, { tokens }): Awaitable<Answered> => bus.groups.answer(sender, { kind: 'extend', tokens }),
    }),
    command({
      name: 'delivery.reject',
      role: 'user',
      description: 'Rejects events of a group, which become dead letters at once.',
      args: z.strictObject({ tokens: TOKENS, reason: REASON.describe('The reason in the dead letter.') }),
      result: ANSWERED,
      run: ({ sender }, { tokens, reason }): Awaitable<Answered> =>
        bus.groups.answer(sender, { kind: 'reject', tokens, reason }),
    }),
  ];
}
