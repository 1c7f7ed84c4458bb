import {
  BusError,
  checkJson,
  type ErrorCode,
  isErrorCode,
  type JsonObject,
  parseTimestamp,
  type Role,
} from '@arqonbus/protocol';
import { z } from 'zod';
import { ACTIONS, type GrantLists, isSubject, UNPRINTABLE } from '../principal.ts';
import { OBJECT, ROLE } from '../schemas/fields.ts';

/** UTF-16 units of a reason shown to the client; longer ones are cut. */
const MAX_REASON = 256;
const MAX_TAGS = 32;
const MAX_TAG = 128;
const TENANT = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;
/** The largest time that an ECMAScript Date holds, in seconds. */
const MAX_SECONDS = 8.64e12;

const PRINTABLE = z
  .string()
  .min(1)
  .refine((text) => !UNPRINTABLE.test(text));
const GRANT = z.array(z.string().min(1).max(260)).max(100);

const PRINCIPAL = z.strictObject({
  subject: z.string().refine(isSubject).exactOptional(),
  role: ROLE.exactOptional(),
  tenant: z.string().regex(TENANT).exactOptional(),
  name: PRINTABLE.max(256).exactOptional(),
  grants: z.strictObject(Object.fromEntries(ACTIONS.map((action) => [action, GRANT.exactOptional()]))).exactOptional(),
  expires_at: z.union([z.number().min(0).max(MAX_SECONDS), z.string()]).exactOptional(),
});

const ANSWER = z.object({
  allow: z.boolean(),
  reason: z.string().exactOptional(),
  error_code: z.string().exactOptional(),
  payload: OBJECT.exactOptional(),
  metadata: z.object({ tags: z.array(PRINTABLE.max(MAX_TAG)).max(MAX_TAGS).exactOptional() }).exactOptional(),
  principal: PRINCIPAL.exactOptional(),
});

/** A principal in a backend's answer; missing fields stay unchanged. */
export interface AnsweredPrincipal {
  readonly subject?: string;
  readonly role?: Role;
  readonly tenant?: string;
  readonly name?: string;
  readonly grants?: GrantLists;
  /** Milliseconds since 1970. */
  readonly expiresAt?: number;
}

/** A backend's answer. */
export interface HookAnswer {
  readonly allow: boolean;
  /** Printable, and at most 256 UTF-16 units. */
  readonly reason: string | null;
  readonly errorCode: ErrorCode;
  readonly payload: JsonObject | null;
  readonly tags: readonly string[] | null;
  readonly principal: AnsweredPrincipal | null;
}

/** There is no usable answer. The message is for operators and contains nothing of the request or the answer. */
export class HookFailure extends Error {
  override readonly name = 'HookFailure';
}

/** Parses the body of an answer. Throws {@link HookFailure} for an invalid one. */
export function readAnswer(text: string): HookAnswer {
  let given: unknown;
  try {
    given = JSON.parse(text);
  } catch {
    throw new HookFailure('the answer is not JSON');
  }
  const checked = ANSWER.safeParse(given);
  if (!checked.success) {
    const place = checked.error.issues[0]?.path.join('.') ?? '';
    throw new HookFailure(
      place === '' ? 'the answer is not an object' : `"${place.slice(0, 100)}" of the answer is wrong`,
    );
  }
  const { allow, reason, error_code: code, payload, metadata, principal } = checked.data;
  return {
    allow,
    reason: reason === undefined ? null : printable(reason),
    errorCode: isErrorCode(code) ? code : 'AUTHORIZATION_ERROR',
    payload: payload === undefined ? null : sound(payload),
    tags: metadata?.tags ?? null,
    principal: principal === undefined ? null : principalOf(principal),
  };
}

function principalOf({ expires_at: end, grants, ...given }: z.infer<typeof PRINCIPAL>): AnsweredPrincipal {
  return {
    ...given,
    ...(grants === undefined ? {} : { grants: grants as GrantLists }),
    ...(end === undefined ? {} : { expiresAt: timeOf(end) }),
  };
}

function timeOf(given: number | string): number {
  const time = typeof given === 'number' ? Math.floor(given * 1_000) : parseTimestamp(given);
  if (time === undefined) throw new HookFailure('"principal.expires_at" of the answer is not a time');
  return time;
}

const EVERY_UNPRINTABLE = new RegExp(UNPRINTABLE.source, 'gu');

function printable(text: string): string | null {
  const shown = text.slice(0, MAX_REASON).replaceAll(EVERY_UNPRINTABLE, ' ').trim();
  return shown === '' ? null : shown;
}

/** A payload has the same limits as any client's. */
function sound(payload: JsonObject): JsonObject {
  try {
    return checkJson(payload, 'payload');
  } catch (error) {
    if (!(error instanceof BusError)) throw error;
    throw new HookFailure('"payload" of the answer is nested too deeply, or holds a number that JSON cannot carry');
  }
}
