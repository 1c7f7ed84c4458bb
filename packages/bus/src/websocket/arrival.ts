import { BusError, CLIENT_TYPES, type ClientType, parseAddress, WILDCARD } from '@arqonbus/protocol';
import type { Arrival } from '../connection/session.ts';
import type { Principal } from '../principal.ts';

const MAX_TEXT = 2_048;
const CLIENT_KEY = /^[A-Za-z0-9._~-]{16,64}$/;

/**
 * Who a connecting client says it is: the query of the upgrade request (PROTOCOL section 1). Throws VALIDATION_ERROR,
 * which the handshake answers with 400, for an unknown `client_type` and malformed values.
 */
export function readArrival(url: string, principal: Principal): Arrival {
  const mark = url.indexOf('?');
  const query = new URLSearchParams(mark < 0 ? '' : url.slice(mark + 1));
  const clientKey = text(query, 'client_key');
  if (clientKey !== null && !CLIENT_KEY.test(clientKey)) {
    throw invalid('client_key', 'is 16-64 random letters, digits, ".", "_", "~" or "-"');
  }
  return {
    principal,
    profile: {
      clientType: clientType(text(query, 'client_type')),
      screenName: text(query, 'screen_name'),
      avatar: text(query, 'avatar'),
      personality: text(query, 'personality'),
    },
    clientKey: clientKey ?? undefined,
    join: firstMembership(text(query, 'room'), text(query, 'channel')),
  };
}

function clientType(value: string | null): ClientType {
  const type = value ?? 'service';
  if (!(CLIENT_TYPES as readonly string[]).includes(type)) {
    throw invalid('client_type', `is one of ${CLIENT_TYPES.join(', ')}`);
  }
  return type as ClientType;
}

function firstMembership(room: string | null, channel: string | null): Arrival['join'] {
  if (room === null && channel === null) return undefined;
  const address = parseAddress(room ?? undefined, channel ?? undefined);
  if (address.room === undefined) throw invalid('channel', 'needs its room');
  return { room: address.room, channel: address.channel ?? WILDCARD };
}

function text(query: URLSearchParams, name: string): string | null {
  const value = query.get(name);
  if (value === null || value === '') return null;
  if (value.length > MAX_TEXT) throw invalid(name, `is at most ${MAX_TEXT} characters`);
  return value;
}

function invalid(field: string, rule: string): BusError {
  return new BusError('VALIDATION_ERROR', `"${field}" ${rule}.`, { field });
}
