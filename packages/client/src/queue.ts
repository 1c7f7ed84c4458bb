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

/** How often the wait for an answer is prolonged while a large message is arriving. */
const MAX_PROLONGATIONS = 30;
/** One message in so many milliseconds, at the least, is sent in order. */
const ORDERED_MS = 2;
/** Wait after a refusal that names none, milliseconds. */
const DEFAULT_PAUSE_MS = 1_000;

/** Where frames go while the line is up. */
export interface Line {
  readonly maxMessageBytes: number;
  send(text: string): void;
  /** Whether a large message is arriving, and more of it has come since this was last asked. */
  isReceiving(): boolean;
}

/** An envelope as a client sends it; `version` is filled in. */
export type Outgoing = Pick<Envelope, 'id' | 'type'> &
  Partial<Omit<Envelope, 'id' | 'type' | 'from' | 'timestamp'>> & { readonly options?: WireOptions };

/** The options of a message as they go over the wire (PROTOCOL, options). */
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
 * Arguments of `command()`: left out where the command needs none.
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
  /** Restores what the last connection had: goes out before the line is open to everybody. */
  restoring?: boolean | undefined;
  /** Runs with the answer, before any later frame is looked at. */
  onAnswer?: (result: CommandResult<N>) => void;
}

/** Sends a command; resolves with the answer's payload. */
export type Ask = <N extends CommandName>(
  name: N,
  args: CommandArgs<N>,
  options?: AskOptions<N>,
) => Promise<CommandResult<N>>;

/** Sends a command that is known by its name alone. */
export type AskAnything = (
  name: string,
  args: object,
  options?: WaitOptions & { restoring?: boolean | undefined; onAnswer?: (result: JsonObject) => void },
) => Promise<JsonObject>;

export interface SubmitOptions extends WaitOptions {
  /** Whether it may be sent again when the line broke before the answer came. */
  readonly repeatable: boolean;
  readonly restoring?: boolean | undefined;
  /** Runs with the successful answer, before any later frame is looked at. */
  readonly onAnswer?: (envelope: Envelope) => void;
}

/** One envelope, until it is answered. */
interface Entry {
  /** Place in the order in which envelopes were submitted. */
  readonly place: number;
  readonly text: string;
  readonly bytes: number;
  readonly envelope: Outgoing;
  readonly options: SubmitOptions;
  readonly pending: Pending<Envelope | undefined>;
  readonly lane: Lane;
  /** Whether its time counts only from when it is sent: messages and joins, unless the caller named a limit. */
  readonly isPatient: boolean;
  isSent: boolean;
  /** Whether it counts in its lane's window: what was sent at once does not. */
  isPaced: boolean;
  sentAt: number;
  /** When it was first sent on a line that broke, ms since 1970: from then on it may have been stored. */
  unknownSince: number | undefined;
}

/** Envelopes that wait for their turn, in order, and how many of them may be unanswered at a time. */
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
   * @param inOrder none may overtake one that is refused. A burst that is refused in part may let a later one through,
   * so only as many are under way as a long line needs, and after a refusal one at a time
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
    // From the end: only one that was refused comes before others.
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
 * Everything that is not finished, in the order it was asked for: what waits for a line, and what waits for an answer.
 * A broken line puts the repeatable ones back in their places, so that the order survives; the server's memory for ids
 * keeps a repetition from being stored twice (PROTOCOL section 6).
 *
 * What has waited for a line, and every join, is paced: only so many are unanswered at a time, and one that the server
 * refuses with `RATE_LIMITED` is sent again when the server says so. Anything else goes out at once, and its refusal is
 * the caller's.
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
  /** Nothing paced is sent before this time, ms since 1970. */
  #pausedUntil = 0;
  /** Pauses in a row without an answer in between. */
  #pauses = 0;
  #cancel: (() => void) | undefined;
  #onIdle: (() => void)[] = [];

  constructor(settings: Pick<Settings, 'clock' | 'queue' | 'timeoutMs' | 'reconnect'>) {
    this.#settings = settings;
  }

  /** What waits to be sent; joins, which are bounded by the server, do not count. */
  get held(): { messages: number; bytes: number } {
    return { messages: this.#messages.waiting.length, bytes: this.#waitingBytes };
  }

  /** Resolves when everything is answered. */
  idle(): Promise<void> {
    if (this.#entries.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#onIdle.push(resolve));
  }

  /**
   * Sends an envelope now or as soon as it may go. Resolves with the answer, or with nothing for an envelope that asks
   * for none. Rejects with the refusal, TimeoutError, QueueFullError, ConnectionError, or the abort's reason.
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

  /** A new line, on which only what restores the last one may go out yet. */
  attach(line: Line): void {
    this.#line = line;
  }

  /** The line is up: sends what waits, in order. */
  open(): void {
    this.#isOpen = true;
    this.#pump();
  }

  /** The line broke: what can be repeated waits for the next one, the rest is told so. */
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

  /** Hands an answer to whoever waits for it; false when nobody does. */
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

  /** Nothing will be sent any more. */
  fail(error: unknown): void {
    this.#line = undefined;
    this.#isOpen = false;
    this.#cancel?.();
    for (const lane of [this.#messages, this.#joins]) lane.waiting.length = 0;
    this.#waitingBytes = 0;
    for (const { pending } of [...this.#entries.values()]) pending.reject(error);
  }

  /** Sends what may go now: messages first, since there may be many more joins than the caller waits for. */
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
      // In order again from here on: what has waited is through.
      if (lane.isIdle && this.#isOpen) lane.reset();
    }
  }

  /** The server takes no more for now: this one waits again, in its place. */
  #slowDown(entry: Entry, retryAfterMs = DEFAULT_PAUSE_MS): void {
    const { clock, reconnect } = this.#settings;
    const now = clock.now();
    const isNew = now >= this.#pausedUntil;
    if (isNew) this.#pauses += 1;
    entry.isSent = false;
    entry.lane.refused(isNew);
    this.#enqueue(entry);
    // Others may share the rate: a client that is refused again and again stays away longer.
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
      // Only an answer tells whether the server took a paced one, so it asks for the ack that the caller does not need.
      line.send(isPaced && !isAsking ? `${entry.text.slice(0, -1)},"ack":true}` : entry.text);
      if (!isPaced && !isAsking) pending.resolve(undefined);
      else if (entry.isPatient) this.#arm(entry);
    }
  }

  #arm({ pending, envelope, options }: Entry): void {
    const ms = options.timeoutMs ?? this.#settings.timeoutMs;
    let left = options.timeoutMs === undefined ? MAX_PROLONGATIONS : 0;
    // On a slow line a page of history takes longer than an answer should.
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

  /** Answered, late, aborted or failed. */
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

/** The largest of those that were sent: the one that the server closed the line for. */
function largest(entries: readonly Entry[]): Entry | undefined {
  return entries.filter(({ isSent }) => isSent).sort((a, b) => b.bytes - a.bytes)[0];
}

function describe({ command, id }: Outgoing): string {
  return command ?? id;
}

function tooLarge(): ArqonBusError {
  return new ArqonBusError('MESSAGE_TOO_LARGE', 'The message is larger than the server takes; split it.');
}

/** The frame of an envelope. Throws INVALID_ARGUMENT for what JSON cannot carry: a BigInt, or an object that is in itself. */
function textOf(envelope: Outgoing): string {
  try {
    return JSON.stringify({ version: PROTOCOL_VERSION, ...envelope });
  } catch {
    throw invalidArgument('JSON cannot carry a BigInt, or an object in itself.');
  }
}
