import type { CommandName, CommandResult } from '@arqonbus/protocol';
import type { Ask, CommandParameters } from './ask.ts';

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

/** Makes the methods of one family; `verbs` are its commands without the `op.FAMILY.` before them. */
export function operator<F extends string>(ask: Ask, family: F, ...verbs: Verb<F>[]): Operator<F> {
  const call = ask as (...parameters: unknown[]) => unknown;
  const methods = verbs.map((verb) => [
    verb.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase()),
    (args = {}, wait?: unknown) => call(`op.${family}.${verb}`, args, wait),
  ]);
  return Object.fromEntries(methods) as Operator<F>;
}
