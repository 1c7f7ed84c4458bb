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
  // They are made to look like nothing else, as secrets are.
  .meta({ secret: true });
const REASON = z.string().min(1).max(1_000);

const ANSWERED = z.strictObject({
  done: z.array(z.string()).describe('Tokens that held their lease.'),
  lost: z.array(z.string()).describe('Tokens whose lease was over: they did nothing.'),
});

/** delivery.ack, delivery.nack, delivery.extend, delivery.reject: what members of groups say of the events they hold. */
export function deliveryCommands(bus: Core): AnyCommand[] {
  return [
    command({
      name: 'delivery.ack',
      role: 'user',
      description: 'Events of a group are handled; answered once that is stored.',
      args: z.strictObject({ tokens: TOKENS }),
      result: ANSWERED,
      run: ({ sender }, { tokens }): Awaitable<Answered> => bus.groups.answer(sender, { kind: 'ack', tokens }),
    }),
    command({
      name: 'delivery.nack',
      role: 'user',
      description: 'Events of a group could not be handled: they are handed out again later.',
      args: z.strictObject({
        tokens: TOKENS,
        delay_seconds: z
          .number()
          .min(0)
          .max(MAX_DELAY_SECONDS)
          .describe("The wait until then; the group's backoff when missing.")
          .exactOptional(),
        reason: REASON.describe('What a dead letter of it will tell.').exactOptional(),
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
      description: 'The leases on events of a group last their whole time from now on.',
      args: z.strictObject({ tokens: TOKENS }),
      result: ANSWERED,
      run: ({ sender }, { tokens }): Awaitable<Answered> => bus.groups.answer(sender, { kind: 'extend', tokens }),
    }),
    command({
      name: 'delivery.reject',
      role: 'user',
      description: 'Events of a group can never be handled: they become dead letters at once.',
      args: z.strictObject({ tokens: TOKENS, reason: REASON.describe('What the dead letter tells.') }),
      result: ANSWERED,
      run: ({ sender }, { tokens, reason }): Awaitable<Answered> =>
        bus.groups.answer(sender, { kind: 'reject', tokens, reason }),
    }),
  ];
}
