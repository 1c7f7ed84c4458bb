import type { JsonObject } from '@arqonbus/protocol';
import { newId, timestamp } from '@arqonbus/protocol';
import { networkOf } from './network.ts';

export type Severity = 'info' | 'warning' | 'error';

/** What the server tells of itself (TELEMETRY); a client may submit event types of its own. */
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

/** One thing that happened. The server's own events hold no message content. */
export interface BusEvent {
  readonly event_id: string;
  readonly eventType: string;
  readonly timestamp: string;
  readonly severity: Severity;
  readonly node: string;
  readonly payload: JsonObject;
  /** On what a client submitted, whatever it claims to be: the server's own events lack all of these. */
  readonly submitted?: true;
  readonly client_id?: string;
  /** What it says to be about. */
  readonly room?: string;
  readonly channel?: string;
}

/** What a client submits, already validated, and who that is. */
export type Submitted = Required<Pick<BusEvent, 'eventType' | 'payload' | 'client_id'>> &
  Pick<BusEvent, 'room' | 'channel'>;

/** An event with whom it concerns: null is the server itself, which only operators see (PROTOCOL section 5). */
export interface Happening {
  readonly tenant: string | null;
  readonly event: BusEvent;
  /** A client's event, which is on the bus already; its type may spell one of the server's. */
  readonly submitted: boolean;
}

export type EventListener = (happening: Happening) => void;

/** Events about one client, subject or address in a second that are told one by one; the rest is told as a number. */
const MAX_PER_CLIENT = 20;
const WINDOW_MS = 1_000;
/** What a client, or a stranger whose handshakes are refused, can cause as often as it likes. */
const BOUNDED: ReadonlySet<ServerEventType> = new Set([
  'auth_failed',
  'command_executed',
  'client_joined',
  'client_left',
  'rate_limited',
  'schema_mismatch',
  'channel_created',
]);

/** Whom something is told about, as `events_suppressed` names it. */
interface Subject {
  readonly field: 'client_id' | 'subject' | 'address';
  readonly value: string;
}

interface Told extends Subject {
  readonly tenant: string | null;
  count: number;
}

/**
 * Bounds what is told of each client, subject and address to {@link MAX_PER_CLIENT} lines a second, so that nobody can
 * fill the log or the telemetry by asking for little things.
 */
export class ClientBudget {
  private told: Map<string, Told> = new Map();
  private timer: NodeJS.Timeout | undefined;
  /** Lines that were left out since the start. */
  suppressed = 0;
  private readonly onSuppressed: (told: Told, count: number) => void;

  constructor(onSuppressed: (told: Told, count: number) => void) {
    this.onSuppressed = onSuppressed;
  }

  /** Whether one more may be told of a client; what may not is counted. */
  allows(tenant: string | null, clientId: string): boolean {
    return this.allowsAbout(tenant, { field: 'client_id', value: clientId });
  }

  /** The same of whoever it is about. */
  allowsAbout(tenant: string | null, { field, value }: Subject): boolean {
    // Subjects are names of their tenant; the ids of clients, and addresses, are nobody else's.
    const key = field === 'subject' ? `${field} ${tenant} ${value}` : `${field} ${value}`;
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
 * What happened, for whoever listens: telemetry, logs, metrics. A listener can neither slow nor fail what it listens
 * to: its faults are handed to `onFault` and end there.
 */
export class Events {
  private readonly node: string;
  private readonly onFault: (error: unknown) => void;
  private readonly listeners: Set<EventListener> = new Set();
  /** What may still be told of each client. */
  readonly budget: ClientBudget = new ClientBudget(({ tenant, field, value }, suppressed) =>
    this.emit('events_suppressed', tenant, { [field]: value, suppressed }),
  );

  constructor(node: string, onFault: (error: unknown) => void) {
    this.node = node;
    this.onFault = onFault;
  }

  /** Adds a listener; returns the way to remove it. */
  on(listener: EventListener): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Tells it, unless too much was told of the same client, subject or address this second: false then. */
  emit(type: ServerEventType, tenant: string | null, payload: JsonObject, severity: Severity = 'info'): boolean {
    if (BOUNDED.has(type) && !this.budget.allowsAbout(tenant, subjectOf(payload))) return false;
    this.tell({ tenant, event: this.event(type, payload, severity), submitted: false });
    return true;
  }

  /** Makes an event of what a client submitted. Time, node and severity are the server's to say. */
  submission({ eventType, payload, ...marks }: Submitted): BusEvent {
    return { ...this.event(eventType, payload, 'info'), submitted: true, ...marks };
  }

  /** Passes on an event that a client submitted. */
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

/** Whom an event is about: a client, whoever made a channel, or a caller without a connection. */
function subjectOf({ client_id, created_by, subject, address }: JsonObject): Subject {
  const client = client_id ?? created_by;
  if (client === undefined && typeof subject === 'string') return { field: 'subject', value: subject };
  if (client === undefined && typeof address === 'string') return { field: 'address', value: networkOf(address) };
  return { field: 'client_id', value: String(client ?? '') };
}
