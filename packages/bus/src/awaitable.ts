import type { Awaitable } from './engine/engine.ts';

/**
 * Goes on with a value that is known now, or once it is. This is the one fork between engines that answer at once and
 * engines that have to be waited for: with the memory engine the whole way of a message is one synchronous call.
 * Without `failed`, what is thrown or rejected goes to the caller.
 */
export function andThen<T, R>(
  value: Awaitable<T>,
  next: (value: T) => Awaitable<R>,
  failed?: (error: unknown) => Awaitable<R>,
): Awaitable<R> {
  if (isPending(value)) return value.then(next, failed);
  return next(value);
}

/** Runs `work`, whose failure, thrown or rejected, ends in `failed`. */
export function attempt<R>(work: () => Awaitable<R>, failed: (error: unknown) => Awaitable<R>): Awaitable<R> {
  try {
    return andThen(work(), (value) => value, failed);
  } catch (error) {
    return failed(error);
  }
}

/** Whether a value is still to come. */
export function isPending<T>(value: Awaitable<T>): value is Promise<T> {
  return value instanceof Promise;
}
