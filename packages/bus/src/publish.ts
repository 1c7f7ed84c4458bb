import {
  type Address,
  BusError,
  type Draft,
  type JsonObject,
  type MessageOptions,
  type Metadata,
  openDraft,
  PRIVATE_CHANNEL,
  WILDCARD,
} from '@arqonbus/protocol';
import type { Access } from './access.ts';
import { andThen, isPending } from './awaitable.ts';
import type { Sender } from './connection/session.ts';
import type { Awaitable, Broker, Durability, Expectation, Published } from './engine/engine.ts';
import type { Ephemeral } from './ephemeral.ts';
import type { HttpHooks } from './hooks/hooks.ts';
import { type Hops, withHops } from './hops.ts';
import { type Inspection, type Inspector, inspectMessage, type Judgement } from './inspection.ts';
import { isMember } from './is-member.ts';
import { marksText } from './marks.ts';
import { type PublishEvent, type PublishHook, runHooks } from './publish-hooks.ts';
import { resolve } from './resolve.ts';
import type { Channel, Rooms } from './rooms.ts';
import { requirePublisher, requireSchema, requireSize } from './rules/admission.ts';
import type { Mismatch } from './rules/payload-schema.ts';
import type { ChannelHook, ChannelPolicy } from './rules/rules.ts';
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
  /** Checked already (`checkOptions`); one of them that says when has been obeyed. */
  readonly options?: MessageOptions | undefined;
  /** What the server writes into its metadata beside, as a member of JSON text; given the payload as it will travel. */
  readonly marks?: (payload: JsonObject) => string;
}

export interface Outcome {
  readonly channel: Channel;
  readonly published: Published;
  /** As it travelled: what inspection left of it. */
  readonly payload: JsonObject;
}

/** An event that was accepted to be published later. */
export interface Delayed {
  readonly jobId: string;
  /** RFC 3339. */
  readonly deliverAt: string;
  readonly stored: Durability;
  /** The same sender's event with this id waits already. */
  readonly duplicate: boolean;
}

/** Keeps an event until the time that its options say, and publishes it then in its sender's name. */
export type DelayMessage = (sender: Sender, message: Message) => Promise<Delayed>;

/** Whether a message says when it is to be published. */
export function isDelayed({ options }: Pick<Message, 'options'>): boolean {
  return options !== undefined && (options.deliver_at !== undefined || options.delay_seconds !== undefined);
}

/** A message that may go where it goes, as hooks and inspection left it. */
export interface Examined {
  readonly address: Address;
  readonly payload: JsonObject;
  readonly metadata: Metadata | undefined;
}

/** What would come of a message. */
export interface Rehearsed {
  /** Where the payload is not as the channel's schema says, which only warns. */
  readonly mismatch: Mismatch | null;
  readonly casil: Judgement | null;
}

function contentOf({ payload, metadata }: PublishEvent): Omit<Examined, 'address'> {
  return { payload, metadata };
}

/** What is inspected of an event. Every field is named: objects that are spread and added to have a shape each. */
function subjectOf(
  { type, id, requestId }: Message,
  { room, channel }: Address,
  payload: JsonObject,
  mode: ChannelPolicy['casil'],
): Omit<Inspection, 'tenant' | 'metadata'> {
  return { type, id, requestId, room, channel, payload, mode };
}

interface Rehearsal {
  readonly isConnection: boolean;
}

/** Hands an event that is allowed and inspected on. */
export type Deliver = (channel: Channel, draft: Draft, identity: string) => Awaitable<Published>;

export interface PublisherOptions {
  readonly now: () => number;
  /** Told of a payload that is not as its channel's schema says, where that only warns. */
  readonly onMismatch: (sender: Sender, message: Message, address: Address, mismatch: Mismatch) => void;
}

/**
 * The pipeline of every event, whoever sends it: resolve → may → rules → hooks → inspect → store and deliver. Throws a BusError when a
 * step refuses; what is refused was neither stored nor delivered.
 */
