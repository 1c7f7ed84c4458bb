import { type JsonObject, newId } from '@arqonbus/protocol';
import type { Arrival } from './connection/session.ts';
import type { Inspector } from './inspection.ts';
import { systemSender } from './system-sender.ts';

/**
 * Has the content policy inspect a connecting client's profile, which others will see. Returns the arrival with the
 * inspected profile; throws the policy's BusError to refuse the client.
 */
export function inspectArrival(inspector: Inspector, arrival: Arrival): Arrival {
  const { principal, profile, address } = arrival;
  const { tenant } = principal;
  if (!inspector.enabledFor(tenant)) return arrival;
  const { screenName, avatar, personality } = profile;
  const given = Object.entries({ screen_name: screenName, avatar, personality }).filter(([, text]) => text !== null);
  if (given.length === 0) return arrival;
  const payload: JsonObject = Object.fromEntries(given);
  const { payload: left } = inspector.inspect(
    { type: 'profile', id: newId(), tenant, room: undefined, channel: undefined, payload },
    systemSender(`handshake:${address}`, principal),
  );
  const text = (value: unknown): string | null => (typeof value === 'string' ? value : null);
  const known = { screenName: text(left.screen_name), avatar: text(left.avatar), personality: text(left.personality) };
  return { ...arrival, profile: { ...profile, ...known } };
}
