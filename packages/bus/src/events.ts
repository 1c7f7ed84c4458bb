import type { JsonObject } from '@arqonbus/protocol';
import { newId, timestamp } from '@arqonbus/protocol';
import { networkOf } from './network.ts';

export type Severity = 'info' | 'warning' | 'error';

/** The server's own event types (TELEMETRY); clients may submit others. */
export type ServerEventType =
  | 'client_connected'
  | 'client_disconnected'
  | 'channel_created'
  | 'channel_deleted'
  | 'client_joined'
  | 'client_left'
  | 'message_routed'
  | 'command_executed'
  | 'casil_decision'
  | 'casil_policy_reloaded'
  | 'casil_repeat_violation'
  | 'auth_failed'
  | 'rate_limited'
  | 'schema_mismatch'
  | 'hook_failing'
  | 'hook_recovered'
  | 'slow_consumer'
  | 'webhook_failed'
  | 'storage_degraded'
  | 'storage_recovered'
  | 'server_started'
  | 'server_stopping'
  | 'server_stats'
  | 'memory_full'
  | 'memory_freed'
  | 'history_trimmed'
  | 'events_suppressed';

/** One event. The server's own events contain no message content. */
export interface BusEvent {
  readonly event_id: string;
  readonly eventType: string;
  readonly timestamp: string;
  readonly severity: Severity;
  readonly node: string;
  readonly payload: JsonObject;
  /** Set on events that clients submit, whatever their type; the server's own events have none of these fields. */
  readonly submitted?: true;
  readonly client_id?: string;
  /** The room and channel that the client named. */
  readonly room?: string;
  readonly channel?: string;
}

let lastEvent: BusEvent | null = null;
let lastText = '';

/** An event as JSON text, serialized once for the listeners that are notified of it one after the other. */
export function eventText(event: BusEvent): string {
  if (event !== lastEvent) {
    lastText = JSON.stringify(event);
    lastEvent = event;
  }
  return lastText;
}

/** A validated event of a client, with the client's id. */
export type Submitted = Required<Pick<BusEvent, 'eventType' | 'payload' | 'client_id'>> &
  Pick<BusEvent, 'room' | 'channel'>;

/** An event and its tenant: null is the server itself, which only operators see (PROTOCOL section 5). */
export interface Happening {
  readonly tenant: string | null;
  readonly event: BusEvent;
  /** Whether a client submitted it. Such events are already on the bus, and their type may be one of the server's. */
  readonly submitted: boolean;
}

export type EventListener = (happening: Happening) => void;

/** Most events per second reported individually for one client, subject or address; further ones are only counted. */
const MAX_PER_CLIENT = 20;
const WINDOW_MS = 1_000;
/** Events that a client, or an unauthenticated peer, can trigger as often as it likes. */
const BOUNDED: ReadonlySet<ServerEventType> = new Set([
  'auth_failed',
  'command_executed',
  'client_joined',
  'client_left',
  'rate_limited',
  'schema_mismatch',
  'channel_created',
]);

/** The subject of an event, in the form of `events_suppressed`. */
interface Subject {
  readonly field: 'client_id' | 'subject' | 'address';
  readonly value: string;
}

interface Told extends Subject {
  readonly tenant: string | null;
  count: number;
}

/**
 * Limits the events of each client, subject and address to {@link MAX_PER_CLIENT} a second, so that nobody can flood
 * the log or the telemetry with cheap requests.
 */
export class ClientBudget {
  private told: Map<string, Told> = new Map();
  private timer: NodeJS.Timeout | undefined;
  /** Events suppressed since the start. */
  suppressed = 0;
  private readonly onSuppressed: (told: Told, count: number) => void;

  constructor(onSuppressed: (told: Told, count: number) => void) {
    this.onSuppressed = onSuppressed;
  }

  /** Whether another event of a client may be reported; suppressed ones are counted. */
  allows(tenant: string | null, clientId: string): boolean {
    return this.allowsAbout(tenant, { field: 'client_id', value: clientId });
  }

  /** The same for any subject. */
  allowsAbout(tenant: string | null, { field, value }: Subject): boolean {
    // Subjects are unique within a tenant; client ids and addresses are globally unique. A client id has no spaces.
    const key =
      field === 'client_id' ? value : field === 'subject' ? `${field} ${tenant} ${value}` : `${field} ${value}`;
    const told = this.told.get(key);
    if (told === undefined) {
      this.told.set(key, { tenant, field, value, count: 1 });
      this.timer ??= setTimeout(() => this.flush(), WINDOW_MS).unref();
      return true;
    }
    told.count += 1;
    if (told.count <= MAX_PER_CLIENT) return true;
    this.suppressed += 1;
    return false;
  }

  private flush(): void {
    const { told } = this;
    this.told = new Map();
    this.timer = undefined;
    for (const one of told.values()) {
      if (one.count > MAX_PER_CLIENT) this.onSuppressed(one, one.count - MAX_PER_CLIENT);
    }
  }
}

/**
 * Dispatches events to telemetry, logs and metrics. A listener cannot make the reported operation fail: errors it
 * throws go to `onFault`.
 */
export class Events {
  private readonly node: string;
  private readonly onFault: (error: unknown) => void;
  private readonly listeners: Set<EventListener> = new Set();
  /** The event budget of each client. */
  readonly budget: ClientBudget = new ClientBudget(({ tenant, field, value }, suppressed) =>
    this.emit('events_suppressed', tenant, { [field]: value, suppressed }),
  );

  constructor(node: string, onFault: (error: unknown) => void) {
    this.node = node;
    this.onFault = onFault;
  }

  /** Adds a listener; returns a function that removes it. */
  on(listener: EventListener): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Emits an event; false when the budget of its client, subject or address for this second is used up. */
  emit(type: ServerEventType, tenant: string | null, payload: JsonObject, severity: Severity = 'info'): boolean {
    if (BOUNDED.has(type) && !this.budget.allowsAbout(tenant, subjectOf(payload))) return false;
    this.tell({ tenant, event: this.event(type, payload, severity), submitted: false });
    return true;
  }

  /** Creates an event from a client's submission. Time, node and severity are set by the server. */
  submission({ eventType, payload, ...marks }: Submitted): BusEvent {
    return { ...this.event(eventType, payload, 'info'), submitted: true, ...marks };
  }

  /** Emits an event that a client submitted. */
  submit(tenant: string, event: BusEvent): void {
    this.tell({ tenant, event, submitted: true });
  }

  private event(eventType: string, payload: JsonObject, severity: Severity): BusEvent {
    return { event_id: newId(), eventType, timestamp: timestamp(), severity, node: this.node, payload };
  }

  private tell(happening: Happening): void {
    for (const listener of this.listeners) {
      try {
        listener(happening);
      } catch (error) {
        this.onFault(error);
      }
    }
  }
}

/** The subject of an event: a client, the creator of a channel, or a caller without a connection. */
function subjectOf({ client_id, created_by, subject, address }: JsonObject): Subject {
  const client = client_id ?? created_by;
  if (client === undefined && typeof subject === 'string') return { field: 'subject', value: subject };
  if (client === undefined && typeof address === 'string') return { field: 'address', value: networkOf(address) };
  return { field: 'client_id', value: String(client ?? '') };
}
