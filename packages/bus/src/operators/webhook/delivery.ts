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

/** Bytes of waiting texts that one rule may keep. */
export const MAX_BACKLOG_BYTES: number = 8 * 1024 * 1024;

interface Sized {
  readonly size: number;
}

/** A queue bounded in items and bytes: over either, the oldest go. The newest always stays. */
export class Backlog<T extends Sized> {
  private readonly maxItems: number;
  private readonly maxBytes: number;
  private items: T[] = [];
  /** Items before it are gone; they are cut off once they are many. */
  private head = 0;
  private bytes = 0;

  constructor(maxItems: number, maxBytes: number = MAX_BACKLOG_BYTES) {
    this.maxItems = maxItems;
    this.maxBytes = maxBytes;
  }

  get length(): number {
    return this.items.length - this.head;
  }

  /** Adds an item; answers how many had to go. */
  push(item: T): number {
    this.items.push(item);
    this.bytes += item.size;
    let dropped = 0;
    while (this.length > 1 && (this.length > this.maxItems || this.bytes > this.maxBytes)) {
      this.shift();
      dropped += 1;
    }
    return dropped;
  }

  peek(): T | undefined {
    return this.items[this.head];
  }

  shift(): T | undefined {
    const item = this.items[this.head];
    if (item === undefined) return undefined;
    this.head += 1;
    this.bytes -= item.size;
    if (this.head * 2 > this.items.length) {
      this.items = this.items.slice(this.head);
      this.head = 0;
    }
    return item;
  }

  /** Takes everything out, oldest first. */
  drain(): T[] {
    const all = this.items.slice(this.head);
    this.items = [];
    this.head = 0;
    this.bytes = 0;
    return all;
  }
}
