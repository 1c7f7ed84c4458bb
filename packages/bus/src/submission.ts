import { BusError, type JsonObject, parseAddress } from '@arqonbus/protocol';
import type { Activity } from './activity.ts';
import { andThen } from './awaitable.ts';
import type { Sender } from './connection/session.ts';
import type { Awaitable } from './engine/engine.ts';
import type { BusEvent, Events } from './events.ts';
import type { Inspector } from './inspection.ts';
import type { Message, Outcome, Publisher } from './publish.ts';
import { payloadValue } from './raw-payload.ts';

/** An envelope of type `telemetry`: its payload is `{eventType, payload, room?, channel?}`. */
export interface TelemetryMessage extends Pick<Message, 'id' | 'room' | 'channel' | 'metadata' | 'requestId'> {
  readonly payload: JsonObject;
}

const EVENT_TYPE = /^[A-Za-z0-9._-]{1,128}$/;

/** Handles events submitted by clients: publishes them on the bus, then passes them to event listeners. */
export class Submissions {
  private readonly publisher: Publisher;
  private readonly activity: Activity;
  private readonly events: Events;
  private readonly inspector: Inspector;

  constructor(publisher: Publisher, activity: Activity, events: Events, inspector: Inspector) {
    this.publisher = publisher;
    this.activity = activity;
    this.events = events;
    this.inspector = inspector;
  }

  /** Publishes to the telemetry channel with all checks of a publish, and passes the result to the listeners. */
  submit(sender: Sender, message: TelemetryMessage): Awaitable<Outcome> {
    const { eventType, payload, room = message.room, channel = message.channel } = checkTelemetry(message.payload);
    const isFlat = message.payload.payload === undefined;
    const event = this.events.submission({
      eventType,
      payload,
      client_id: sender.id,
      ...(room === undefined ? {} : { room }),
      ...(channel === undefined ? {} : { channel }),
    });
    const outcome = this.publisher.publish(sender, {
      ...message,
      type: 'telemetry',
      ...this.activity.telemetryAddress,
      // Additional fields are kept, but cannot override the server's.
      payload: isFlat ? { ...event } : { ...message.payload, ...event },
    });
    const tell = (settled: Outcome): Outcome => {
      if (!settled.published.duplicate) this.tell(sender, event, this.shown(message.id, settled));
      return settled;
    };
    return andThen(outcome, tell);
  }

  /** Event listeners are administrators' tools, and see no more than a log would. */
  private shown(id: string, { channel: { tenant, room, channel }, payload: sent }: Outcome): JsonObject {
    const { inspector } = this;
    const payload = payloadValue(sent);
    if (!inspector.enabledFor(tenant)) return payload;
    return inspector.shown({ type: 'telemetry', id, tenant, room, channel, payload });
  }

  private tell(sender: Sender, event: BusEvent, shown: JsonObject): void {
    const eventType = typeof shown.eventType === 'string' ? shown.eventType : event.eventType;
    const payload = typeof shown.payload === 'object' && shown.payload !== null ? (shown.payload as JsonObject) : {};
    this.events.submit(sender.principal.tenant, { ...event, eventType, payload });
  }
}

/** The data of an event whose fields are next to its type. */
function flatPayload(value: JsonObject): JsonObject {
  const fields = Object.entries(value).filter(([name]) => !['eventType', 'room', 'channel'].includes(name));
  return Object.fromEntries(fields);
}

export interface TelemetryEvent {
  readonly eventType: string;
  readonly payload: JsonObject;
  readonly room?: string;
  readonly channel?: string;
}

/**
 * The shape of every telemetry event: `eventType` of 1-128 `[A-Za-z0-9._-]`; `payload` an object, or its fields at the
 * top level; `room` and `channel` optional. Throws VALIDATION_ERROR with the field's name, prefixed with `path`.
 */
export function checkTelemetry(value: JsonObject, path: string = 'payload.'): TelemetryEvent {
  const { eventType, room, channel } = value;
  const payload = value.payload === undefined ? flatPayload(value) : value.payload;
  if (typeof eventType !== 'string' || !EVENT_TYPE.test(eventType)) {
    throw new BusError('VALIDATION_ERROR', '"eventType" must be 1-128 letters, digits, ".", "_" or "-".', {
      field: `${path}eventType`,
      expected: EVENT_TYPE.source,
    });
  }
  if (typeof payload !== 'object' || payload === null || Array.isArray(payload)) {
    throw new BusError('VALIDATION_ERROR', 'A telemetry event carries its data in "payload", a JSON object.', {
      field: `${path}payload`,
      expected: 'object',
    });
  }
  for (const [field, name] of [
    ['room', room],
    ['channel', channel],
  ] as const) {
    if (name !== undefined && typeof name !== 'string') {
      throw new BusError('VALIDATION_ERROR', `"${field}" must be a string.`, { field, expected: 'string' });
    }
  }
  return {
    eventType,
    payload: payload as JsonObject,
    ...parseAddress(room as string | undefined, channel as string | undefined),
  };
}
