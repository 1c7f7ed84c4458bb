import type { Envelope, JsonObject } from '@arqonbus/protocol';
import { after, type Clock } from './clock.ts';
import { invalidArgument, LeaseLostError, RefusedError } from './errors.ts';
import { type Message, toMessage } from './message.ts';
import { given } from './options.ts';

/**
 * Resolves once the messages that arrived together are processed, so that their answers go out as one command. Without
 * `setImmediate` (in browsers), slightly later.
 */
const turnOver = (): Promise<void> =>
  new Promise((resolve) =>
    ((globalThis as { setImmediate?: (work: () => void) => void }).setImmediate ?? setTimeout)(resolve),
  );

/** Maximum tokens per command. */
const MAX_TOKENS = 500;
/** Pause after `RATE_LIMITED`, in milliseconds: the server's value within these limits, or the default. */
const MIN_PAUSE_MS = 10;
const DEFAULT_PAUSE_MS = 1_000;
const MAX_PAUSE_MS = 30_000;

/**
 * The delay and the reason of a redelivery.
 *
 * ```ts
 * await message.nack({ delaySeconds: 60, reason: 'the printer is out of paper' });
 * ```
 */
export interface NackOptions {
  /** Default: the backoff of the group. */
  delaySeconds?: number;
  reason?: string;
}

/**
 * A message that a group has leased to this client, until it is answered or until `deadline`. An
 * answer that is too late rejects with LeaseLostError; one without a connection with ConnectionError.
 *
 * ```ts
 * for await (const message of await client.subscribe('orders:new', { group: 'billing', manualAck: true })) {
 *   await bill(message.payload);
 *   await message.ack();
 * }
 * ```
 */
export interface Delivery<P = JsonObject> extends Message<P> {
  readonly group: string;
  /** The number of deliveries, including this one. */
  readonly attempt: number;
  /** The end of the lease, RFC 3339. */
  readonly deadline: string;
  /** Whether it was answered, other than by `extend`. */
  readonly answered: boolean;
  /** Acknowledges it as handled. */
  ack(): Promise<void>;
  /** Returns it for redelivery. */
  nack(options?: NackOptions): Promise<void>;
  /** Renews the lease for its full time. */
  extend(): Promise<void>;
  /** Makes it a dead letter. */
  reject(reason: string): Promise<void>;
}

type Verb = 'ack' | 'nack' | 'extend' | 'reject';

/** Sends the command for some tokens; resolves with the result, which lists the lost ones. */
export type SettleTokens = (command: string, args: JsonObject) => Promise<JsonObject>;

/** A queued answer, and its promise callbacks. */
interface Waiting {
  readonly command: string;
  readonly args: JsonObject;
  readonly token: string;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Answers to deliveries, batched into commands: equal answers of one turn share a command, and while commands are
 * pending, further answers are collected. While the server limits the rate they wait and are sent together; the server
 * refuses those that are too late by then.
 */
export class Answers {
  readonly #clock: Clock;
  readonly #settle: SettleTokens;
  #gathered: Waiting[] = [];
  /** Set while answers are collected or being sent. */
  #sending: Promise<void> | undefined;

  constructor(clock: Clock, settle: SettleTokens) {
    this.#clock = clock;
    this.#settle = settle;
  }

  /** Rejects with LeaseLostError if the token's lease has ended, else with the error of the command. */
  give(verb: Verb, token: string, args: JsonObject = {}): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#gathered.push({ command: `delivery.${verb}`, args, token, resolve, reject });
      this.#sending ??= this.#sendAll();
    });
  }

  /** Resolves when all answers have been accepted or refused. */
  async idle(): Promise<void> {
    while (this.#sending) await this.#sending;
  }

  /** Sends the collected answers immediately. Resolves with the pause requested by the server, in milliseconds. */
  async flush(): Promise<number> {
    const batches = inBatches(this.#gathered.splice(0));
    const pauses = await Promise.all(batches.map((batch) => this.#send(batch)));
    this.#gathered = batches
      .filter((_, at) => pauses[at])
      .flat()
      .concat(this.#gathered);
    return Math.max(0, ...pauses);
  }

  async #sendAll(): Promise<void> {
    while (this.#gathered.length > 0) {
      await turnOver();
      const pause = await this.flush();
      if (pause > 0) await new Promise<void>((resolve) => after(this.#clock, pause, resolve));
    }
    this.#sending = undefined;
  }

  /** Resolves with 0 if all were answered, else with the pause requested by the server, in milliseconds. */
  async #send(batch: readonly Waiting[]): Promise<number> {
    const { command, args } = batch[0] as Waiting;
    try {
      const { lost } = await this.#settle(command, { ...args, tokens: batch.map(({ token }) => token) });
      const gone = new Set(Array.isArray(lost) ? lost : []);
      for (const { token, resolve, reject } of batch) {
        if (gone.has(token)) reject(late(command));
        else resolve();
      }
    } catch (error) {
      if (error instanceof RefusedError && error.code === 'RATE_LIMITED') {
        // If the leases expire meanwhile, the server reports it.
        return Math.min(MAX_PAUSE_MS, Math.max(MIN_PAUSE_MS, error.retryAfterMs ?? DEFAULT_PAUSE_MS));
      }
      for (const { reject } of batch) reject(error);
    }
    return 0;
  }
}

/** Groups equal answers, one batch per command. */
function inBatches(answers: readonly Waiting[]): Waiting[][] {
  const batches: Waiting[][] = [];
  const open = new Map<string, Waiting[]>();
  for (const answer of answers) {
    const { command, args } = answer;
    const key = JSON.stringify([command, args]);
    let batch = open.get(key);
    if (batch === undefined || batch.length === MAX_TOKENS) {
      // An answer that ends a lease must stay behind its extension.
      if (command === 'delivery.extend') open.clear();
      batch = [];
      open.set(key, batch);
      batches.push(batch);
    }
    batch.push(answer);
  }
  return batches;
}

/** Some tokens of a command were lost: the server refuses the command only if all are. */
function late(command: string): LeaseLostError {
  const error = 'The message is no longer yours; it is handed out again.';
  return new LeaseLostError({ error, error_code: 'LEASE_LOST' } as Envelope, command);
}

type DeliveryFacts = JsonObject & { group: string; token: string };

/** The delivery metadata of an envelope from a group; undefined for other envelopes. */
export function deliveryOf(envelope: Envelope): DeliveryFacts | undefined {
  const facts = (envelope.metadata as JsonObject | undefined)?.delivery as JsonObject | undefined;
  if (typeof facts?.group !== 'string' || typeof facts.token !== 'string') return undefined;
  return facts as DeliveryFacts;
}

/** Converts an envelope from {@link deliveryOf} to a delivery, with methods to answer it. */
export function toDelivery<P>(envelope: Envelope<P>, answers: Answers): Delivery<P> {
  const { group, token, attempt, deadline } = deliveryOf(envelope as Envelope) as DeliveryFacts;
  let isAnswered = false;
  const once = (verb: Verb, args?: JsonObject): Promise<void> => {
    if (isAnswered) return Promise.reject(invalidArgument('The message is answered already.'));
    isAnswered = true;
    return answers.give(verb, token, args);
  };
  return {
    ...toMessage(envelope),
    group,
    attempt: typeof attempt === 'number' ? attempt : 1,
    deadline: String(deadline),
    get answered() {
      return isAnswered;
    },
    ack: () => once('ack'),
    nack: ({ delaySeconds, reason } = {}) => once('nack', given({ delay_seconds: delaySeconds, reason })),
    extend: () => answers.give('extend', token),
    reject: (reason) => once('reject', { reason }),
  };
}
