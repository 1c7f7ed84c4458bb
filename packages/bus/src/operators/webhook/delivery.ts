import { createHash } from 'node:crypto';

/** One event on its way to one rule's endpoint. */
export class Delivery {
  readonly ruleId: string;
  /** The envelope, exactly as subscribers get it. */
  readonly text: string;
  /** Which request for it this is, from 1. */
  readonly attempt: number;
  readonly id: string;

  constructor(ruleId: string, text: string, attempt: number) {
    this.ruleId = ruleId;
    this.text = text;
    this.attempt = attempt;
    this.id = deliveryId(ruleId, text);
  }

  /** The request's body. The envelope is put in as it is: parsing it again could only change it. */
  body(): string {
    return `{"rule_id":"${this.ruleId}","delivery_id":"${this.id}","attempt":${this.attempt},"envelope":${this.text}}`;
  }
}

/** The same for every attempt and on every node, so that a receiver can tell a repetition. */
export function deliveryId(ruleId: string, text: string): string {
  const digest = createHash('sha256').update(ruleId).update('\n').update(text).digest('base64url');
  return `dlv_${digest.slice(0, 27)}`;
}
