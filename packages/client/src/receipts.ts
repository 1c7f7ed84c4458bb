import type { Envelope } from '@arqonbus/protocol';
import { ArqonBusError } from './errors.ts';

/** Receipts that are waited for. */
const MAX_AWAITED = 10_000;

/**
 * What became of a message that was sent with `receipt`.
 *
 * ```ts
 * client.on('receipt', ({ id, stage, by }) => console.log(id, stage, by));
 * ```
 */
export interface Receipt {
  /** Of the message. */
  readonly id: string;
  /** Acknowledged; given up, and a dead letter now; or its time was over before. */
  readonly stage: 'handled' | 'rejected' | 'expired';
  /** The subject that dealt with it, if it has one. */
  readonly by: string | undefined;
  /** How often it was handed out. */
  readonly attempts: number;
}

interface Awaited {
  readonly resolve: (receipt: Receipt) => void;
  readonly reject: (error: unknown) => void;
}

/** The receipts that a client waits for. */
export class Receipts {
  readonly #awaited = new Map<string, Awaited>();

  /** Resolves with the first receipt of a message. Rejects when the client ends, or when too many wait. */
  expect(id: string): Promise<Receipt> {
    const promise = new Promise<Receipt>((resolve, reject) => this.#awaited.set(id, { resolve, reject }));
    // Nobody may be waiting for it.
    promise.catch(() => {});
    const [oldest] = this.#awaited.keys();
    if (this.#awaited.size > MAX_AWAITED && oldest !== undefined) {
      const message = `More than ${MAX_AWAITED} receipts are waited for; listen to "receipt" instead.`;
      this.forget(oldest, new ArqonBusError('QUEUE_FULL', message));
    }
    return promise;
  }

  /** The message was not taken. */
  forget(id: string, error: unknown): void {
    this.#awaited.get(id)?.reject(error);
    this.#awaited.delete(id);
  }

  /** The receipt that an envelope is; undefined of any other. */
  take({ type, request_id: id, payload }: Envelope): Receipt | undefined {
    const { stage, by, attempts } = payload;
    if (type !== 'ack' || id === undefined) return undefined;
    if (stage !== 'handled' && stage !== 'rejected' && stage !== 'expired') return undefined;
    const { subject } = (by ?? {}) as { subject?: unknown };
    const receipt: Receipt = {
      id,
      stage,
      by: typeof subject === 'string' ? subject : undefined,
      attempts: typeof attempts === 'number' ? attempts : 0,
    };
    this.#awaited.get(id)?.resolve(receipt);
    this.#awaited.delete(id);
    return receipt;
  }

  fail(error: unknown): void {
    for (const id of [...this.#awaited.keys()]) this.forget(id, error);
  }
}
