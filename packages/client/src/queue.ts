import {
  CLOSE,
  type CommandArgs,
  type CommandName,
  type CommandResult,
  type Envelope,
  IDEMPOTENCE_WINDOW_MS,
  type JsonObject,
  PROTOCOL_VERSION,
} from '@arqonbus/protocol';
import { after } from './clock.ts';
import { ArqonBusError, invalidArgument, lostError, QueueFullError, refusal } from './errors.ts';
import type { Settings } from './options.ts';
import { Pending, type WaitOptions } from './pending.ts';

const encoder = new TextEncoder();

/** How often the timeout of an answer is extended while a large message is arriving. */
const MAX_PROLONGATIONS = 30;
/** Minimum rate of messages sent in order: one per this many milliseconds. */
const ORDERED_MS = 2;
/** Pause after a refusal without `retry_after_ms`, milliseconds. */
const DEFAULT_PAUSE_MS = 1_000;

/** The open connection to send frames on. */
export interface Line {
  readonly maxMessageBytes: number;
  send(text: string): void;
  /** Whether a large message is arriving, with new bytes since the last call. */
  isReceiving(): boolean;
}

/** An envelope to send; `version` is added. */
export type Outgoing = Pick<Envelope, 'id' | 'type'> &
  Partial<Omit<Envelope, 'id' | 'type' | 'from' | 'timestamp'>> & { readonly options?: WireOptions };

/** The options of a message in the wire format (PROTOCOL, options). */
export interface WireOptions {
  readonly ttl_seconds?: number;
  readonly expect?: { sequence: number; epoch?: string } | { last_id: string };
  readonly ephemeral?: boolean;
  readonly deliver_at?: string;
  readonly delay_seconds?: number;
  readonly receipt?: boolean | string;
  readonly request?: { timeout_ms: number; group?: string };
}

/**
 * The parameters of `command()`; `args` is optional for commands without required arguments.
 *
 * ```ts
 * const wrapped = <N extends CommandName>(name: N, ...rest: CommandParameters<N>) => client.command(name, ...rest);
 * ```
 */
export type CommandParameters<N extends CommandName> =
  Record<never, never> extends CommandArgs<N>
    ? [args?: CommandArgs<N>, wait?: WaitOptions]
    : [args: CommandArgs<N>, wait?: WaitOptions];

export interface AskOptions<N extends CommandName> extends WaitOptions {
  /** Restores the state of the previous connection: sent before the connection is open for other calls. */
  restoring?: boolean | undefined;
  /** Called with the result, before any later frame is processed. */
  onAnswer?: (result: CommandResult<N>) => void;
}

/** Sends a command; resolves with the payload of the answer. */
export type Ask = <N extends CommandName>(
  name: N,
  args: CommandArgs<N>,
  options?: AskOptions<N>,
) => Promise<CommandResult<N>>;

/** Sends a command without type checks of its arguments. */
export type AskAnything = (
  name: string,
  args: object,
  options?: WaitOptions & { restoring?: boolean | undefined; onAnswer?: (result: JsonObject) => void },
) => Promise<JsonObject>;

export interface SubmitOptions extends WaitOptions {
  /** Whether it may be sent again if the connection was lost before the answer. */
  readonly repeatable: boolean;
  readonly restoring?: boolean | undefined;
  /** Called with a successful answer, before any later frame is processed. */
  readonly onAnswer?: (envelope: Envelope) => void;
}

/** One unanswered envelope. */
interface Entry {
  /** Position in the order of submission. */
  readonly place: number;
  readonly text: string;
  readonly bytes: number;
  readonly envelope: Outgoing;
  readonly options: SubmitOptions;
  readonly pending: Pending<Envelope | undefined>;
  readonly lane: Lane;
  /** Whether its timeout starts only when it is sent: for messages and joins, unless the caller set a timeout. */
  readonly isPatient: boolean;
  isSent: boolean;
  /** Whether it counts in the window of its lane; envelopes sent immediately do not. */
  isPaced: boolean;
  sentAt: number;
  /** When it was first sent on a lost connection, ms since 1970: from then on it may have been stored. */
  unknownSince: number | undefined;
}

