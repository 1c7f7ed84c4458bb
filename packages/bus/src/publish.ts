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
import { type Payload, payloadValue, RawPayload } from './raw-payload.ts';
import { resolve } from './resolve.ts';
import type { Channel, Rooms } from './rooms.ts';
import { requirePublisher, requireSchema, requireSize } from './rules/admission.ts';
import type { Mismatch } from './rules/payload-schema.ts';
import type { ChannelHook, ChannelPolicy } from './rules/rules.ts';
import { Sampler } from './sampler.ts';

/** A message to a channel or room; already validated (PROTOCOL section 2). */
export interface Message {
  readonly id: string;
  readonly type: 'event' | 'telemetry';
  readonly room: string | undefined;
  readonly channel: string | undefined;
  readonly payload: Payload;
  readonly metadata?: Metadata | undefined;
  readonly requestId?: string | undefined;
  /** Already checked (`checkOptions`); a delivery time has already been applied. */
  readonly options?: MessageOptions | undefined;
  /** Additional server-written metadata, as a member of JSON text, computed from the final payload. */
  readonly marks?: (payload: JsonObject) => string;
}

export interface Outcome {
  readonly channel: Channel;
  readonly published: Published;
  /** The payload as sent, after inspection. */
  readonly payload: Payload;
}

/** An event accepted for later publication. */
export interface Delayed {
  readonly jobId: string;
  /** RFC 3339. */
  readonly deliverAt: string;
  readonly stored: Durability;
  /** The same sender's event with this id is already scheduled. */
  readonly duplicate: boolean;
}

/** Stores an event until the time in its options, and then publishes it in its sender's name. */
export type DelayMessage = (sender: Sender, message: Message) => Promise<Delayed>;

/** Whether a message has a delivery time. */
export function isDelayed({ options }: Pick<Message, 'options'>): boolean {
  return options !== undefined && (options.deliver_at !== undefined || options.delay_seconds !== undefined);
}

/** An allowed message after hooks and inspection. */
export interface Examined {
  readonly address: Address;
  readonly payload: JsonObject;
  readonly metadata: Metadata | undefined;
}

/** The result of a rehearsal. */
export interface Rehearsed {
  /** How the payload violates the channel's schema, where that only warns. */
  readonly mismatch: Mismatch | null;
  readonly casil: Judgement | null;
}

function contentOf({ payload, metadata }: PublishEvent): Omit<Examined, 'address'> {
  return { payload, metadata };
}

/** The inspection input. Fields are listed explicitly, so that all objects have the same shape. */
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

/** Delivers an event that was allowed and inspected. */
export type Deliver = (channel: Channel, draft: Draft, identity: string) => Awaitable<Published>;

export interface PublisherOptions {
  readonly now: () => number;
  /** Called for a payload that violates its channel's schema, where that only warns. */
  readonly onMismatch: (sender: Sender, message: Message, address: Address, mismatch: Mismatch) => void;
}

