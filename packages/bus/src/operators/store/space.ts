/** The space of the key-value store that these keys live in; rules, jobs and channels live in others. */
export const SPACE = 'store';

export const DEFAULT_STORE_LIMITS: StoreLimits = { maxKeys: 10_000, maxValueBytes: 65_536 };

export interface StoreLimits {
  /** Keys of one tenant, over all its namespaces. */
  readonly maxKeys: number;
  /** Largest value, in bytes of its JSON text. */
  readonly maxValueBytes: number;
}
