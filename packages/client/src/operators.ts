import type { CommandName, CommandResult } from '@arqonbus/protocol';
import type { CommandParameters } from './commands.ts';
import type { Ask } from './subscriptions.ts';

type Camel<S extends string> = S extends `${infer Head}_${infer Tail}` ? `${Head}${Capitalize<Camel<Tail>>}` : S;
type Verb<F extends string> = CommandName extends infer N ? (N extends `op.${F}.${infer V}` ? V : never) : never;

/**
 * The commands `op.FAMILY.*` as methods, `dead_letters` as `deadLetters`; arguments and results are those of the
 * protocol. Each rejects with CommandError, TimeoutError or ConnectionError.
 */
export type Operator<F extends string> = {
  readonly [N in CommandName as N extends `op.${F}.${infer V}` ? Camel<V> : never]: (
    ...parameters: CommandParameters<N>
  ) => Promise<CommandResult<N>>;
};

function operator<F extends string>(ask: Ask, family: F, ...verbs: Verb<F>[]): Operator<F> {
  const methods = verbs.map((verb) => {
    const name = verb.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase());
    const call = ask as (...parameters: unknown[]) => unknown;
    return [name, (args = {}, wait?: unknown) => call(`op.${family}.${verb}`, args, wait)];
  });
  return Object.fromEntries(methods) as Operator<F>;
}

/** Events POSTed to an address of yours. */
export function webhooks(ask: Ask): Operator<'webhook'> {
  return operator(ask, 'webhook', 'register', 'list', 'unregister', 'dead_letters', 'retry');
}

/** Events that the server sends at a time. */
export function cron(ask: Ask): Operator<'cron'> {
  return operator(ask, 'cron', 'schedule', 'list', 'cancel');
}

/** The content policy in force. */
export function casil(ask: Ask): Operator<'casil'> {
  return operator(ask, 'casil', 'get', 'reload');
}

/** The experimental lane; all but `status` answer `FEATURE_DISABLED` where it is off. */
export function omega(ask: Ask): Operator<'omega'> {
  return operator(
    ask,
    'omega',
    'status',
    'register_substrate',
    'list_substrates',
    'unregister_substrate',
    'emit_event',
    'list_events',
    'clear_events',
  );
}
