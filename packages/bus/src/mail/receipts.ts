import { createHash } from 'node:crypto';
import { BusError, encode, type JsonObject } from '@arqonbus/protocol';
import type { OwedReceipt } from '../consumers/receipts-owed.ts';
import type { Direct } from '../direct.ts';
import { serverPrincipal, systemSender } from '../system-sender.ts';
import type { Mailboxes } from './mailboxes.ts';

/** Where an event was settled. */
interface SettledAt {
  readonly tenant: string;
  readonly room: string;
  readonly channel: string;
  readonly group: string;
}

/**
 * Sends receipts to the senders of messages: an `ack` to the sending connection, on any node, else a message to the
 * mailbox of the sender's subject. A repeated receipt has the same id.
 */
export class Receipts {
  private readonly direct: Direct;
  private readonly mail: Mailboxes;
  /** Receipts dropped because of a full mailbox, since the start. */
  dropped = 0;

  constructor(direct: Direct, mail: Mailboxes) {
    this.direct = direct;
    this.mail = mail;
  }

  /**
   * Sends one receipt. Resolves when it has reached its addressee or has none: the connection is gone and had no
   * subject, or its mailbox is full. Rejects with STORAGE_UNAVAILABLE.
   *
   * @param isAgain it may have been sent before, longer ago than ids are remembered
   */
  async send(at: SettledAt, receipt: OwedReceipt, isAgain: boolean): Promise<void> {
    const { tenant } = at;
    const { id: request_id, from, subject, stage, by, attempts } = receipt;
    const id = receiptId(at, receipt);
    const payload: JsonObject = { stage, ...(by === null ? {} : { by: { subject: by } }), attempts };
    const text = encode({ id, type: 'ack', request_id, payload });
    if ((await this.direct.handOver(tenant, from, text, id)) || subject === null) return;
    if (isAgain && (await this.mail.holds(tenant, subject, id))) return;
    const sender = systemSender('arqonbus', serverPrincipal(tenant));
    const to = [`@${subject}`];
    const mail = { id, to, payload, metadata: undefined, requestId: request_id, options: undefined, step: null };
    try {
      await this.mail.keep(sender, mail, [subject]);
    } catch (error) {
      if (!(error instanceof BusError && error.code === 'MAILBOX_FULL')) throw error;
      this.dropped += 1;
    }
  }
}

function receiptId({ room, channel, group }: SettledAt, { id, from, subject, stage }: OwedReceipt): string {
  const parts = JSON.stringify([room, channel, group, from, subject, id, stage]);
  return `arq_r${createHash('sha256').update(parts).digest('base64url')}`;
}
