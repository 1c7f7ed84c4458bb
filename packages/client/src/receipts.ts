import type { Envelope } from '@arqonbus/protocol';
import { MAIL_ROOM } from './address.ts';
import { ArqonBusError } from './errors.ts';

/** Maximum pending receipts. */
const MAX_AWAITED = 10_000;
/** Remembered receipt ids, so that a repeated receipt is reported only once. */
const MAX_TOLD = 1_000;
/** The sender name of the server; no client can use it. */
const SERVER = 'arqonbus';

/**
 * The outcome of a message that was sent with `receipt`.
 *
 * ```ts
 * client.on('receipt', ({ id, stage, by }) => console.log(id, stage, by));
 * ```
 */
export interface Receipt {
  /** Of the message. */
  readonly id: string;
  /** `handled`: acknowledged; `rejected`: now a dead letter; `expired`: it expired before. */
  readonly stage: 'handled' | 'rejected' | 'expired';
  /** The subject of the member that handled it, if it has one. */
  readonly by: string | undefined;
  /** The number of deliveries. */
  readonly attempts: number;
}

interface Awaited {
  readonly resolve: (receipt: Receipt) => void;
  readonly reject: (error: unknown) => void;
}

/** The pending receipts of a client. */
export class Receipts {
  readonly #awaited = new Map<string, Awaited>();
  /** The ids of the latest receipts. */
  readonly #told = new Set<string>();

  /** Resolves with the first receipt of a message. Rejects when the client is closed, or when too many are pending. */
  expect(id: string): Promise<Receipt> {
    const promise = new Promise<Receipt>((resolve, reject) => this.#awaited.set(id, { resolve, reject }));
    // The promise may be unused.
    promise.catch(() => {});
    const [oldest] = this.#awaited.keys();
    if (this.#awaited.size > MAX_AWAITED && oldest !== undefined) {
      const message = `More than ${MAX_AWAITED} receipts are waited for; listen to "receipt" instead.`;
      this.forget(oldest, new ArqonBusError('QUEUE_FULL', message));
    }
    return promise;
  }

  /** The message was refused. */
  forget(id: string, error: unknown): void {
    this.#awaited.get(id)?.reject(error);
    this.#awaited.delete(id);
  }

  /**
   * Takes an envelope if it is a receipt: an `ack`, or a message from the mailbox of a client that was disconnected.
   * Calls `tell` unless the receipt was reported before. Returns false for any other envelope.
   */
  take(envelope: Envelope, tell: (receipt: Receipt) => void): boolean {
    const receipt = receiptOf(envelope);
    if (receipt === undefined) return false;
    if (this.#told.has(envelope.id)) return true;
    this.#told.add(envelope.id);
    const [oldest] = this.#told;
    if (this.#told.size > MAX_TOLD) this.#told.delete(oldest as string);
    this.#awaited.get(receipt.id)?.resolve(receipt);
    this.#awaited.delete(receipt.id);
    tell(receipt);
    return true;
  }

  fail(error: unknown): void {
    for (const id of [...this.#awaited.keys()]) this.forget(id, error);
  }
}

function receiptOf({ type, room, from, request_id: id, payload }: Envelope): Receipt | undefined {
  const isMail = type === 'private' && room === MAIL_ROOM && from === SERVER;
  if ((type !== 'ack' && !isMail) || id === undefined) return undefined;
  const { stage, by, attempts } = payload;
  if (stage !== 'handled' && stage !== 'rejected' && stage !== 'expired') return undefined;
  const { subject } = (by ?? {}) as { subject?: unknown };
  return {
    id,
    stage,
    by: typeof subject === 'string' ? subject : undefined,
    attempts: typeof attempts === 'number' ? attempts : 0,
  };
}
