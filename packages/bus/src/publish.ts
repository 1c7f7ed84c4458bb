import {
  BusError,
  type CasilMetadata,
  type JsonObject,
  type Metadata,
  type MetadataParts,
  openDraft,
  PRIVATE_CHANNEL,
  splitMetadata,
  WILDCARD,
} from '@arqonbus/protocol';
import type { Sender } from './connection/session.ts';
import type { Awaitable, Broker, Published } from './engine/engine.ts';
import { may } from './principal.ts';
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

/** What a content policy looks at: all that travels of one message, and where it goes. */
export interface Inspection {
  /** `profile`: how a client wants to be known, at its handshake or by `identify`. */
  readonly type: 'event' | 'private' | 'command' | 'telemetry' | 'profile';
  readonly id: string;
  /** The id of the envelope that this one answers. */
  readonly requestId?: string | undefined;
  readonly tenant: string;
  readonly room: string | undefined;
  readonly channel: string | undefined;
  /** Of a private message. */
  readonly to?: readonly string[] | undefined;
  readonly payload: JsonObject;
  /** What the client itself wrote into the metadata, without the server's keys. */
  readonly metadata?: JsonObject | undefined;
  /** Name of the command, on commands. */
  readonly command?: string | undefined;
  /** Dotted paths of the arguments that are meant to hold secrets (`token`, `rules.*.secret`); the empty path is all. */
  readonly secretPaths?: readonly string[] | undefined;
}

/** What a content policy leaves of a message. */
export interface Inspected {
  readonly payload: JsonObject;
  /** What is left of the client's metadata. */
  readonly metadata?: JsonObject | undefined;
  /** What the envelope tells of the inspection. */
  readonly casil?: CasilMetadata | undefined;
}

export interface Inspector {
  /** Whether anything of a tenant is inspected. Asked once a message; false costs nothing more. */
  enabledFor(tenant: string): boolean;
  /** What may travel on; throws the policy's BusError to block. */
  inspect(inspection: Inspection, sender: Sender): Inspected;
  /** What those who look after the server may be shown of a payload. */
  shown(inspection: Inspection): JsonObject;
}

/** Inspects what is about to travel, where {@link Inspector.enabledFor} says so; it comes back as it may travel. */
export function inspectMessage(
  inspector: Inspector,
  inspection: Omit<Inspection, 'tenant' | 'metadata'>,
  metadata: Metadata | undefined,
  sender: Sender,
): { payload: JsonObject; metadata: Metadata | undefined } {
  const { tenant } = sender.principal;
  const { own, server } = metadata === undefined ? NO_METADATA : splitMetadata(metadata);
  const left = inspector.inspect({ ...inspection, tenant, metadata: own }, sender);
  if (left.casil === undefined && left.metadata === own) return { payload: left.payload, metadata };
  const casil = left.casil === undefined ? {} : { casil: left.casil };
  return { payload: left.payload, metadata: { ...left.metadata, ...server, ...casil } };
}

const NO_METADATA: MetadataParts = { own: undefined, server: undefined };

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
  private readonly rules: PublishRules;
  private readonly now: () => number;
  /** Events accepted since the start. */
  accepted = 0;
  /** Times from accepting an event to having stored it and handed it to the connections of this node. */
  readonly timing: Sampler = new Sampler();

  constructor(rooms: Rooms, broker: Broker, inspector: Inspector, rules: PublishRules, now: () => number) {
    this.rooms = rooms;
    this.broker = broker;
    this.inspector = inspector;
    this.rules = rules;
    this.now = now;
  }

  /** Publishes one event. With a synchronous engine the outcome is there at once. */
  publish(sender: Sender, message: Message): Awaitable<Outcome> {
    const began = this.timing.begin();
    const address = resolve(message.room, message.channel, sender.session);
    if (!may(sender.principal, 'publish', address.room, address.channel))
      throw forbidden(address.room, address.channel);
    const existing = this.find(sender, address.room, address.channel);
    // Before a channel is made: its name may be what the policy blocks.
    let { payload, metadata } = message;
    if (this.inspector.enabledFor(sender.principal.tenant)) {
      ({ payload, metadata } = inspectMessage(this.inspector, { ...message, ...address }, metadata, sender));
    }
    const channel = existing ?? this.create(sender, address.room, address.channel);
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

  /** The channel an event goes to; `*` is the room-wide one. Undefined when it is to be made. */
  private find(sender: Sender, room: string, name: string): Channel | undefined {
    if (name === PRIVATE_CHANNEL) {
      throw new BusError('VALIDATION_ERROR', 'The channel "pm" carries private messages; name recipients in "to".', {
        field: 'to',
        expected: 'client id | sub:SUBJECT',
      });
    }
    const tenant = this.rooms.tenant(sender.principal.tenant);
    const channel = tenant.find(room, name);
    if (
      this.rules.publishRequiresJoin &&
      sender.session !== null &&
      !isMember(sender, channel, tenant.find(room, WILDCARD))
    ) {
      throw new BusError('NOT_JOINED', `Join ${room}:${name} before you publish to it.`, { room, channel: name });
    }
    if (channel === undefined && !this.rules.autoCreateChannels) {
      throw new BusError('NOT_FOUND', `The channel ${room}:${name} does not exist; an admin can create it.`, {
        room,
        channel: name,
      });
    }
    return channel;
  }

  private create(sender: Sender, room: string, name: string): Channel {
    const tenant = this.rooms.tenant(sender.principal.tenant);
    return this.rooms.create(tenant, room, name, { createdBy: sender.id, autoCreated: true });
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

export function forbidden(room: string, channel: string): BusError {
  return new BusError('AUTHORIZATION_ERROR', `Your role or grants do not allow this at ${room}:${channel}.`, {
    room,
    channel,
  });
}
