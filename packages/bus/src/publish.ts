import {
  BusError,
  type CasilMetadata,
  type JsonObject,
  type Metadata,
  openDraft,
  PRIVATE_CHANNEL,
  WILDCARD,
} from '@arqonbus/protocol';
import type { Access } from './access.ts';
import type { Sender } from './connection/session.ts';
import type { Awaitable, Broker, Published } from './engine/engine.ts';
import { resolve } from './resolve.ts';
import type { Channel, Rooms } from './rooms.ts';
import { Sampler } from './sampler.ts';

/** What somebody wants to be sent to a channel or room; already validated (PROTOCOL section 2). */
export interface Message {
  readonly id: string;
  readonly type: 'event' | 'telemetry';
  readonly room: string | undefined;
  readonly channel: string | undefined;
  readonly payload: JsonObject;
  readonly metadata?: Metadata | undefined;
  readonly requestId?: string | undefined;
}

export interface Outcome {
  readonly channel: Channel;
  readonly published: Published;
  /** As it travelled: what inspection left of it. */
  readonly payload: JsonObject;
}

/** What a content policy looks at, and what it leaves of it. */
export interface Inspection {
  readonly type: 'event' | 'private' | 'command' | 'telemetry';
  readonly id: string;
  readonly room: string | undefined;
  readonly channel: string | undefined;
  readonly payload: JsonObject;
  /** Name of the command, on commands. */
  readonly command?: string;
}

export interface Inspector {
  /** Checked once a message; false costs nothing more. */
  readonly enabled: boolean;
  /** The payload that may travel on, with what envelopes are told; throws the policy's BusError to block. */
  inspect(inspection: Inspection, sender: Sender): { payload: JsonObject; metadata: CasilMetadata | undefined };
  /** What those who look after the server may be shown of a payload. */
  shown(inspection: Inspection): JsonObject;
}

export interface PublishRules {
  readonly autoCreateChannels: boolean;
  readonly publishRequiresJoin: boolean;
}

/**
 * The pipeline of every event, whoever sends it: resolve → may → inspect → store and deliver. Throws a BusError when a
 * step refuses; what is refused was neither stored nor delivered.
 */
export class Publisher {
  private readonly rooms: Rooms;
  private readonly broker: Broker;
  private readonly inspector: Inspector;
  private readonly access: Access;
  private readonly rules: PublishRules;
  private readonly now: () => number;
  /** Events accepted since the start. */
  accepted = 0;
  /** Times from accepting an event to having stored it and handed it to the connections of this node. */
  readonly timing: Sampler = new Sampler();

  constructor(
    rooms: Rooms,
    broker: Broker,
    access: Access,
    inspector: Inspector,
    rules: PublishRules,
    now: () => number,
  ) {
    this.rooms = rooms;
    this.broker = broker;
    this.inspector = inspector;
    this.access = access;
    this.rules = rules;
    this.now = now;
  }

  /** Publishes one event. With a synchronous engine the outcome is there at once. */
  publish(sender: Sender, message: Message): Awaitable<Outcome> {
    const began = this.timing.begin();
    const address = resolve(message.room, message.channel, sender.session);
    this.access.require(sender.principal, 'publish', address.room, address.channel);
    const channel = this.target(sender, address.room, address.channel);
    let { payload, metadata } = message;
    if (this.inspector.enabled) {
      const inspected = this.inspector.inspect({ ...message, room: channel.room, channel: channel.channel }, sender);
      payload = inspected.payload;
      if (inspected.metadata !== undefined) metadata = { ...metadata, casil: inspected.metadata };
    }
    const draft = openDraft(
      {
        id: message.id,
        type: message.type,
        room: channel.room,
        channel: channel.channel,
        from: sender.id,
        payload,
        metadata,
        requestId: message.requestId,
      },
      this.now(),
    );
    this.accepted += 1;
    const published = this.broker.publish({
      stream: channel,
      draft,
      identity: sender.identity,
      retention: channel.traits.retention,
    });
    if (published instanceof Promise) {
      return published.then((settled) => {
        this.timing.end(began);
        return { channel, published: settled, payload };
      });
    }
    this.timing.end(began);
    return { channel, published, payload };
  }

  /** The channel an event goes to, made when that is allowed; `*` is the room-wide one. */
  private target(sender: Sender, room: string, name: string): Channel {
    if (name === PRIVATE_CHANNEL) {
      throw new BusError('VALIDATION_ERROR', 'The channel "pm" carries private messages; name recipients in "to".', {
        field: 'to',
        expected: 'client id | sub:SUBJECT',
      });
    }
    const tenant = this.rooms.tenant(sender.principal.tenant);
    let channel = tenant.find(room, name);
    if (
      this.rules.publishRequiresJoin &&
      sender.session !== null &&
      !isMember(sender, channel, tenant.find(room, WILDCARD))
    ) {
      throw new BusError('NOT_JOINED', `Join ${room}:${name} before you publish to it.`, { room, channel: name });
    }
    if (channel === undefined) {
      if (!this.rules.autoCreateChannels) {
        throw new BusError('NOT_FOUND', `The channel ${room}:${name} does not exist; an admin can create it.`, {
          room,
          channel: name,
        });
      }
      channel = this.rooms.create(tenant, room, name, { createdBy: sender.id, autoCreated: true });
    }
    return channel;
  }
}

/** Membership of the channel or its room; a room-wide event needs any membership in the room. */
function isMember(sender: Sender, channel: Channel | undefined, wide: Channel | undefined): boolean {
  const memberships = sender.session?.memberships;
  if (memberships === undefined || wide === undefined) return false;
  if (memberships.has(wide) || (channel !== undefined && memberships.has(channel))) return true;
  if (channel !== wide) return false;
  for (const joined of memberships.keys()) if (joined.room === wide.room) return true;
  return false;
}
