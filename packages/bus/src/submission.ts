import { BusError, type JsonObject, parseAddress } from '@arqonbus/protocol';
import type { Activity } from './activity.ts';
import type { Sender } from './connection/session.ts';
import type { Awaitable } from './engine/engine.ts';
import type { Events } from './events.ts';
import type { Inspector, Message, Outcome, Publisher } from './publish.ts';

/** An envelope of type `telemetry`: its payload is `{eventType, payload, room?, channel?}`. */
export type TelemetryMessage = Pick<Message, 'id' | 'room' | 'channel' | 'payload' | 'metadata' | 'requestId'>;

const EVENT_TYPE = /^[A-Za-z0-9._-]{1,128}$/;

/** Takes events that clients submit, whatever way they come: on the bus first, then to whoever listens to events. */
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

  /** Publishes to the telemetry channel, with all that holds for a publish, and tells the listeners what travelled. */
  submit(sender: Sender, message: TelemetryMessage): Awaitable<Outcome> {
    const event = checkTelemetry(message.payload);
    const outcome = this.publisher.publish(sender, {
      ...message,
      type: 'telemetry',
      ...this.activity.telemetryAddress,
    });
    const tell = (settled: Outcome): Outcome => {
      if (!settled.published.duplicate) this.tell(sender, message, event, this.shown(message.id, settled));
      return settled;
    };
    return outcome instanceof Promise ? outcome.then(tell) : tell(outcome);
  }

  /** Whoever listens to events looks after the server, and sees no more than a log would. */
  private shown(id: string, { channel: { tenant, room, channel }, payload }: Outcome): JsonObject {
    const { inspector } = this;
    if (!inspector.enabledFor(tenant)) return payload;
    return inspector.shown({ type: 'telemetry', id, tenant, room, channel, payload });
  }

  private tell(sender: Sender, message: TelemetryMessage, event: TelemetryEvent, shown: JsonObject): void {
    const { room = message.room, channel = message.channel } = event;
    const eventType = typeof shown.eventType === 'string' ? shown.eventType : event.eventType;
    const payload = typeof shown.payload === 'object' ? shown.payload : {};
    this.events.submit(sender.principal.tenant, eventType, {
      ...payload,
      client_id: sender.id,
      ...(room === undefined ? {} : { room }),
      ...(channel === undefined ? {} : { channel }),
    });
  }
}

export interface TelemetryEvent {
  readonly eventType: string;
  readonly payload: JsonObject;
  readonly room?: string;
  readonly channel?: string;
}

/**
 * The shape of every telemetry event: `eventType` of 1-128 `[A-Za-z0-9._-]`, `payload` an object; `room` and `channel`
 * are names when given. Throws VALIDATION_ERROR naming the field, which stands at `path` in what the client sent.
 */
export function checkTelemetry(value: JsonObject, path: string = 'payload.'): TelemetryEvent {
  const { eventType, payload, room, channel } = value;
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
