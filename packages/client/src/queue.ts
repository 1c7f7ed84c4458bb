import { CLOSE, type Envelope, IDEMPOTENCE_WINDOW_MS, PROTOCOL_VERSION } from '@arqonbus/protocol';
import { ArqonBusError, CommandError, lostError, QueueFullError, RefusedError } from './errors.ts';
import type { Settings } from './options.ts';
import { Pending, type WaitOptions } from './pending.ts';

const encoder = new TextEncoder();

/** Where frames go while the line is up. */
export interface Line {
  readonly maxMessageBytes: number;
  send(text: string): void;
}

/** An envelope as a client sends it; `version` is filled in. */
export type Outgoing = Pick<Envelope, 'id' | 'type'> & Partial<Omit<Envelope, 'id' | 'type' | 'from' | 'timestamp'>>;

export interface ParcelOptions extends WaitOptions {
  /** Whether it may be sent again when the line broke before the answer came. */
  readonly repeatable: boolean;
  /** Runs with the successful answer, before any later frame is looked at. */
  readonly onAnswer?: (envelope: Envelope) => void;
}

/** One envelope on its way, until it is answered. */
interface Parcel {
  readonly text: string;
  readonly bytes: number;
  readonly envelope: Outgoing;
  readonly options: ParcelOptions;
  readonly pending: Pending<Envelope | undefined>;
  /** When it was first sent, ms since 1970. */
  firstSentAt: number | undefined;
  onLine: boolean;
}

/**
 * Everything that is not finished, in the order it was asked for: what waits for a line, and what waits for an answer.
 * A broken line puts the repeatable ones back in their places, so that the order survives; the server's memory for ids
 * keeps a repetition from being stored twice (PROTOCOL section 6).
 */
export class SendQueue {
  readonly #settings: Pick<Settings, 'clock' | 'queue' | 'timeoutMs'>;
  readonly #parcels = new Map<string, Parcel>();
  #line: Line | undefined;
  #waiting = 0;
  #waitingBytes = 0;

  constructor(settings: Pick<Settings, 'clock' | 'queue' | 'timeoutMs'>) {
    this.#settings = settings;
  }

