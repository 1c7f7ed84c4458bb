import { newId, SERVER, timestamp } from '@arqonbus/protocol';
import { andThen } from './awaitable.ts';
import type { Sender, Session } from './connection/session.ts';
import { type Events, eventText, type Happening } from './events.ts';
import type { Publisher } from './publish.ts';
import { type Payload, RawPayload } from './raw-payload.ts';
import { serverPrincipal, systemSender } from './system-sender.ts';

const TELEMETRY_CHANNEL = 'telemetry-stream';
const ACTIVITY_CHANNEL = 'dashboard-events';
/** At most one notice per client in this time. */
const ACTIVITY_INTERVAL_MS = 1_000;

export interface ActivityOptions {
  readonly telemetryRoom: string;
  /** Whether server events are also published on the bus. */
  readonly telemetry: boolean;
  readonly serverTenant: string | null;
  readonly onFault: (error: unknown) => void;
}

/**
 * Publishes activity on the bus itself: every telemetry event as an envelope in `telemetry-stream`, and the activity of
 * agents and services in `dashboard-events` (TELEMETRY).
 */
export class Activity {
  private readonly publisher: Publisher;
  /** The room of both channels. */
  readonly room: string;
  /** The tenant that receives events without a tenant; null when only operators see them. */
  private readonly serverTenant: string | null;
  private readonly onFault: (error: unknown) => void;
  /** The last {@link senderOf}: events of one tenant come in bursts. */
  private sender: Sender = systemSender(SERVER, serverPrincipal('default'));

  constructor(publisher: Publisher, events: Events, options: ActivityOptions) {
    this.publisher = publisher;
    this.room = options.telemetryRoom;
    this.serverTenant = options.serverTenant;
    this.onFault = options.onFault;
    if (options.telemetry) events.on((event) => this.record(event));
  }

  /** Where envelopes of type `telemetry` go, whatever address they carry. */
  get telemetryAddress(): { room: string; channel: string } {
    return { room: this.room, channel: TELEMETRY_CHANNEL };
  }

  /** Publishes an event. Events about the telemetry room itself are skipped, to avoid a loop. */
  private record({ tenant, event, submitted }: Happening): void {
    const target = tenant ?? this.serverTenant;
    if (submitted || target === null || event.payload.room === this.room) return;
    this.say(target, TELEMETRY_CHANNEL, event.event_id, new RawPayload(eventText(event)));
  }

  /** Reports a client's activity. Only agents and services are reported, not people and dashboards. */
  note(session: Session, now: number, activity: string, messageId: string, room?: string, channel?: string): void {
    if (now - session.lastActivityNotice < ACTIVITY_INTERVAL_MS) return;
    const { clientType, screenName, personality } = session.profile;
    if (clientType !== 'ai-agent' && clientType !== 'service') return;
    session.lastActivityNotice = now;
    this.say(session.principal.tenant, ACTIVITY_CHANNEL, newId(), {
      eventType: 'agent_activity',
      payload: {
        client_id: session.id,
        client_type: clientType,
        screen_name: screenName,
        personality,
        activity,
        room: room ?? null,
        channel: channel ?? null,
        message_id: messageId,
        timestamp: timestamp(now),
      },
    });
  }

  private say(tenant: string, channel: string, id: string, payload: Payload): void {
    try {
      const sent = this.publisher.announce(this.senderOf(tenant), {
        id,
        type: 'telemetry',
        room: this.room,
        channel,
        payload,
      });
      andThen(sent, () => {}, this.onFault);
    } catch (error) {
      this.onFault(error);
    }
  }

  private senderOf(tenant: string): Sender {
    if (this.sender.principal.tenant !== tenant) this.sender = systemSender(SERVER, serverPrincipal(tenant));
    return this.sender;
  }
}
