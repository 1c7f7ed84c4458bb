import type { JsonObject, Metadata } from '@arqonbus/protocol';
import { andThen, isPending } from './awaitable.ts';
import type { Sender } from './connection/session.ts';
import type { Awaitable } from './engine/engine.ts';

/** An event or private message on its way, as a hook sees it. */
export interface PublishEvent {
  readonly type: 'event' | 'private' | 'telemetry';
  readonly id: string;
  readonly tenant: string;
  readonly room: string | undefined;
  readonly channel: string | undefined;
  readonly payload: JsonObject;
  readonly metadata: Metadata | undefined;
  /** Whether it is only asked what would come of it: nothing is sent. */
  readonly dry?: boolean;
}

/**
 * Looks at an event before it is stored: returns what of payload and metadata may travel on (nothing: all of it as it
 * is), or throws a `BusError` that refuses it.
 */
export type PublishHook = (
  event: PublishEvent,
  sender: Sender,
) => Awaitable<Partial<Pick<PublishEvent, 'payload' | 'metadata'>> | undefined>;

/**
 * Runs hooks one after the other, each seeing what the one before left. Throws or rejects as they do, and with an Error
 * when one answers neither nothing nor an event: `false` may well be meant as a refusal, and must not let it pass.
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

/** A promise of any library as one of the platform's: what is taken for a plain value would refuse nothing. */
function settled<T>(answer: Awaitable<T>): Awaitable<T> {
  const isForeign = answer !== null && typeof answer === 'object' && 'then' in answer && !isPending(answer);
  return isForeign ? Promise.resolve(answer) : answer;
}
