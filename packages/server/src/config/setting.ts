import type { Config } from './config.ts';
import type { Kind } from './kinds.ts';

/** The declaration of one setting in the table; everything else is derived from it. */
export interface Spec<T> {
  /** The environment variable. */
  readonly env: string;
  /** The former name of the variable, used if the current one is not set. */
  readonly formerEnv?: string;
  /** The command-line flag, without dashes. Secrets have none, because command lines are visible to others. */
  readonly flag?: string;
  readonly kind: Kind<T>;
  readonly default: T;
  /** The default as shown in the documentation, if the value alone is unclear. */
  readonly defaultText?: string;
  /** Never printed; can be read from a file named by the variable with the suffix `_FILE`. */
  readonly secret?: 'value' | 'url-password' | 'fields-named-secret';
  /** One sentence. */
  readonly description: string;
}

/** Kinds produce read-only lists; the CASIL settings, which are also a wire format, are declared with mutable ones. */
type ReadonlyList<V> = V extends readonly string[] ? readonly string[] : V;

/** The settings of one section of {@link Config}: one for each field, with that field's type. */
export type Section<S> = { readonly [K in keyof S]-?: Spec<ReadonlyList<S[K]>> };

/** The table of all settings: a missing or wrongly typed field of {@link Config} does not compile. */
export type SettingsTable = {
  readonly [S in keyof Config]: Config[S] extends string | readonly unknown[] ? Spec<Config[S]> : Section<Config[S]>;
};

/** A setting with its place in the configuration. */
export interface Setting extends Spec<unknown> {
  /** The key in configuration files and responses: section and name in camelCase, joined by a dot. */
  readonly path: string;
  /** The same place in a {@link Config}, as property names. */
  readonly keys: readonly string[];
}
