import type { Envelope, JsonObject } from '@arqonbus/protocol';
import { after, type Clock } from './clock.ts';
import { ArqonBusError, LeaseLostError, RefusedError } from './errors.ts';
import { type Message, toMessage } from './message.ts';
import { given } from './options.ts';

/**
 * Runs something once the messages that have arrived together are dealt with: their answers then go out as one command.
 * Where there is no `setImmediate` (in browsers), a moment later.
 */
const afterTurn: (work: () => void) => void =
  (globalThis as { setImmediate?: (work: () => void) => void }).setImmediate ?? ((work) => setTimeout(work, 0));

/** Tokens of one command. */
const MAX_TOKENS = 500;
/** The wait after a refusal for the rate, in milliseconds: what the server names, within these, or the default. */
const MIN_PAUSE_MS = 10;
const DEFAULT_PAUSE_MS = 1_000;
const MAX_PAUSE_MS = 30_000;

/**
 * When a message is handed out again, and what is told of why.
 *
 * ```ts
 * await message.nack({ delaySeconds: 60, reason: 'the printer is out of paper' });
 * ```
 */
export interface NackOptions {
  /** Default: the waits of the group. */
  delaySeconds?: number;
  reason?: string;
}

/**
 * A message that a group has handed to this client: nobody else has it until it is answered, or until `deadline`. An
 * answer that comes too late rejects with LeaseLostError; one without a line with ConnectionError.
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
  /** How often it was handed out, this time included. */
  readonly attempt: number;
  /** Until when it is this client's, RFC 3339. */
  readonly deadline: string;
  /** Whether it was answered, other than by `extend`. */
  readonly answered: boolean;
  /** Done: nobody gets it again. */
  ack(): Promise<void>;
  /** Not done: it is handed out again, to whoever is there. */
  nack(options?: NackOptions): Promise<void>;
  /** Not done yet: it stays this client's as long again. */
  extend(): Promise<void>;
  /** Never to be done: it goes to the dead letters. */
  reject(reason: string): Promise<void>;
}

type Verb = 'ack' | 'nack' | 'extend' | 'reject';

/** Sends the command of some tokens; resolves with those that were still held. */
export type SettleTokens = (command: string, args: JsonObject) => Promise<JsonObject>;

interface Waiting {
  readonly token: string;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** Answers that say the same. */
interface Batch {
  readonly command: string;
  readonly args: JsonObject;
  waiting: Waiting[];
}

/**
 * Answers to deliveries, many in one command: those of one turn that say the same. While the server takes no more of this
 * client, they wait and are sent together; those that come too late then it refuses.
 */
export class Answers {
  readonly #clock: Clock;
  readonly #settle: SettleTokens;
  /** By command and its other arguments. */
  readonly #batches = new Map<string, Batch>();
  readonly #underWay = new Set<Promise<unknown>>();
  #isScheduled = false;

  constructor(clock: Clock, settle: SettleTokens) {
    this.#clock = clock;
    this.#settle = settle;
  }

  /** Rejects with LeaseLostError when the server held the token no longer, else with what refused the command. */
  give(verb: Verb, token: string, args: JsonObject = {}): Promise<void> {
    const answered = new Promise<void>((resolve, reject) => {
      this.#add(`delivery.${verb}`, args, [{ token, resolve, reject }]);
    });
    const over = answered.then(
      () => {},
      () => {},
    );
    this.#underWay.add(over);
    void over.then(() => this.#underWay.delete(over));
    if (!this.#isScheduled) {
      this.#isScheduled = true;
      afterTurn(() => this.#flush());
    }
    return answered;
  }

  /** Resolves when everything that was answered has been taken, or was not. */
  async idle(): Promise<void> {
    while (this.#underWay.size > 0) await Promise.all(this.#underWay);
  }

  #add(command: string, args: JsonObject, first: readonly Waiting[]): void {
    const key = JSON.stringify([command, args]);
    const batch = this.#batches.get(key) ?? { command, args, waiting: [] };
    this.#batches.set(key, batch);
    batch.waiting.push(...first);
  }

  #flush(): void {
    this.#isScheduled = false;
    const batches = [...this.#batches.values()];
    this.#batches.clear();
    for (const { command, args, waiting } of batches) {
      for (let at = 0; at < waiting.length; at += MAX_TOKENS) {
        void this.#send(command, args, waiting.slice(at, at + MAX_TOKENS));
      }
    }
  }

  async #send(command: string, args: JsonObject, batch: readonly Waiting[]): Promise<void> {
    const tokens = batch.map(({ token }) => token);
    try {
      const { lost } = await this.#settle(command, { ...args, tokens });
      const gone = new Set(Array.isArray(lost) ? lost : []);
      for (const { token, resolve, reject } of batch) {
        if (gone.has(token)) reject(late(command));
        else resolve();
      }
    } catch (error) {
      if (error instanceof RefusedError && error.code === 'RATE_LIMITED') this.#later(command, args, batch, error);
      else for (const { reject } of batch) reject(error);
    }
  }

  /** The server takes no more for now; when the leases are over by then, it says so. */
  #later(command: string, args: JsonObject, batch: readonly Waiting[], { retryAfterMs }: RefusedError): void {
    this.#add(command, args, batch);
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    const wait = Math.min(MAX_PAUSE_MS, Math.max(MIN_PAUSE_MS, retryAfterMs ?? DEFAULT_PAUSE_MS));
    after(this.#clock, wait, () => this.#flush());
  }
}

/** Some of the tokens of a command were lost, and others were not: the server refuses only when all were. */
function late(command: string): LeaseLostError {
  const payload = { retryable: false };
  const error = 'The message was no longer yours; it is handed out again.';
  return new LeaseLostError({ payload, error, error_code: 'LEASE_LOST' } as unknown as Envelope, command);
}

/** The facts of an envelope that a group has handed out; undefined of any other. */
export function deliveryOf(envelope: Envelope): ({ group: string; token: string } & JsonObject) | undefined {
  const facts = (envelope.metadata as JsonObject | undefined)?.delivery as JsonObject | undefined;
  if (typeof facts?.group !== 'string' || typeof facts.token !== 'string') return undefined;
  return facts as { group: string; token: string } & JsonObject;
}

/** An envelope that {@link deliveryOf} knows, with the ways to answer it. */
export function toDelivery<P>(envelope: Envelope<P>, answers: Answers): Delivery<P> {
  const { group, token, attempt, deadline } = deliveryOf(envelope as Envelope) as JsonObject & { token: string };
  let isAnswered = false;
  const once = (verb: Verb, args?: JsonObject): Promise<void> => {
    if (isAnswered) {
      return Promise.reject(new ArqonBusError('INVALID_ARGUMENT', 'The message is answered already.'));
    }
    isAnswered = true;
    return answers.give(verb, token, args);
  };
  return {
    ...toMessage(envelope),
    group: String(group),
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
