import { BusError } from '@arqonbus/protocol';
import { TokenBucket } from '../rate.ts';
import { type Payload, payloadText, payloadValue } from '../raw-payload.ts';
import type { Mismatch } from './payload-schema.ts';
import type { ChannelPolicy } from './rules.ts';

/** A publication and its sender, as needed for a channel's policy. */
export interface Candidate {
  readonly room: string;
  readonly channel: string;
  /** Whether it is from the bus itself or one of its HTTP keys. */
  readonly isServer: boolean;
  /** Whether it is from a connection; others need no membership. */
  readonly isConnection: boolean;
  readonly isMember: () => boolean;
}

/** Throws AUTHORIZATION_ERROR or NOT_JOINED unless the policy lets this sender publish there. */
export function requirePublisher({ publish }: ChannelPolicy, candidate: Candidate): void {
  if (publish === 'granted') return;
  const { room, channel } = candidate;
  if (publish === 'nobody' && !candidate.isServer) {
    throw new BusError('AUTHORIZATION_ERROR', `A rule lets only the server publish to ${room}:${channel}.`, {
      room,
      channel,
      rule: 'publish',
    });
  }
  if (publish === 'members' && candidate.isConnection && !candidate.isMember()) {
    throw new BusError('NOT_JOINED', `Join ${room}:${channel} before you publish to it.`, { room, channel });
  }
}

/** Throws LIMIT_EXCEEDED for a payload over the policy's limit. */
export function requireSize(policy: ChannelPolicy, payload: Payload): void {
  if (policy.maxMessageBytes !== null) requireBytes(policy, Buffer.byteLength(payloadText(payload)));
}

/** The same for a payload whose size is known, in UTF-8 bytes of JSON. */
export function requireBytes({ maxMessageBytes }: ChannelPolicy, bytes: number): void {
  if (maxMessageBytes === null || bytes <= maxMessageBytes) return;
  throw new BusError('LIMIT_EXCEEDED', `A rule allows payloads of ${maxMessageBytes} bytes here; yours has ${bytes}.`, {
    limit: maxMessageBytes,
    bytes,
    rule: 'max_message_bytes',
  });
}

/** The payload's first violation of the policy's schema, or null. Throws SCHEMA_MISMATCH where it is enforced. */
export function requireSchema({ schema }: ChannelPolicy, payload: Payload): Mismatch | null {
  if (schema === null) return null;
  const mismatch = schema.check(payloadValue(payload));
  if (mismatch !== null && schema.mode === 'enforce') throw schemaMismatch(mismatch);
  return mismatch;
}

function schemaMismatch({ path, expected }: Mismatch): BusError {
  const place = path === '' ? 'The payload' : `The payload at ${path}`;
  return new BusError('SCHEMA_MISMATCH', `${place} is not as the channel's schema says: expected ${expected}.`, {
    path,
    expected,
  });
}

/** The most senders whose rates are remembered per channel; beyond it the least recent ones are forgotten. */
const MAX_SENDERS = 1_000;

/** The publish rates of the senders to one channel. */
export class SenderRates {
  private readonly buckets: Map<string, TokenBucket> = new Map();
  private readonly perSecond: number;

  constructor(perSecond: number) {
    this.perSecond = perSecond;
  }

  /** Throws what {@link take} would throw, without using a token. */
  look(identity: string, now: number): void {
    const retryAfterMs = this.buckets.get(identity)?.retryAfterMs(now) ?? 0;
    if (retryAfterMs > 0) throw this.exceeded(retryAfterMs);
  }

  /** Throws RATE_LIMITED when the sender has used up its rate. `now`: milliseconds on a monotonic clock. */
  take(identity: string, now: number): void {
    const known = this.buckets.get(identity);
    const bucket = known ?? new TokenBucket(this.perSecond, this.perSecond, now);
    // The most recent sender is last.
    if (known !== undefined) this.buckets.delete(identity);
    else if (this.buckets.size >= MAX_SENDERS) this.forgetOldest();
    this.buckets.set(identity, bucket);
    if (bucket.take(now)) return;
    throw this.exceeded(bucket.retryAfterMs(now));
  }

  private exceeded(retryAfterMs: number): BusError {
    const retry_after_ms = Math.max(1, retryAfterMs);
    return new BusError('RATE_LIMITED', `A rule allows ${this.perSecond} a second here; wait ${retry_after_ms} ms.`, {
      retry_after_ms,
      rule: 'rate_per_second',
    });
  }

  private forgetOldest(): void {
    for (const [oldest] of this.buckets) {
      this.buckets.delete(oldest);
      return;
    }
  }
}