/** A queue of waiting envelopes, with a limit on unanswered ones. */
class Lane {
  readonly waiting: Entry[] = [];
  readonly #first: number;
  readonly #most: number;
  readonly #inOrder: boolean;
  #isSlow = false;
  window: number;
  unanswered = 0;

  /**
   * @param first unanswered envelopes allowed at the start, up to `most` later
   * @param inOrder none may overtake a refused one. A partly refused burst may let a later one through, so only as many
   * are in flight as the round trip needs, and after a refusal one at a time
   */
  constructor(first: number, most: number, inOrder: boolean) {
    this.#first = first;
    this.#most = most;
    this.#inOrder = inOrder;
    this.window = first;
  }

  get isIdle(): boolean {
    return this.waiting.length === 0 && this.unanswered === 0;
  }

  add(entry: Entry): void {
    // From the end: only a refused envelope precedes others.
    const before = this.waiting.findLastIndex(({ place }) => place < entry.place);
    this.waiting.splice(before + 1, 0, entry);
  }

  remove(entry: Entry): void {
    const at = this.waiting.indexOf(entry);
    if (at >= 0) this.waiting.splice(at, 1);
  }

  /** @param tookMs from sending to the answer */
  answered(tookMs: number): void {
    this.unanswered -= 1;
    if (this.#isSlow) return;
    const window = this.#inOrder ? Math.floor(tookMs / ORDERED_MS) : this.window + 1;
    this.window = Math.min(this.#most, Math.max(1, window));
  }

  /** @param isNew whether it is the first refusal since the last pause */
  refused(isNew: boolean): void {
    this.unanswered -= 1;
    if (isNew) this.window = this.#inOrder ? 1 : Math.max(1, Math.floor(this.window / 2));
    this.#isSlow ||= this.#inOrder;
  }

  reset(): void {
    this.unanswered = 0;
    this.window = this.#first;
    this.#isSlow = false;
  }
}

/**
 * All unfinished envelopes in the order of submission: those waiting for a connection, and those waiting for an answer.
 * After a lost connection, repeatable ones return to their places, which preserves the order; the server's
 * deduplication by id prevents storing one twice (PROTOCOL section 6).
 *
 * Everything that waited for a connection, and every join, is paced: the number of unanswered ones is limited, and
 * those refused with `RATE_LIMITED` are sent again when the server allows. Everything else is sent immediately, and its
 * refusal goes to the caller.
 */
export class SendQueue {
  readonly #settings: Pick<Settings, 'clock' | 'queue' | 'timeoutMs' | 'reconnect'>;
  readonly #entries = new Map<string, Entry>();
  readonly #messages = new Lane(1, 32, true);
  readonly #joins = new Lane(16, 64, false);
  #line: Line | undefined;
  #isOpen = false;
  #place = 0;
  #waitingBytes = 0;
  /** No paced envelope is sent before this time, ms since 1970. */
  #pausedUntil = 0;
  /** Consecutive pauses without an answer in between. */
  #pauses = 0;
  #cancel: (() => void) | undefined;
  #onIdle: (() => void)[] = [];

  constructor(settings: Pick<Settings, 'clock' | 'queue' | 'timeoutMs' | 'reconnect'>) {
    this.#settings = settings;
  }

  /** The messages waiting to be sent; joins are not counted, since the server limits them. */
  get held(): { messages: number; bytes: number } {
    return { messages: this.#messages.waiting.length, bytes: this.#waitingBytes };
  }

  /** Resolves when everything is answered. */
  idle(): Promise<void> {
    if (this.#entries.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#onIdle.push(resolve));
  }

  /**
   * Sends an envelope now or as soon as possible. Resolves with the answer, or with undefined for an envelope that
   * needs none. Rejects with the refusal, TimeoutError, QueueFullError, ConnectionError, or the abort's reason.
   */
  async submit(envelope: Outgoing, options: SubmitOptions): Promise<Envelope | undefined> {
    options.signal?.throwIfAborted();
    const text = textOf(envelope);
    const { id, command } = envelope;
    if (this.#entries.has(id)) throw new ArqonBusError('ID_IN_USE', `"${id}" is still on its way.`);
    const bytes = encoder.encode(text).length;
    const isJoin = options.restoring === true || command === 'join_channel' || command === 'leave_channel';
    const lane = isJoin ? this.#joins : this.#messages;
    const isPaced = isJoin || !this.#isOpen || !lane.isIdle || this.#settings.clock.now() < this.#pausedUntil;
    const { messages, bytes: most } = this.#settings.queue;
    if (!isJoin && isPaced && (lane.waiting.length >= messages || this.#waitingBytes + bytes > most)) {
      const why = `${lane.waiting.length} messages, ${this.#waitingBytes} bytes`;
      throw new QueueFullError(`The queue is full: ${why} wait to be sent. Publish less, or raise "queue".`);
    }
    const pending: Pending<Envelope | undefined> = new Pending(this.#settings.clock, options.signal, () =>
      this.#remove(entry),
    );
    const entry: Entry = {
      place: this.#place++,
      ...{ text, bytes, envelope, options, pending, lane, isPaced },
      isPatient: options.timeoutMs === undefined && (isJoin || command === undefined),
      isSent: false,
      sentAt: 0,
      unknownSince: undefined,
    };
    this.#entries.set(id, entry);
    if (!entry.isPatient) this.#arm(entry);
    if (isPaced) {
      this.#enqueue(entry);
      this.#pump();
    } else this.#send(entry, this.#line as Line);
    return pending.promise;
  }

  /** A new connection, on which only restoring envelopes may be sent yet. */
  attach(line: Line): void {
    this.#line = line;
  }

  /** The connection is open: sends the waiting envelopes in order. */
  open(): void {
    this.#isOpen = true;
    this.#pump();
  }

  /** The connection was lost: repeatable envelopes wait for the next one, the others are rejected. */
  lost(closeCode: number): void {
    this.#line = undefined;
    this.#isOpen = false;
    this.#cancel?.();
    this.#cancel = undefined;
    this.#pausedUntil = 0;
    this.#pauses = 0;
    const entries = [...this.#entries.values()];
    if (closeCode === CLOSE.MESSAGE_TOO_BIG) largest(entries)?.pending.reject(tooLarge());
    for (const entry of entries) {
      const { pending, options, envelope, isSent } = entry;
      if (pending.settled) continue;
      entry.isSent = false;
      if (options.restoring === true || (isSent && !options.repeatable)) {
        pending.reject(lostError(describe(envelope), closeCode));
      } else if (isSent) {
        entry.unknownSince ??= entry.sentAt;
        this.#enqueue(entry);
      }
    }
    this.#messages.reset();
    this.#joins.reset();
  }

  /** Passes an answer to its waiting caller; false if there is none. */
  settle(envelope: Envelope): boolean {
    const entry = envelope.request_id === undefined ? undefined : this.#entries.get(envelope.request_id);
    if (entry === undefined) return false;
    const { pending, options } = entry;
    const { command, ack } = entry.envelope;
    if (envelope.type === 'error' || envelope.status === 'error') {
      const error = refusal(envelope, command);
      if (error.code === 'RATE_LIMITED' && entry.isPaced && entry.isSent) this.#slowDown(entry, error.retryAfterMs);
      else pending.reject(error);
    } else {
      this.#pauses = 0;
      options.onAnswer?.(envelope);
      pending.resolve(command === undefined && ack !== true ? undefined : envelope);
    }
    return true;
  }

  /** Nothing more will be sent. */
  fail(error: unknown): void {
    this.#line = undefined;
    this.#isOpen = false;
    this.#cancel?.();
    for (const lane of [this.#messages, this.#joins]) lane.waiting.length = 0;
    this.#waitingBytes = 0;
    for (const { pending } of [...this.#entries.values()]) pending.reject(error);
  }

  /** Sends what is allowed now: messages first, since there may be many more joins. */
  #pump(): void {
    const line = this.#line;
    if (line === undefined || this.#cancel !== undefined) return;
    const { clock } = this.#settings;
    const rest = this.#pausedUntil - clock.now();
    if (rest > 0) {
      this.#cancel = after(clock, rest, () => {
        this.#cancel = undefined;
        this.#pump();
      });
      return;
    }
    for (const lane of [this.#messages, this.#joins]) {
      while (lane.unanswered < lane.window) {
        const entry = lane.waiting.find(({ options }) => this.#isOpen || options.restoring === true);
        if (entry === undefined) break;
        this.#dequeue(entry);
        lane.unanswered += 1;
        this.#send(entry, line);
      }
      // All waiting envelopes are sent: back to the initial order and window.
      if (lane.isIdle && this.#isOpen) lane.reset();
    }
  }

  /** The server limits the rate: the envelope waits again, in its place. */
  #slowDown(entry: Entry, retryAfterMs = DEFAULT_PAUSE_MS): void {
    const { clock, reconnect } = this.#settings;
    const now = clock.now();
    const isNew = now >= this.#pausedUntil;
    if (isNew) this.#pauses += 1;
    entry.isSent = false;
    entry.lane.refused(isNew);
    this.#enqueue(entry);
    // Other clients may share the rate limit: repeated refusals lengthen the pause.
    const wait = retryAfterMs * (1 + clock.random()) * 2 ** Math.min(Math.max(0, this.#pauses - 2), 6);
    this.#pausedUntil = Math.max(this.#pausedUntil, now + Math.min(reconnect.maxMs, wait));
    this.#pump();
  }

  #send(entry: Entry, line: Line): void {
    const { pending, envelope, isPaced } = entry;
    const now = this.#settings.clock.now();
    entry.isSent = true;
    entry.sentAt = now;
    if (entry.bytes > line.maxMessageBytes) pending.reject(tooLarge());
    else if (entry.unknownSince !== undefined && now - entry.unknownSince >= IDEMPOTENCE_WINDOW_MS) {
      // The server no longer knows the id: sending it again might store it twice.
      pending.reject(
        new ArqonBusError('OUTCOME_UNKNOWN', `Too late to repeat ${describe(envelope)}; it may have had effect.`),
      );
    } else {
      const isAsking = envelope.type === 'command' || envelope.ack === true;
      // Only an answer shows whether the server accepted a paced envelope, so it requests an ack even if the caller
      // does not.
      line.send(isPaced && !isAsking ? `${entry.text.slice(0, -1)},"ack":true}` : entry.text);
      if (!isPaced && !isAsking) pending.resolve(undefined);
      else if (entry.isPatient) this.#arm(entry);
    }
  }

  #arm({ pending, envelope, options }: Entry): void {
    const ms = options.timeoutMs ?? this.#settings.timeoutMs;
    let left = options.timeoutMs === undefined ? MAX_PROLONGATIONS : 0;
    // On a slow connection a page of history may take longer than the timeout.
    const mayWait = (): boolean => left-- > 0 && this.#line?.isReceiving() === true;
    pending.arm(ms, `answer to ${describe(envelope)}`, envelope.id, mayWait);
  }

  #enqueue(entry: Entry): void {
    if (entry.isPatient) entry.pending.disarm();
    entry.isPaced = true;
    entry.lane.add(entry);
    if (entry.lane === this.#messages) this.#waitingBytes += entry.bytes;
  }

  #dequeue(entry: Entry): void {
    entry.lane.remove(entry);
    if (entry.lane === this.#messages) this.#waitingBytes -= entry.bytes;
  }

  /** Answered, timed out, aborted or failed. */
  #remove(entry: Entry): void {
    this.#entries.delete(entry.envelope.id);
    if (entry.isSent && entry.isPaced) {
      entry.lane.answered(this.#settings.clock.now() - entry.sentAt);
      this.#pump();
    } else if (!entry.isSent && entry.lane.waiting.includes(entry)) this.#dequeue(entry);
    if (this.#entries.size > 0) return;
    for (const resolve of this.#onIdle.splice(0)) resolve();
  }
}

/** The largest sent envelope: the one that made the server close the connection. */
function largest(entries: readonly Entry[]): Entry | undefined {
  return entries.filter(({ isSent }) => isSent).sort((a, b) => b.bytes - a.bytes)[0];
}

function describe({ command, id }: Outgoing): string {
  return command ?? id;
}

function tooLarge(): ArqonBusError {
  return new ArqonBusError('MESSAGE_TOO_LARGE', 'The message is larger than the server takes; split it.');
}

/** The frame of an envelope. Throws INVALID_ARGUMENT for a BigInt or a circular object, which JSON cannot represent. */
function textOf(envelope: Outgoing): string {
  try {
    return JSON.stringify({ version: PROTOCOL_VERSION, ...envelope });
  } catch {
    throw invalidArgument('JSON cannot carry a BigInt, or an object in itself.');
  }
}
