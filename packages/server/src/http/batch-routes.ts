import { BusError, type JsonObject } from '@arqonbus/protocol';
import { z } from 'zod';
import type { Caller } from './credentials.ts';
import { MESSAGE, OUTCOME } from './publish-routes.ts';
import { inOrder, outcomeOf, type Publishing, publish, runCommand } from './publishing.ts';
import { type AnyRoute, route } from './route.ts';

const MAX_ITEMS = 1_000;
const ITEM = z.union([
  z.strictObject({ publish: MESSAGE }),
  z.strictObject({ command: z.string(), args: z.looseObject({}).optional() }),
]);

/** `/v1/batch`: runs many publishes and commands, one after the other. */
export function batchRoutes(publishing: Publishing): AnyRoute[] {
  return [
    route({
      method: 'post',
      path: '/v1/batch',
      tag: 'messages',
      summary:
        'Runs publishes and commands in order and returns a result for each. A refusal does not stop the others.',
      access: 'user',
      takesList: true,
      body: z.array(ITEM).min(1).max(MAX_ITEMS),
      answer: z.object({ results: z.array(OUTCOME) }),
      run: async ({ caller, list, signal }) => {
        if (list.length === 0 || list.length > MAX_ITEMS) {
          const rule = `A batch is an array of 1 to ${MAX_ITEMS} publications and commands; this one has ${list.length}.`;
          throw new BusError('VALIDATION_ERROR', rule, {
            field: 'body',
            limit: MAX_ITEMS,
          });
        }
        let isFirst = true;
        const results = await inOrder(list, (item) =>
          outcomeOf(publishing, async () => {
            // The first one is counted with the request itself.
            if (!isFirst) caller.charge();
            isFirst = false;
            return runItem(publishing, caller, item, signal);
          }),
        );
        return { results };
      },
    }),
  ];
}

async function runItem(publishing: Publishing, caller: Caller, item: JsonObject, signal: AbortSignal): Promise<object> {
  const { publish: message, command, args = {}, ...others } = item;
  const stranger = Object.keys(others)[0];
  const isPublication = isObject(message) && command === undefined && item.args === undefined;
  const isCommand = typeof command === 'string' && isObject(args) && message === undefined;
  if (stranger !== undefined || !(isPublication || isCommand)) {
    throw new BusError('VALIDATION_ERROR', 'An item is {"publish":{…}} or {"command":"NAME","args":{…}}.', {
      field: stranger?.slice(0, 140) ?? (message === undefined ? 'command' : 'publish'),
    });
  }
  if (isPublication) return publish(publishing, caller, message);
  return {
    result: await runCommand(publishing, caller, { name: command as string, args: args as JsonObject, signal }),
  };
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
