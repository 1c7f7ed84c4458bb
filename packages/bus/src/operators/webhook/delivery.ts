import { createHash } from 'node:crypto';
import type { StreamEvent } from '../../engine/engine.ts';

/** One event on its way to one rule's endpoint. */
export class Delivery {
  readonly ruleId: string;
  readonly room: string;
  readonly channel: string;
  /** The envelope, exactly as subscribers get it. */
  readonly text: string;
  /** When the event reached this node, milliseconds since 1970. */
  readonly time: number;
  /** Requests made so far, those before a retry by command included. */
  attempts: number;
  /** No other node has this event for the rule: it is live-only traffic or was taken from dead letters. */
  readonly exclusive: boolean;
  /** Taken over from another node, which may have posted it already. */
  inherited = false;
  /** Another node posts it from now on; an attempt that fails is not repeated here. */
  surrendered = false;
  private identifier: string | undefined;

  constructor(
    ruleId: string,
    room: string,
    channel: string,
    text: string,
    time: number,
    exclusive: boolean,
    attempts = 0,
  ) {
    this.ruleId = ruleId;
    this.room = room;
    this.channel = channel;
    this.text = text;
    this.time = time;
    this.exclusive = exclusive;
    this.attempts = attempts;
  }

  static of(ruleId: string, event: StreamEvent, time: number): Delivery {
    const { room, channel } = event.stream;
    return new Delivery(ruleId, room, channel, event.text, time, event.sequence === 0);
  }

  /**
   * The same for every attempt and on every node, so that a receiver can tell a repetition. It is made when it is first
   * asked for: hashing a large envelope has no place on the path of a publish.
   */
  get id(): string {
    if (this.identifier === undefined) {
      const digest = createHash('sha256').update(this.ruleId).update('\n').update(this.text).digest('base64url');
      this.identifier = `dlv_${digest.slice(0, 27)}`;
    }
    return this.identifier;
  }

  /** The request's body. The envelope is put in as it is: parsing it again could only change it. */
  body(): string {
    return `{"rule_id":"${this.ruleId}","delivery_id":"${this.id}","attempt":${this.attempts},"envelope":${this.text}}`;
  }

  /** Bytes that keeping it may take: two for each UTF-16 code unit. */
  get size(): number {
    return this.text.length * 2;
  }
}
