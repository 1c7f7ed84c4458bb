import type { Config } from './config.ts';
import type { Kind } from './kinds.ts';

/** What is told of one setting in the table; everything else about it is derived. */
export interface Spec<T> {
  /** The environment variable. */
  readonly env: string;
  /** What the variable was called before: read where the present one is not set. */
  readonly formerEnv?: string;
  /** The command-line flag, without its dashes. Secrets have none: a command line is there for all to see. */
  readonly flag?: string;
  readonly kind: Kind<T>;
  readonly default: T;
  /** What the documentation shows as the default where the value alone says little. */
  readonly defaultText?: string;
  /** Never printed, and may be read from a file named by the variable with `_FILE` at its end. */
  readonly secret?: 'value' | 'url-password' | 'fields-named-secret';
  /** One sentence. */
  readonly description: string;
}

/** Kinds make read-only lists; the settings of the inspection layer, which have a wire form, are declared without. */
type ReadonlyList<V> = V extends readonly string[] ? readonly string[] : V;

/** The settings of one section of {@link Config}: one for each of its fields, of that field's type. */
export type Section<S> = { readonly [K in keyof S]-?: Spec<ReadonlyList<S[K]>> };

/** The table: whatever {@link Config} has and it lacks, or has in another type, does not compile. */
export type SettingsTable = {
  readonly [S in keyof Config]: Config[S] extends string | readonly unknown[] ? Spec<Config[S]> : Section<Config[S]>;
};

/** A setting with its place in the configuration. */
export interface Setting extends Spec<unknown> {
  /** The key in a configuration file and in answers: sections and names in camelCase, joined by a dot. */
  readonly path: string;
  /** The same place in a {@link Config}, as its property names. */
  readonly keys: readonly string[];
}
