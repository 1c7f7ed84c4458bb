/** The same fields, where one that may be undefined is one that may be missing. */
export type Given<T> = { [K in keyof T as undefined extends T[K] ? never : K]: T[K] } & {
  [K in keyof T as undefined extends T[K] ? K : never]?: Exclude<T[K], undefined>;
};

/**
 * For what becomes JSON, where an undefined field is a missing one: takes the object as it is, so that options can be
 * passed on without asking of each whether it was given.
 */
export function given<T extends object>(fields: T): Given<T> {
  return fields as unknown as Given<T>;
}
