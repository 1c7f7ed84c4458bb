import type { JsonObject, Metadata } from '@arqonbus/protocol';
import { andThen, isPending } from './awaitable.ts';
import type { Sender } from './connection/session.ts';
import type { Awaitable } from './engine/engine.ts';

/** An event or private message, as passed to a hook. */
export interface PublishEvent {
  readonly type: 'event' | 'private' | 'telemetry';
  readonly id: string;
  readonly tenant: string;
  readonly room: string | undefined;
  readonly channel: string | undefined;
  readonly payload: JsonObject;
  readonly metadata: Metadata | undefined;
  /** Whether this is a dry run: nothing is sent. */
  readonly dry?: boolean;
}

/**
 * Called before an event is stored: returns the payload and metadata to send (nothing: unchanged), or throws a
 * `BusError` that refuses it.
 */
export type PublishHook = (
  event: PublishEvent,
  sender: Sender,
) => Awaitable<Partial<Pick<PublishEvent, 'payload' | 'metadata'>> | undefined>;

/**
 * Runs hooks in sequence, each on the result of the one before. Throws or rejects as they do, and with an Error for an
 * invalid return value: `false` may be meant as a refusal, so it must not let the event pass.
 */
export function runHooks(hooks: readonly PublishHook[], event: PublishEvent, sender: Sender): Awaitable<PublishEvent> {
  return hooks.reduce<Awaitable<PublishEvent>>(
    (before, hook, index) =>
      andThen(before, (seen) => andThen(settled(hook(seen, sender)), (left) => leftOf(seen, left, index))),
    event,
  );
}

function leftOf(seen: PublishEvent, left: unknown, index: number): PublishEvent {
  if (left === undefined) return seen;
  const { payload = seen.payload, metadata = seen.metadata } = isRecord(left) ? (left as Partial<PublishEvent>) : {};
  if (isRecord(left) && isRecord(payload) && (metadata === undefined || isRecord(metadata))) {
    return { ...seen, payload, metadata };
  }
  throw new Error(
    `hooks.publish[${index}] has to return nothing, or an object with the "payload" and "metadata" that may travel on, ` +
      'each an object; to refuse an event it throws a BusError.',
  );
}

function isRecord(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Converts a foreign thenable to a native promise; taken for a plain value, it could not refuse anything. */
function settled<T>(answer: Awaitable<T>): Awaitable<T> {
  const isForeign = answer !== null && typeof answer === 'object' && 'then' in answer && !isPending(answer);
  return isForeign ? Promise.resolve(answer) : answer;
}