export class Publisher {
  private readonly rooms: Rooms;
  private readonly broker: Broker;
  private readonly inspector: Inspector;
  private readonly access: Access;
  private readonly hooks: readonly PublishHook[];
  private readonly http: HttpHooks;
  private readonly ephemeral: Ephemeral;
  private readonly hops: Hops;
  private readonly options: PublisherOptions;
  /** Senders with events whose hooks are still at work, and the end of the last of them. */
  private readonly hooking: Map<unknown, Promise<unknown>> = new Map();
  /** Events accepted since the start. */
  accepted = 0;
  /** Times from accepting an event to having stored it and handed it to the connections of this node. */
  readonly timing: Sampler = new Sampler();

  constructor(
    rooms: Rooms,
    broker: Broker,
    access: Access,
    inspector: Inspector,
    hooks: readonly PublishHook[],
    http: HttpHooks,
    ephemeral: Ephemeral,
    hops: Hops,
    options: PublisherOptions,
  ) {
    this.rooms = rooms;
    this.broker = broker;
    this.inspector = inspector;
    this.access = access;
    this.hooks = hooks;
    this.http = http;
    this.ephemeral = ephemeral;
    this.hops = hops;
    this.options = options;
  }

  /**
   * Publishes one event. With a synchronous engine the outcome is there at once.
   *
   * @param deliver takes it instead of its stream
   */
  publish(sender: Sender, message: Message, deliver?: Deliver): Awaitable<Outcome> {
    const began = this.timing.begin();
    const address = resolve(message.room, message.channel, sender.session);
    this.access.require(sender.principal, 'publish', address.room, address.channel);
    const { hook } = this.admit(sender, message, address);
    // What no hook is asked about does not overtake what one is still asked about (PROTOCOL section 6, guarantee 1).
    if (this.hooks.length === 0 && hook?.onPublish !== true && this.hooking.size === 0) {
      return this.store(sender, message, address, message.payload, message.metadata, began, deliver);
    }
    const { type, id, payload, metadata } = message;
    const event = { type, id, tenant: sender.principal.tenant, ...address, payload, metadata };
    return andThen(this.inOrder(sender, this.askHooks(hook, event, sender)), (left) => {
      if (left.payload !== payload) {
        const changed = { ...message, payload: left.payload };
        this.admitPayload(this.policyAt(sender, address), sender, changed, address, false);
      }
      return this.store(sender, message, address, left.payload, left.metadata, began, deliver);
    });
  }

  /**
   * What would be published of a message now: throws or rejects as {@link publish} does for what is not allowed, and
   * sends nothing. What is kept to be published later is kept as this leaves it.
   */
  examine(sender: Sender, message: Message): Awaitable<Examined> {
    const address = resolve(message.room, message.channel, sender.session);
    this.access.require(sender.principal, 'publish', address.room, address.channel);
    const { hook } = this.admit(sender, message, address);
    const { type, id, payload, metadata } = message;
    const event = { type, id, tenant: sender.principal.tenant, ...address, payload, metadata };
    return andThen(this.askHooks(hook, event, sender), (left) => {
      if (!this.inspector.enabledFor(sender.principal.tenant)) return { address, ...contentOf(left) };
      const subject = subjectOf(message, address, left.payload, this.policyAt(sender, address).casil);
      return { address, ...inspectMessage(this.inspector, subject, left.metadata, sender) };
    });
  }

