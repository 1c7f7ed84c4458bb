import { encode, FEATURES, PROTOCOL_VERSION, type Welcome } from '@arqonbus/protocol';
import type { Session } from './session.ts';

export interface ServerFacts {
  readonly httpUrl: () => string | null;
  readonly node: string;
  readonly version: string;
  readonly maxMessageBytes: number;
  readonly pingIntervalMs: number;
}

/** The first frame of every connection (PROTOCOL section 4). The part that is the same for all is serialized once. */
export class WelcomeText {
  private readonly facts: ServerFacts;
  /** What {@link part} was serialized from. */
  private http: string | null = null;
  private maxMessageBytes = 0;
  private pingIntervalMs = 0;
  /** The members of the payload that describe the server. */
  private part = '';

  constructor(facts: ServerFacts) {
    this.facts = facts;
  }

  /** The welcome of a session. `joined` is its initial membership. */
  of(session: Session, joined: { readonly room: string; readonly channel: string } | null): string {
    const { role, tenant } = session.principal;
    const own: Omit<Welcome, 'server' | 'features' | 'limits' | 'session'> = {
      event: 'welcome',
      welcome: 'Connected to ArqonBus',
      client_id: session.id,
      role,
      tenant,
      room: joined?.room ?? null,
      channel: joined?.channel ?? null,
    };
    const post = session.postId === undefined ? '' : `,"session":${JSON.stringify(session.postId)}`;
    // The payload is the end of the envelope: its other members are added before the two closing braces.
    return `${encode({ type: 'system', payload: { ...own } }).slice(0, -2)},${this.serverPart()}${post}}}`;
  }

  private serverPart(): string {
    const { node, version, maxMessageBytes, pingIntervalMs, httpUrl } = this.facts;
    const http = httpUrl();
    const isCurrent =
      http === this.http && maxMessageBytes === this.maxMessageBytes && pingIntervalMs === this.pingIntervalMs;
    if (isCurrent && this.part !== '') return this.part;
    const part: Pick<Welcome, 'server' | 'features' | 'limits'> = {
      server: { name: 'ArqonBus', version, protocol: PROTOCOL_VERSION, node, ...(http === null ? {} : { http }) },
      features: [...FEATURES],
      limits: { max_message_bytes: maxMessageBytes, ping_interval_ms: pingIntervalMs },
    };
    this.http = http;
    this.maxMessageBytes = maxMessageBytes;
    this.pingIntervalMs = pingIntervalMs;
    this.part = JSON.stringify(part).slice(1, -1);
    return this.part;
  }
}
