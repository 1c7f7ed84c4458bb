import { newId, SERVER, timestamp } from '@arqonbus/protocol';
import { andThen } from './awaitable.ts';
import type { Session } from './connection/session.ts';
import type { Events, Happening } from './events.ts';
import type { Publisher } from './publish.ts';
import { serverPrincipal, systemSender } from './system-sender.ts';

const TELEMETRY_CHANNEL = 'telemetry-stream';
const ACTIVITY_CHANNEL = 'dashboard-events';
/** One notice a client in this time, however busy it is. */
const ACTIVITY_INTERVAL_MS = 1_000;

export interface ActivityOptions {
  readonly telemetryRoom: string;
  /** Whether server events are put on the bus too. */
  readonly telemetry: boolean;
  readonly serverTenant: string | null;
  readonly onFault: (error: unknown) => void;
}

/**
 * Puts what happens on the bus itself: every telemetry event as an envelope in `telemetry-stream`, and what agents and
 * services are doing in `dashboard-events` (TELEMETRY).
 */
export class Activity {
  private readonly publisher: Publisher;
  /** The room of both channels. */
  readonly room: string;
  /** Where events go that concern no tenant; null when they are for operators alone. */
  private readonly serverTenant: string | null;
  private readonly onFault: (error: unknown) => void;

  constructor(publisher: Publisher, events: Events, options: ActivityOptions) {
    this.publisher = publisher;
    this.room = options.telemetryRoom;
    this.serverTenant = options.serverTenant;
    this.onFault = options.onFault;
    if (options.telemetry) events.on((event) => this.record(event));
  }

  /** Where an envelope of type `telemetry` goes, whatever its own address says. */
  get telemetryAddress(): { room: string; channel: string } {
    return { room: this.room, channel: TELEMETRY_CHANNEL };
  }

  /** An event's envelope; events about the telemetry room itself make none, or they would feed themselves. */
  private record({ tenant, event, submitted }: Happening): void {
    const target = tenant ?? this.serverTenant;
    if (submitted || target === null || event.payload.room === this.room) return;
    this.say(target, TELEMETRY_CHANNEL, event.event_id, { ...event });
  }

  /** Notes that a client did something. Agents and services are reported, people and dashboards are not. */
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

  private say(tenant: string, channel: string, id: string, payload: Record<string, unknown>): void {
    try {
      const sent = this.publisher.announce(systemSender(SERVER, serverPrincipal(tenant)), {
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
}