  /** What is held for a line that is away. */
  get held(): { messages: number; bytes: number } {
    return { messages: this.#waiting, bytes: this.#waitingBytes };
  }

  /**
   * Sends an envelope now or as soon as there is a line. Resolves with the answer, or with nothing for an envelope
   * that gets none. Rejects with the refusal, TimeoutError, QueueFullError, ConnectionError, or the abort's reason.
   *
   * @param line sends past the queue: what has to come before everything that waits
   */
  async submit(
    envelope: Outgoing,
    options: ParcelOptions,
    line: Line | undefined = this.#line,
  ): Promise<Envelope | undefined> {
    const text = JSON.stringify({ version: PROTOCOL_VERSION, ...envelope });
    const { id } = envelope;
    if (this.#parcels.has(id)) throw new ArqonBusError('ID_IN_USE', `"${id}" is still on its way.`);
    const bytes = encoder.encode(text).length;
    const { clock, queue, timeoutMs } = this.#settings;
    if (line === undefined && (this.#waiting >= queue.messages || this.#waitingBytes + bytes > queue.bytes)) {
      throw new QueueFullError(
        `No line, and the queue is full: ${this.#waiting} messages, ${this.#waitingBytes} bytes.`,
      );
    }
    const pending: Pending<Envelope | undefined> = new Pending(clock, options.signal, () => this.#remove(id));
    if (pending.settled) return pending.promise;
    const parcel: Parcel = {
      text,
      bytes,
      envelope,
      options,
      pending,
      firstSentAt: undefined,
      onLine: line !== undefined,
    };
    this.#parcels.set(id, parcel);
    if (!parcel.onLine) this.#count(parcel, 1);
    if (!isPatient(parcel)) this.#arm(parcel, options.timeoutMs ?? timeoutMs);
    if (line !== undefined) this.#send(parcel, line);
    return pending.promise;
  }

  /** The line is up: sends what waits, in order. */
  open(line: Line): void {
    this.#line = line;
    for (const parcel of this.#parcels.values()) {
      if (parcel.onLine) continue;
      this.#count(parcel, -1);
      parcel.onLine = true;
      this.#send(parcel, line);
    }
  }

  /** The line broke: what can be repeated waits for the next one, the rest is told so. */
  lost(closeCode: number): void {
    this.#line = undefined;
    const inFlight = [...this.#parcels.values()].filter((parcel) => parcel.onLine);
    if (closeCode === CLOSE.MESSAGE_TOO_BIG) inFlight.sort((a, b) => b.bytes - a.bytes)[0]?.pending.reject(tooLarge());
    for (const parcel of inFlight) {
      if (parcel.pending.settled) continue;
      if (!parcel.options.repeatable) {
        parcel.pending.reject(lostError(describe(parcel.envelope), closeCode));
        continue;
      }
      if (isPatient(parcel)) parcel.pending.disarm();
      parcel.onLine = false;
      this.#count(parcel, 1);
    }
  }

  /** Hands an answer to whoever waits for it; false when nobody does. */
  settle(envelope: Envelope): boolean {
    const parcel = envelope.request_id === undefined ? undefined : this.#parcels.get(envelope.request_id);
    if (parcel === undefined) return false;
    const { command } = parcel.envelope;
    if (envelope.type === 'error' || envelope.status === 'error') {
      parcel.pending.reject(command === undefined ? new RefusedError(envelope) : new CommandError(envelope, command));
    } else {
      parcel.options.onAnswer?.(envelope);
      parcel.pending.resolve(envelope);
    }
    return true;
  }

  /** Nothing will be sent any more. */
  fail(error: unknown): void {
    this.#line = undefined;
    for (const parcel of [...this.#parcels.values()]) parcel.pending.reject(error);
  }

  #send(parcel: Parcel, line: Line): void {
    const { clock, timeoutMs } = this.#settings;
    const { pending, envelope } = parcel;
    const now = clock.now();
    parcel.firstSentAt ??= now;
    if (parcel.bytes > line.maxMessageBytes) pending.reject(tooLarge());
    else if (now - parcel.firstSentAt >= IDEMPOTENCE_WINDOW_MS) {
      // The server no longer knows the id: sending it again might store it twice.
      pending.reject(
        new ArqonBusError('OUTCOME_UNKNOWN', `Too late to repeat ${describe(envelope)}; it may have had effect.`),
      );
    } else {
      line.send(parcel.text);
      if (envelope.type !== 'command' && envelope.ack !== true) pending.resolve(undefined);
      else if (isPatient(parcel)) this.#arm(parcel, timeoutMs);
    }
  }

  #arm({ pending, envelope }: Parcel, ms: number): void {
    pending.arm(ms, `answer to ${describe(envelope)}`, envelope.id);
  }

  #remove(id: string): void {
    const parcel = this.#parcels.get(id);
    if (parcel === undefined) return;
    this.#parcels.delete(id);
    if (!parcel.onLine) this.#count(parcel, -1);
  }

  #count(parcel: Parcel, sign: 1 | -1): void {
    this.#waiting += sign;
    this.#waitingBytes += sign * parcel.bytes;
  }
}

/** Whether its time counts only while the line is up, as an offline queue is meant: unless the caller named a limit. */
function isPatient({ envelope, options }: Parcel): boolean {
  return envelope.type !== 'command' && options.timeoutMs === undefined;
}

function describe({ command, id }: Outgoing): string {
  return command ?? id;
}

function tooLarge(): ArqonBusError {
  return new ArqonBusError('MESSAGE_TOO_LARGE', 'The message is larger than the server takes; split it.');
}
