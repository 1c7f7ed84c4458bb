import { isRoomName } from './address.ts';
import type { Expected, InboundType, JsonObject, MessageOptions } from './envelope.ts';
import { BusError } from './errors.ts';
import { isId } from './id.ts';
import { parseTimestamp } from './time.ts';

/** Longest lifetime and longest delay of a message, in seconds: a year. */
export const MAX_OPTION_SECONDS = 31_536_000;
/** Longest wait for the answer to a request, in milliseconds. */
export const MAX_REQUEST_MS = 300_000;
/** Longest accepted `epoch`, in characters. */
export const MAX_EPOCH_LENGTH = 64;

type Check = (value: unknown, type: InboundType) => void;

const CHECKS: Readonly<Record<keyof MessageOptions, Check>> = {
  ttl_seconds: (value) => {
    if (!isBetween(value, 0, MAX_OPTION_SECONDS) || value === 0) {
      throw invalid('ttl_seconds', `is more than 0 and at most ${MAX_OPTION_SECONDS} seconds`);
    }
  },
  expect: checkExpected,
  ephemeral: (value) => {
    if (typeof value !== 'boolean') throw invalid('ephemeral', 'is true or false');
  },
  clear: (value, type) => {
    eventsOnly('clear', type);
    if (typeof value !== 'boolean') throw invalid('clear', 'is true or false');
  },
  deliver_at: (value, type) => {
    eventsOnly('deliver_at', type);
    if (typeof value !== 'string' || parseTimestamp(value) === undefined) {
      throw invalid('deliver_at', 'is RFC 3339, like 2026-01-31T12:00:00Z');
    }
  },
  delay_seconds: (value, type) => {
    eventsOnly('delay_seconds', type);
    if (!isBetween(value, 0, MAX_OPTION_SECONDS)) {
      throw invalid('delay_seconds', `is 0 to ${MAX_OPTION_SECONDS} seconds`);
    }
  },
  receipt: (value, type) => {
    if (type === 'event' ? isGroup(value) : value === true) return;
    throw invalid('receipt', 'is true on a private message, and on an event the name of a group');
  },
  request: checkRequest,
};

const NAMES: ReadonlySet<string> = new Set(Object.keys(CHECKS));

/** Options that conflict with each other. */
const EXCLUSIVE: readonly (readonly [keyof MessageOptions, keyof MessageOptions, string])[] = [
  ['deliver_at', 'delay_seconds', 'say when twice; send one of them'],
  ['ephemeral', 'expect', 'contradict each other: what is not stored has no place in the stream'],
  ['ephemeral', 'clear', 'contradict each other: what is not stored takes nothing away'],
  ['deliver_at', 'expect', 'do not go together: where the stream will stand then is not known'],
  ['delay_seconds', 'expect', 'do not go together: where the stream will stand then is not known'],
  ['deliver_at', 'request', 'do not go together: a request is answered now'],
  ['delay_seconds', 'request', 'do not go together: a request is answered now'],
  ['ephemeral', 'receipt', 'contradict each other: what is not stored is handled by no group'],
];

/**
 * Validates the options of a message. Throws VALIDATION_ERROR naming the option that is unknown or invalid,
 * or that its type does not support: commands and telemetry take none.
 */
export function checkOptions(value: unknown, type: InboundType): MessageOptions | undefined {
  if (value === undefined) return undefined;
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new BusError('VALIDATION_ERROR', '"options" must be a JSON object.', {
      field: 'options',
      expected: 'object',
    });
  }
  if (type !== 'event' && type !== 'private') {
    throw new BusError('VALIDATION_ERROR', `"options" go with events and private messages, not with ${type}.`, {
      field: 'options',
      expected: 'no such field',
    });
  }
  const options = value as JsonObject;
  let count = 0;
  for (const name in options) {
    if (!NAMES.has(name)) throw unknown(name);
    CHECKS[name as keyof MessageOptions](options[name], type);
    count += 1;
  }
  if (count > 1) {
    for (const [one, other, why] of EXCLUSIVE) {
      if (!isAsked(options[one]) || !isAsked(options[other])) continue;
      throw new BusError('VALIDATION_ERROR', `"options.${one}" and "options.${other}" ${why}.`, {
        field: `options.${other}`,
      });
    }
  }
  return count === 0 ? undefined : (options as MessageOptions);
}

const EXPECT_FIELDS: ReadonlySet<string> = new Set(['sequence', 'epoch', 'last_id']);
const REQUEST_FIELDS: ReadonlySet<string> = new Set(['timeout_ms', 'group']);