/**
 * The pipeline of every event: resolve → access → rules → hooks → inspect → store and deliver. Throws a BusError when a
 * step refuses; refused events are neither stored nor delivered.
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
  /** Senders with events whose hooks are still running, and when the last of them ends. */
  private readonly hooking: Map<unknown, Promise<unknown>> = new Map();
  /** Events accepted since the start. */
  accepted = 0;
  /** Time from accepting an event until it is stored and delivered to the connections of this node. */
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
   * Publishes one event. With a synchronous engine the outcome is returned synchronously.
   *
   * @param deliver replaces storing the event in its stream
   */
  publish(sender: Sender, message: Message, deliver?: Deliver): Awaitable<Outcome> {
    const began = this.timing.begin();
    const address = resolve(message.room, message.channel, sender.session);
    this.access.require(sender.principal, 'publish', address.room, address.channel);
    const { hook } = this.admit(sender, message, address);
    // An event without hooks must not overtake one whose hooks are still running (PROTOCOL section 6, guarantee 1).
    if (this.hooks.length === 0 && hook?.onPublish !== true && this.hooking.size === 0) {
      return this.store(sender, message, address, message.payload, message.metadata, began, deliver);
    }
    const { type, id, metadata } = message;
    const payload = payloadValue(message.payload);
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
   * Runs all steps before storing: throws or rejects like {@link publish} for what is not allowed, and sends nothing.
   * Events for later are stored in the form that this returns.
   */
  examine(sender: Sender, message: Message): Awaitable<Examined> {
    const address = resolve(message.room, message.channel, sender.session);
    this.access.require(sender.principal, 'publish', address.room, address.channel);
    const { hook } = this.admit(sender, message, address);
    const { type, id, metadata } = message;
    const payload = payloadValue(message.payload);
    const event = { type, id, tenant: sender.principal.tenant, ...address, payload, metadata };
    return andThen(this.askHooks(hook, event, sender), (left) => {
      if (!this.inspector.enabledFor(sender.principal.tenant)) return { address, ...contentOf(left) };
      const subject = subjectOf(message, address, left.payload, this.policyAt(sender, address).casil);
      return { address, ...inspectMessage(this.inspector, subject, left.metadata, sender) };
    });
  }

  /**
   * Runs the steps of {@link publish} without side effects: nothing is sent, counted or used up. Throws or rejects like
   * it; hooks are called with `dry: true`.
   *
   * @param isConnection whether to treat the sender as a connection, even if it has none here
   */
  rehearse(sender: Sender, message: Message, isConnection: boolean): Awaitable<Rehearsed> {
    const address = resolve(message.room, message.channel, sender.session);
    const { room, channel: name } = address;
    this.access.require(sender.principal, 'publish', room, name);
    const policy = this.admit(sender, message, address, { isConnection });
    const { type, id, metadata } = message;
    const payload = payloadValue(message.payload);
    const mismatch = requireSchema(policy, payload);
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

  /** Publishes the bus's own events, without hooks and `authorize`. */
  announce(sender: Sender, message: Message & { readonly room: string; readonly channel: string }): Awaitable<Outcome> {
    const { room, channel } = message;
    const tenant = this.rooms.tenant(sender.principal.tenant);
    // The bus needs no permission to create its channel.
    if (tenant.find(room, channel) === undefined) this.rooms.create(tenant, room, channel, { autoCreated: true });
    return this.store(sender, message, message, message.payload, message.metadata, this.timing.begin());
  }

  /** Runs the program's hooks, then the HTTP hook of the channel's rule. */
  private askHooks(hook: ChannelHook | null, event: PublishEvent, sender: Sender): Awaitable<PublishEvent> {
    const left = this.hooks.length === 0 ? event : runHooks(this.hooks, event, sender);
    if (hook?.onPublish !== true) return left;
    return andThen(left, (seen) => this.http.publish(hook, seen, sender));
  }

  /**
   * Waits for the hooks of the sender's previous event: hooks run concurrently, but one sender's events keep their
   * order (PROTOCOL section 6, guarantee 1).
   */
  private inOrder(sender: Sender, left: Awaitable<PublishEvent>): Awaitable<PublishEvent> {
    if (this.hooking.size === 0 && !isPending(left)) return left;
    const who = sender.session ?? `${sender.principal.tenant}\n${sender.identity}`;
    const before = this.hooking.get(who);
    if (before === undefined && !isPending(left)) return left;
    const ready = Promise.all([left, before]).then(([event]) => event);
    // Even after a refused event, the next one must not overtake earlier ones.
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
    givenPayload: Payload,
    givenMetadata: Metadata | undefined,
    began: number,
    deliver?: Deliver,
  ): Awaitable<Outcome> {
    let payload = givenPayload;
    let metadata = givenMetadata;
    // Before the channel is created, since the policy may block its name.
    if (this.inspector.enabledFor(sender.principal.tenant)) {
      const subject = subjectOf(message, address, payloadValue(payload), this.policyAt(sender, address).casil);
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
        payload: payload instanceof RawPayload ? payload.text : payload,
        metadata,
        marks: withHops(message.marks === undefined ? marks : `${marks},${message.marks(payloadValue(payload))}`, step),
        requestId: message.requestId,
      },
      now,
    );
    this.accepted += 1;
    const { identity } = sender;
    const { retention, ephemeral, dedupeMs } = this.rooms.policy(channel);
    // Receipts and requests are recorded in the marks, and handled by the stream's readers.
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

  /** Returns the policy. Throws unless the rules allow this message, before inspection. */
  private admit(sender: Sender, message: Message, address: Address, dry?: Rehearsal): ChannelPolicy {
    const policy = this.admitSender(sender, address, dry, message.options?.ephemeral === true);
    this.admitPayload(policy, sender, message, address, dry !== undefined);
    return policy;
  }

  /**
   * Returns the policy of an address. Throws unless the rules let this sender publish there, regardless of payload.
   *
   * @param dry uses up nothing of the rate limit
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

  /** Throws unless the rules allow this payload. */
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

  /** The channel of an event, created if allowed; `*` is the room-wide one. */
  target(sender: Sender, room: string, name: string): Channel {
    const known = this.rooms.tenant(sender.principal.tenant).find(room, name);
    if (known !== undefined) return known;
    const made = this.rooms.createFor(sender, room, name);
    this.rooms.policy(made);
    // The event that creates the channel counts too.
    made.rates?.take(sender.identity, performance.now());
    return made;
  }
}

function expectation({ expect }: MessageOptions): { expect?: Expectation } {
  if (expect === undefined) return {};
  return { expect: 'last_id' in expect ? { lastId: expect.last_id } : expect };
}
