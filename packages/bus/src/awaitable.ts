import type { Awaitable } from './engine/engine.ts';

/**
 * Continues with a value now, or once it resolves. This is the only place that separates synchronous from asynchronous
 * engines: with the memory engine a message is processed in one synchronous call. Without `failed`, errors and
 * rejections go to the caller.
 */
export function andThen<T, R>(
  value: Awaitable<T>,
  next: (value: T) => Awaitable<R>,
  failed?: (error: unknown) => Awaitable<R>,
): Awaitable<R> {
  if (isPending(value)) return value.then(next, failed);
  return next(value);
}

/** Runs `work`; errors it throws or rejects with go to `failed`. */
export function attempt<R>(work: () => Awaitable<R>, failed: (error: unknown) => Awaitable<R>): Awaitable<R> {
  try {
    return andThen(work(), (value) => value, failed);
  } catch (error) {
    return failed(error);
  }
}

/** Whether a value is a pending promise. */
export function isPending<T>(value: Awaitable<T>): value is Promise<T> {
  return value instanceof Promise;
}
