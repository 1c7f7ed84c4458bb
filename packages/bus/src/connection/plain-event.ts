import { type Inbound, type JsonObject, MAX_ID_LENGTH, MAX_NAME_LENGTH, MAX_NESTING, newId } from '@arqonbus/protocol';
import { type Payload, RawPayload } from '../raw-payload.ts';

/** An event as {@link readPlainEvent} returns it. */
export interface PlainEvent extends Omit<Inbound, 'type' | 'payload'> {
  readonly type: 'event';
  readonly payload: Payload;
}

/** A client's valid envelope. */
export type Received = Inbound | PlainEvent;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const MINUS = 0x2d;
const POINT = 0x2e;
const COLON = 0x3a;
const ZERO = 0x30;
const NINE = 0x39;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;

/** Most keys of the objects that are open at one place of a payload. */
const MAX_KEYS = 64;
/** Most digits of a number. A double holds any decimal number of 15 digits, and gives the same digits back. */
const MAX_DIGITS = 15;

// Character classes, one byte each: a table is faster than comparisons.
const PLAIN = 0;
const SPECIAL = 1;
const HIGH = 2;
/** Characters inside strings: a quote, a backslash or a control character is special, a byte from 128 on is high. */
const IN_STRING: Uint8Array = new Uint8Array(256).map((_, byte) =>
  byte < 0x20 || byte === QUOTE || byte === BACKSLASH ? SPECIAL : byte < 0x80 ? PLAIN : HIGH,
);
const IN_ID = classOf(/[A-Za-z0-9_-]/);
const IN_ROOM = classOf(/[A-Za-z0-9._-]/);
const IN_CHANNEL = classOf(/[A-Za-z0-9._/-]/);
const ALPHANUMERIC = classOf(/[A-Za-z0-9]/);
/** What may follow a backslash. `\/` and `\u` are valid too, but `JSON.stringify` writes them in another way. */
const ESCAPED = classOf(/["\\bfnrt]/);

const VERSION = bytesOf('"version":"1.0"');
const ID = bytesOf('"id":"arq_');
const TYPE = bytesOf('"type":"event"');
const ROOM = bytesOf('"room":"');
const CHANNEL = bytesOf('"channel":"');
const PAYLOAD = bytesOf('"payload":');
const ACK_TRUE = bytesOf('"ack":true');
const ACK_FALSE = bytesOf('"ack":false');
const TRUE = bytesOf('true');
const FALSE = bytesOf('false');
const NULL = bytesOf('null');

const NOTHING = Buffer.alloc(0);
const NO_ARGS: JsonObject = Object.freeze({});

/**
 * Reads the usual event from the bytes of a text frame, without parsing its payload. Parsing payloads and
 * serializing them again would be a third of the cost of a message.
 *
 * Returns exactly what `decode` returns for the frame, except that the payload is a {@link RawPayload}, or null for any
 * frame that it does not recognize: another type or field, or JSON that `JSON.stringify` would have written in another
 * way (white space, `\u` escapes, `1.0`, a repeated key). The payload's text can therefore be passed on as it is.
 *
 * @param bytes valid UTF-8
 * @param strict whether `version`, `id` and `payload` are required
 */
export function readPlainEvent(bytes: Buffer, strict: boolean): PlainEvent | null {
  const event = reader.read(bytes, strict);
  reader.release();
  return event;
}

/** A cursor over the bytes of one frame. There is only one, as frames are read one after the other. */
class Reader {
  private bytes: Buffer = NOTHING;
  private at = 0;
  /** Whether a byte above 127 was read. */
  private isWide = false;
  private readonly rooms: Names = new Names();
  private readonly channels: Names = new Names();
  // The open objects and arrays of a payload: what each is, where its keys begin, and which hashes they have.
  private readonly isObject: Uint8Array = new Uint8Array(MAX_NESTING);
  private readonly firstKey: Uint8Array = new Uint8Array(MAX_NESTING);
  private readonly keyBits: Int32Array = new Int32Array(MAX_NESTING);
  private readonly keys: Int32Array = new Int32Array(MAX_KEYS);
  private keyCount = 0;

  /** Lets go of the frame. */
  release(): void {
    this.bytes = NOTHING;
  }

  read(bytes: Buffer, strict: boolean): PlainEvent | null {
    if (bytes[0] !== OPEN_BRACE) return null;
    this.bytes = bytes;
    this.at = 0;
    let hasVersion = false;
    let hasType = false;
    let id: string | undefined;
    let room: string | undefined;
    let channel: string | undefined;
    let payload: RawPayload | undefined;
    let ack: boolean | undefined;
    do {
      this.at += 1;
      // The second character of a field name tells which one it can be.
      switch (bytes[this.at + 1]) {
        case 0x76: // version
          if (hasVersion || !this.passBytes(VERSION)) return null;
          hasVersion = true;
          break;
        case 0x69: // id
          if (id !== undefined || !this.passBytes(ID)) return null;
          id = this.id();
          if (id === undefined) return null;
          break;
        case 0x74: // type
          if (hasType || !this.passBytes(TYPE)) return null;
          hasType = true;
          break;
        case 0x72: // room
          if (room !== undefined || !this.passBytes(ROOM)) return null;
          room = this.name(IN_ROOM, this.rooms);
          if (room === undefined) return null;
          break;
        case 0x63: // channel
          if (channel !== undefined || !this.passBytes(CHANNEL)) return null;
          channel = this.name(IN_CHANNEL, this.channels);
          if (channel === undefined) return null;
          break;
        case 0x70: // payload
          if (payload !== undefined || !this.passBytes(PAYLOAD)) return null;
          payload = this.payload();
          if (payload === undefined) return null;
          break;
        case 0x61: // ack
          if (ack !== undefined) return null;
          ack = this.passBytes(ACK_TRUE);
          if (!ack && !this.passBytes(ACK_FALSE)) return null;
          break;
        default:
          return null;
      }
    } while (bytes[this.at] === COMMA);
    if (bytes[this.at] !== CLOSE_BRACE || this.at + 1 !== bytes.length || !hasType) return null;
    if (strict && (!hasVersion || id === undefined || payload === undefined)) return null;
    // The fields are those of `decode`, in its order, so that both kinds of object have the same shape.
    return {
      id: id ?? newId(),
      type: 'event',
      room,
      channel,
      to: undefined,
      payload: payload ?? {},
      command: '',
      args: NO_ARGS,
      ack: ack === true,
      requestId: undefined,
      metadata: undefined,
      options: undefined,
      dropped: 0,
    };
  }

  /** Passes over the given bytes, if they come next. */
  private passBytes(expected: Uint8Array): boolean {
    const { bytes, at } = this;
    for (let index = 0; index < expected.length; index += 1) {
      if (bytes[at + index] !== expected[index]) return false;
    }
    this.at = at + expected.length;
    return true;
  }

  /** The rest of an id, after its prefix. */
  private id(): string | undefined {
    const from = this.at;
    const end = this.endOf(IN_ID);
    const start = from - PREFIX_LENGTH;
    if (end === from || end - start > MAX_ID_LENGTH || this.bytes[end] !== QUOTE) return undefined;
    this.at = end + 1;
    return this.bytes.toString('latin1', start, end);
  }

  private name(characters: Uint8Array, names: Names): string | undefined {
    const { bytes, at: from } = this;
    if (ALPHANUMERIC[bytes[from] as number] !== 1) return undefined;
    const end = this.endOf(characters);
    if (end - from > MAX_NAME_LENGTH || bytes[end] !== QUOTE) return undefined;
    this.at = end + 1;
    return names.find(bytes, from, end);
  }

  /** Where the run of these characters ends. */
  private endOf(characters: Uint8Array): number {
    const { bytes } = this;
    let { at } = this;
    while (characters[bytes[at] as number] === 1) at += 1;
    return at;
  }

  private payload(): RawPayload | undefined {
    const from = this.at;
    this.isWide = false;
    this.keyCount = 0;
    if (this.bytes[from] !== OPEN_BRACE || !this.passValue()) return undefined;
    // ASCII is read several times faster as latin1.
    return new RawPayload(this.bytes.toString(this.isWide ? 'utf8' : 'latin1', from, this.at));
  }

  /** Passes over one value, with everything in it. False if it is not what `JSON.stringify` would have written. */
  private passValue(): boolean {
    const { bytes } = this;
    let depth = 0;
    for (;;) {
      const first = bytes[this.at];
      if (first === QUOTE) {
        if (!this.passString()) return false;
      } else if (first === OPEN_BRACE || first === OPEN_BRACKET) {
        if (depth === MAX_NESTING) return false;
        const isObject = first === OPEN_BRACE;
        this.isObject[depth] = isObject ? 1 : 0;
        this.firstKey[depth] = this.keyCount;
        this.keyBits[depth] = 0;
        depth += 1;
        this.at += 1;
        if (bytes[this.at] !== (isObject ? CLOSE_BRACE : CLOSE_BRACKET)) {
          if (isObject && !this.passKey(depth - 1)) return false;
          continue;
        }
        this.at += 1;
        depth -= 1;
      } else if (!this.passScalar(first)) return false;
      // After a value: the next one of the same object or array, or the ends of as many as close here.
      for (;;) {
        if (depth === 0) return true;
        const isObject = this.isObject[depth - 1] === 1;
        const next = bytes[this.at];
        this.at += 1;
        if (next === COMMA) {
          if (isObject && !this.passKey(depth - 1)) return false;
          break;
        }
        if (next !== (isObject ? CLOSE_BRACE : CLOSE_BRACKET)) return false;
        depth -= 1;
        this.keyCount = this.firstKey[depth] as number;
      }
    }
  }

  private passString(): boolean {
    const { bytes } = this;
    let at = this.at + 1;
    for (;;) {
      while (IN_STRING[bytes[at] as number] === PLAIN) at += 1;
      const byte = bytes[at];
      if (byte === QUOTE) break;
      if (byte === BACKSLASH) {
        if (ESCAPED[bytes[at + 1] as number] !== 1) return false;
        at += 2;
      } else if (IN_STRING[byte as number] === HIGH) {
        this.isWide = true;
        at += 1;
      } else return false;
    }
    this.at = at + 1;
    return true;
  }

  /**
   * Passes over a key and its colon. Refuses keys that begin with a digit, which objects keep in another order, and
   * those whose hash an earlier key of the object has, since it may be the same key.
   */
  private passKey(level: number): boolean {
    const { bytes } = this;
    let at = this.at + 1;
    if (bytes[this.at] !== QUOTE || this.keyCount === MAX_KEYS) return false;
    const first = bytes[at] as number;
    if (first >= ZERO && first <= NINE) return false;
    let hash = 0;
    for (;;) {
      const byte = bytes[at] as number;
      if (IN_STRING[byte] !== PLAIN) break;
      hash = (Math.imul(hash, 31) + byte) | 0;
      at += 1;
    }
    if (bytes[at] !== QUOTE || bytes[at + 1] !== COLON) return false;
    this.at = at + 2;
    const bit = 1 << (hash & 31);
    const bits = this.keyBits[level] as number;
    if ((bits & bit) !== 0) {
      for (let key = this.firstKey[level] as number; key < this.keyCount; key += 1) {
        if (this.keys[key] === hash) return false;
      }
    }
    this.keyBits[level] = bits | bit;
    this.keys[this.keyCount] = hash;
    this.keyCount += 1;
    return true;
  }

  private passScalar(first: number | undefined): boolean {
    switch (first) {
      case 0x74:
        return this.passBytes(TRUE);
      case 0x66:
        return this.passBytes(FALSE);
      case 0x6e:
        return this.passBytes(NULL);
      default:
        return this.passNumber();
    }
  }

  /** Passes over a number without an exponent that is written with the fewest digits. */
  private passNumber(): boolean {
    const { bytes } = this;
    const start = bytes[this.at] === MINUS ? this.at + 1 : this.at;
    const point = endOfDigits(bytes, start);
    const hasLeadingZero = bytes[start] === ZERO;
    if (point === start || (hasLeadingZero && point > start + 1)) return false;
    let end = point;
    if (bytes[point] === POINT) {
      end = endOfDigits(bytes, point + 1);
      if (end === point + 1 || bytes[end - 1] === ZERO) return false;
      // Below a millionth a number is written with an exponent.
      if (hasLeadingZero && end - point > 6 && isZeros(bytes, point + 1, point + 7)) return false;
    } else if (hasLeadingZero && start > this.at) return false;
    if (end - start > MAX_DIGITS || isExponent(bytes[end])) return false;
    this.at = end;
    return true;
  }
}

const PREFIX_LENGTH = 'arq_'.length;

function endOfDigits(bytes: Uint8Array, from: number): number {
  let at = from;
  for (let byte = bytes[at] as number; byte >= ZERO && byte <= NINE; byte = bytes[at] as number) at += 1;
  return at;
}

function isZeros(bytes: Uint8Array, from: number, to: number): boolean {
  for (let at = from; at < to; at += 1) if (bytes[at] !== ZERO) return false;
  return true;
}

function isExponent(byte: number | undefined): boolean {
  return byte === 0x65 || byte === 0x45;
}

function classOf(pattern: RegExp): Uint8Array {
  return new Uint8Array(256).map((_, byte) => (byte < 0x80 && pattern.test(String.fromCharCode(byte)) ? 1 : 0));
}

function bytesOf(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

const NAME_SLOTS = 1_024;

/** Recently read names, one a slot, so that a name that comes again needs no new string. */
class Names {
  private readonly slots: string[] = new Array<string>(NAME_SLOTS).fill('');

  find(bytes: Buffer, from: number, to: number): string {
    let hash = 0;
    for (let at = from; at < to; at += 1) hash = (Math.imul(hash, 31) + (bytes[at] as number)) | 0;
    const slot = (hash ^ (hash >>> 10)) & (NAME_SLOTS - 1);
    const known = this.slots[slot] as string;
    if (known.length === to - from && isAt(bytes, from, known)) return known;
    const name = bytes.toString('latin1', from, to);
    this.slots[slot] = name;
    return name;
  }
}

function isAt(bytes: Uint8Array, from: number, text: string): boolean {
  for (let index = 0; index < text.length; index += 1) if (text.charCodeAt(index) !== bytes[from + index]) return false;
  return true;
}

const reader: Reader = new Reader();
