import { encode, FEATURES, PROTOCOL_VERSION, type Welcome } from '@arqonbus/protocol';
import type { Session } from './session.ts';

export interface ServerFacts {
  readonly httpUrl: () => string | null;
  readonly node: string;
  readonly version: string;
  readonly maxMessageBytes: number;
  readonly pingIntervalMs: number;
}

/** The first frame of every connection (PROTOCOL section 4). `joined` is its initial membership. */
export function encodeWelcome(
  session: Session,
  joined: { readonly room: string; readonly channel: string } | null,
  { node, version, maxMessageBytes, pingIntervalMs, httpUrl }: ServerFacts,
): string {
  const { role, tenant } = session.principal;
  const http = httpUrl();
  const welcome: Welcome = {
    event: 'welcome',
    welcome: 'Connected to ArqonBus',
    client_id: session.id,
    role,
    tenant,
    room: joined?.room ?? null,
    channel: joined?.channel ?? null,
    server: { name: 'ArqonBus', version, protocol: PROTOCOL_VERSION, node, ...(http === null ? {} : { http }) },
    features: [...FEATURES],
    limits: { max_message_bytes: maxMessageBytes, ping_interval_ms: pingIntervalMs },
    ...(session.postId === undefined ? {} : { session: session.postId }),
  };
  return encode({ type: 'system', payload: { ...welcome } });
}
