import {
  BusError,
  checkOptions,
  isId,
  isRoomName,
  type MessageOptions,
  type SendOptions,
  wireOptions,
} from '@arqonbus/protocol';
import type { GivenPrincipal } from './create-options.ts';
import type { Awaitable } from './engine/engine.ts';
import { grantsOf, principalOf, type Verification } from './principal.ts';

/** What a program's hook says of who somebody is, as the bus takes it; only AUTHENTICATION_FAILED is an answer. */
export async function verification(who: () => Awaitable<GivenPrincipal>): Promise<Verification> {
  try {
    const { grants = null, ...given } = await who();
    return { ok: true, principal: principalOf({ ...given, grants: grants === null ? null : grantsOf(grants) }) };
  } catch (error) {
    if (!(error instanceof BusError) || error.code !== 'AUTHENTICATION_FAILED') throw error;
    return { ok: false, reason: error.message, internal: error.code };
  }
}

/** Throws VALIDATION_ERROR for what a program gives that no envelope could carry. */
export function checkGiven({ payload, id, tenant }: { payload: unknown; id: string; tenant: string }): void {
  if (typeof payload !== 'object' || payload === null || Array.isArray(payload)) {
    throw invalid('payload', 'must be an object; put other values into one, as in {"value": 7}');
  }
  if (!isId(id)) throw invalid('id', 'is "arq_" and 1-124 letters, digits, "_" or "-"');
  checkTenant(tenant);
}

/** The options of a message among those of a publish; a name that is no option's is refused. */
export function checkSendOptions(given: SendOptions): MessageOptions | undefined {
  const { ttlSeconds, expect, ephemeral, clear, deliverAt, delaySeconds, receipt, request, ...others } = given;
  const [unknown] = Object.keys(others);
  if (unknown !== undefined) throw invalid(unknown.slice(0, 140), 'is not an option of publish()');
  return checkOptions(wireOptions(given), 'event');
}

/** A tenant's name is made of the same characters as a room's. */
export function checkTenant(tenant: string): void {
  if (!isRoomName(tenant)) throw invalid('tenant', 'is 1-128 letters, digits, ".", "_" or "-"');
}

function invalid(field: string, rule: string): BusError {
  return new BusError('VALIDATION_ERROR', `"${field}" ${rule}.`, { field });
}
