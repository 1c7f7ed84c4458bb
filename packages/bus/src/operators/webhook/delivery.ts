import { createHash } from 'node:crypto';

/** The delivery of one event to one rule's endpoint. */
export class Delivery {
  readonly ruleId: string;
  /** The envelope, exactly as subscribers get it. */
  readonly text: string;
  /** The number of this request for the event, from 1. */
  readonly attempt: number;
  readonly id: string;

  constructor(ruleId: string, text: string, attempt: number) {
    this.ruleId = ruleId;
    this.text = text;
    this.attempt = attempt;
    this.id = deliveryId(ruleId, text);
  }

  /** The request body. The envelope is inserted unchanged, without parsing it again. */
  body(): string {
    return `{"rule_id":"${this.ruleId}","delivery_id":"${this.id}","attempt":${this.attempt},"envelope":${this.text}}`;
  }
}

/** The same for every attempt and on every node, so that receivers can detect repetitions. */
export function deliveryId(ruleId: string, text: string): string {
  const digest = createHash('sha256').update(ruleId).update('\n').update(text).digest('base64url');
  return `dlv_${digest.slice(0, 27)}`;
}