/** Whether an object has no other fields; stops at the first other one. */
function hasOnly(value: JsonObject, fields: ReadonlySet<string>): boolean {
  for (const name in value) if (!fields.has(name)) return false;
  return true;
}

function checkExpected(value: unknown, type: InboundType): void {
  eventsOnly('expect', type);
  const rule = 'is {"sequence": N}, with the "epoch" if it is known, or {"last_id": "arq_…"}';
  if (!isObject(value)) throw invalid('expect', rule);
  const { sequence, epoch, last_id: lastId } = value;
  const bySequence = lastId === undefined && isSequence(sequence) && (epoch === undefined || isEpoch(epoch));
  const byId = isId(lastId) && sequence === undefined && epoch === undefined;
  if (!hasOnly(value, EXPECT_FIELDS) || !(bySequence || byId)) throw invalid('expect', rule);
}

function checkRequest(value: unknown, type: InboundType): void {
  const rule = `is {"timeout_ms": 1-${MAX_REQUEST_MS}}, on an event with a "group" if one is meant`;
  if (!isObject(value)) throw invalid('request', rule);
  const { timeout_ms: timeout, group } = value;
  const isTimed = Number.isSafeInteger(timeout) && isBetween(timeout, 1, MAX_REQUEST_MS);
  const isMeant = group === undefined || (type === 'event' && isGroup(group));
  if (!hasOnly(value, REQUEST_FIELDS) || !isTimed || !isMeant) throw invalid('request', rule);
}

function eventsOnly(name: keyof MessageOptions, type: InboundType): void {
  if (type !== 'event') throw invalid(name, 'goes with events that name no "to"');
}

/** `ephemeral: false` has no effect. */
function isAsked(value: unknown): boolean {
  return value !== undefined && value !== false;
}

function isBetween(value: unknown, least: number, most: number): value is number {
  return typeof value === 'number' && value >= least && value <= most;
}

function isSequence(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isEpoch(value: unknown): boolean {
  return typeof value === 'string' && value.length <= MAX_EPOCH_LENGTH;
}

function isGroup(value: unknown): boolean {
  return typeof value === 'string' && isRoomName(value);
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function unknown(name: string): BusError {
  const field = `options.${name.slice(0, 140)}`;
  return new BusError('VALIDATION_ERROR', `Unknown option "${field}"; there are ${[...NAMES].join(', ')}.`, { field });
}

function invalid(name: keyof MessageOptions, rule: string): BusError {
  return new BusError('VALIDATION_ERROR', `"options.${name}" ${rule}.`, { field: `options.${name}`, expected: rule });
}

/** The same options in a program, with the naming of its language. */
export interface SendOptions {
  readonly ttlSeconds?: number;
  readonly expect?: { readonly sequence: number; readonly epoch?: string } | { readonly lastId: string };
  readonly ephemeral?: boolean;
  readonly clear?: boolean;
  /** RFC 3339, or a date. */
  readonly deliverAt?: string | Date;
  readonly delaySeconds?: number;
  readonly receipt?: true | string;
  readonly request?: { readonly timeoutMs: number; readonly group?: string };
}

/** With the names of the wire format; undefined if there are none. The values are not validated. */
export function wireOptions(given: SendOptions): MessageOptions | undefined {
  const { ttlSeconds, expect, ephemeral, clear, deliverAt, delaySeconds, receipt, request } = given;
  const options = {
    ...present('ttl_seconds', ttlSeconds),
    ...present('expect', expect === undefined ? undefined : wireExpected(expect)),
    ...present('ephemeral', ephemeral),
    ...present('clear', clear),
    ...present('deliver_at', deliverAt instanceof Date ? deliverAt.toISOString() : deliverAt),
    ...present('delay_seconds', delaySeconds),
    ...present('receipt', receipt),
    ...present('request', request === undefined ? undefined : wireRequest(request)),
  };
  return Object.keys(options).length === 0 ? undefined : options;
}

function wireExpected(expect: NonNullable<SendOptions['expect']>): Expected {
  if (!('lastId' in expect)) return expect;
  const { lastId, ...rest } = expect;
  return { ...rest, last_id: lastId };
}

function wireRequest({ timeoutMs, ...rest }: NonNullable<SendOptions['request']>): MessageOptions['request'] & object {
  return { ...rest, timeout_ms: timeoutMs };
}

function present<Name extends string, Value>(name: Name, value: Value | undefined): { [key in Name]?: Value } {
  return value === undefined ? {} : ({ [name]: value } as { [key in Name]: Value });
}