  /**
   * What would come of a message, step by step as {@link publish} takes them, with nothing sent, counted or used up.
   * Throws or rejects as it would; hooks are asked with `dry: true`.
   *
   * @param isConnection whether the sender is taken for a connection, though it may have none here
   */
  rehearse(sender: Sender, message: Message, isConnection: boolean): Awaitable<Rehearsed> {
    const address = resolve(message.room, message.channel, sender.session);
    const { room, channel: name } = address;
    this.access.require(sender.principal, 'publish', room, name);
    const policy = this.admit(sender, message, address, { isConnection });
    const mismatch = requireSchema(policy, message.payload);
    const { type, id, payload, metadata } = message;
    const event = { type, id, tenant: sender.principal.tenant, ...address, payload, metadata, dry: true };
    return andThen(this.askHooks(policy.hook, event, sender), (left) => {
      if (left.payload !== payload) {
        this.admitPayload(policy, sender, { ...message, payload: left.payload }, address, true);
      }
      const judged = this.inspector.judge?.({
        ...message,
        ...address,
        tenant: sender.principal.tenant,
        payload: left.payload,
        mode: policy.casil,
      });
      if (this.rooms.tenant(sender.principal.tenant).find(room, name) === undefined) {
        this.rooms.requireCreatable(sender, room, name);
      }
      return { mismatch, casil: judged ?? null };
    });
  }

  /** Publishes what the bus tells of itself, which neither hooks nor `authorize` are asked about. */
  announce(sender: Sender, message: Message & { readonly room: string; readonly channel: string }): Awaitable<Outcome> {
    const { room, channel } = message;
    const tenant = this.rooms.tenant(sender.principal.tenant);
    // What the bus tells needs nobody's leave to make its channel.
    if (tenant.find(room, channel) === undefined) this.rooms.create(tenant, room, channel, { autoCreated: true });
    return this.store(sender, message, message, message.payload, message.metadata, this.timing.begin());
  }

  /** What the program's hooks leave of an event, and then the backend that the channel's rule names. */
  private askHooks(hook: ChannelHook | null, event: PublishEvent, sender: Sender): Awaitable<PublishEvent> {
    const left = this.hooks.length === 0 ? event : runHooks(this.hooks, event, sender);
    if (hook?.onPublish !== true) return left;
    return andThen(left, (seen) => this.http.publish(hook, seen, sender));
  }

  /**
   * What the hooks left of an event, no earlier than what they left of the sender's event before it: hooks that take
   * their time run side by side, and one sender's events keep their order (PROTOCOL section 6, guarantee 1).
   */
  private inOrder(sender: Sender, left: Awaitable<PublishEvent>): Awaitable<PublishEvent> {
    if (this.hooking.size === 0 && !isPending(left)) return left;
    const who = sender.session ?? `${sender.principal.tenant}\n${sender.identity}`;
    const before = this.hooking.get(who);
    if (before === undefined && !isPending(left)) return left;
    const ready = Promise.all([left, before]).then(([event]) => event);
    // A refused event does not let the next one overtake those before both.
    const over = Promise.allSettled([ready, before]).then(() => {
      if (this.hooking.get(who) === over) this.hooking.delete(who);
    });
    this.hooking.set(who, over);
    return ready;
  }

  /** The last steps: inspect, sequence, store and deliver. */
  private store(
    sender: Sender,
    message: Message,
    address: Address,
    givenPayload: JsonObject,
    givenMetadata: Metadata | undefined,
    began: number,
    deliver?: Deliver,
  ): Awaitable<Outcome> {
    let payload = givenPayload;
    let metadata = givenMetadata;
    // Before a channel is made: its name may be what the policy blocks.
    if (this.inspector.enabledFor(sender.principal.tenant)) {
      const subject = subjectOf(message, address, payload, this.policyAt(sender, address).casil);
      ({ payload, metadata } = inspectMessage(this.inspector, subject, metadata, sender));
    }
    const { tenant } = sender.principal;
    const step = this.hops.count(tenant, message, () => this.policyAt(sender, address).maxHops);
    const channel = this.target(sender, address.room, address.channel);
    const now = this.options.now();
    const { options } = message;
    const marks = marksText(sender.mark, options, now);
    const draft = openDraft(
      {
        id: message.id,
        type: message.type,
        room: channel.room,
        channel: channel.channel,
        from: sender.id,
        payload,
        metadata,
        marks: withHops(message.marks === undefined ? marks : `${marks},${message.marks(payload)}`, step),
        requestId: message.requestId,
      },
      now,
    );
    this.accepted += 1;
    const { identity } = sender;
    const { retention, ephemeral, dedupeMs } = this.rooms.policy(channel);
    // What asks for a receipt or an answer is told by its marks, and handled by whoever reads the stream.
    const plain = { stream: channel, draft, identity, retention };
    const publication = dedupeMs === null ? plain : { ...plain, dedupeMs };
    const published =
      deliver !== undefined
        ? deliver(channel, draft, identity)
        : ephemeral === true || options?.ephemeral === true
          ? this.ephemeral.send(channel, draft, identity)
          : this.broker.publish(options === undefined ? publication : { ...publication, ...expectation(options) });
    return andThen(published, (settled) => {
      this.timing.end(began);
      return { channel, published: settled, payload };
    });
  }

  /** What holds there. Throws unless the rules let this sender's event go there, as far as that is known before it is inspected. */
  private admit(sender: Sender, message: Message, address: Address, dry?: Rehearsal): ChannelPolicy {
    const policy = this.admitSender(sender, address, dry, message.options?.ephemeral === true);
    this.admitPayload(policy, sender, message, address, dry !== undefined);
    return policy;
  }

  /**
   * What holds at an address. Throws unless the rules let this sender publish there, whatever it is.
   *
   * @param dry nothing of a rate is used up
   */
  admitSender(sender: Sender, address: Address, dry?: Rehearsal, isEphemeral = false): ChannelPolicy {
    const { room, channel: name } = address;
    if (name === PRIVATE_CHANNEL) {
      throw new BusError('VALIDATION_ERROR', 'The channel "pm" carries private messages; name recipients in "to".', {
        field: 'to',
        expected: 'client id | sub:SUBJECT',
      });
    }
    const tenant = this.rooms.tenant(sender.principal.tenant);
    const channel = tenant.find(room, name);
    const policy = channel === undefined ? this.policyAt(sender, address) : this.rooms.policy(channel);
    const isConnection = dry?.isConnection ?? sender.session !== null;
    requirePublisher(policy, {
      room,
      channel: name,
      isConnection,
      isServer: !isConnection && sender.principal.operator,
      isMember: () => isMember(sender, channel, tenant.find(room, WILDCARD)),
    });
    if (policy.ephemeral === false && isEphemeral) {
      throw new BusError('VALIDATION_ERROR', `A rule forbids "options.ephemeral" at ${room}:${name}.`, {
        field: 'options.ephemeral',
        rule: 'ephemeral',
      });
    }
    if (dry !== undefined) channel?.rates?.look(sender.identity, performance.now());
    else channel?.rates?.take(sender.identity, performance.now());
    return policy;
  }

  /** Throws unless the rules let this payload go there. */
  private admitPayload(
    policy: ChannelPolicy,
    sender: Sender,
    message: Message,
    address: Address,
    isDry: boolean,
  ): void {
    requireSize(policy, message.payload);
    const mismatch = requireSchema(policy, message.payload);
    if (mismatch !== null && !isDry) this.options.onMismatch(sender, message, address, mismatch);
  }

  private policyAt({ principal: { tenant } }: Sender, { room, channel: name }: Address): ChannelPolicy {
    const channel = this.rooms.tenant(tenant).find(room, name);
    return channel === undefined ? this.rooms.policyAt(tenant, room, name) : this.rooms.policy(channel);
  }

  /** The channel an event goes to, made when that is allowed; `*` is the room-wide one. */
  target(sender: Sender, room: string, name: string): Channel {
    const known = this.rooms.tenant(sender.principal.tenant).find(room, name);
    if (known !== undefined) return known;
    const made = this.rooms.createFor(sender, room, name);
    this.rooms.policy(made);
    // The event that made it counts too.
    made.rates?.take(sender.identity, performance.now());
    return made;
  }
}

function expectation({ expect }: MessageOptions): { expect?: Expectation } {
  if (expect === undefined) return {};
  return { expect: 'last_id' in expect ? { lastId: expect.last_id } : expect };
}
