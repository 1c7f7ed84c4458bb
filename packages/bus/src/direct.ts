import {
  BusError,
  encode,
  IDEMPOTENCE_WINDOW_MS,
  isExpired,
  type JsonObject,
  type MessageOptions,
  type Metadata,
  PRIVATE_CHANNEL,
  WILDCARD,
} from '@arqonbus/protocol';
import { type Access, forbidden } from './access.ts';
import { andThen } from './awaitable.ts';
import { Frame } from './connection/frame.ts';
import type { Sender, Session } from './connection/session.ts';
import { sendAllSurely, sendSurely } from './connection/sure.ts';
import type { Awaitable, Durability, Engine, NodeMessage } from './engine/engine.ts';
import { Handover, Seen } from './handover.ts';
import type { Hops, Step } from './hops.ts';
import { type Inspector, inspectMessage } from './inspection.ts';
import { marksOf } from './marks.ts';
import { isSubject } from './principal.ts';
import { type PublishHook, runHooks } from './publish-hooks.ts';
import type { Rooms, Tenant } from './rooms.ts';

/** A message for specific clients and mailboxes (PROTOCOL section 5, `private`); never in a channel's history. */
export interface PrivateMessage {
  readonly id: string;
  /** Client ids, `sub:SUBJECT` and mailboxes `@SUBJECT`, 1-100. */
  readonly to: readonly string[];
  /** The room and channel it concerns; a room without a channel means its `pm`. */
  readonly room: string | undefined;
  readonly channel: string | undefined;
  /** Whether only members of the room receive it. */
  readonly membersOnly: boolean;
  readonly payload: JsonObject;
  readonly metadata?: Metadata | undefined;
  readonly requestId?: string | undefined;
  readonly options?: MessageOptions | undefined;
}

/** A private message with its hop count. */
interface CountedMessage extends PrivateMessage {
  readonly step: Step | null;
}

export interface PrivateOutcome {
  /** Connections that received it, on all nodes. */
  readonly delivered: number;
  /** The targets of `to` that matched no connection. */
  readonly undelivered: readonly string[];
  readonly duplicate: boolean;
  /** The mailboxes of `to` that store it. */
  readonly queued?: readonly string[];
  /** The number of waiting messages in the fullest of them, and the age of the oldest one. */
  readonly pending?: number;
  readonly oldest_ms?: number;
  readonly stored?: Durability;
}

function placeOr(at: Place | undefined): { room: string | undefined; channel: string | undefined } {
  return { room: at?.room, channel: at?.channel };
}

/** A message for mailboxes, after hooks and content policy. */
export type Mail = Pick<CountedMessage, 'id' | 'to' | 'payload' | 'metadata' | 'requestId' | 'options' | 'step'>;

/** The result of storing mail: its durability, and the state of the fullest mailbox. */
export interface Kept {
  readonly stored: Durability;
  /** The same message was already stored. */
  readonly duplicate: boolean;
  readonly pending: number;
  readonly oldest_ms: number;
}

/** Stores mail until its subject has read it. */
export interface MailKeeper {
  /** Stores one message in the mailboxes of subjects. Rejects with MAILBOX_FULL or STORAGE_UNAVAILABLE. */
  keep(sender: Sender, mail: Mail, subjects: readonly string[]): Promise<Kept>;
}

interface Place {
  readonly room: string;
  readonly channel: string;
}

interface Remote {
  readonly node: string;
  readonly clientId: string;
  /** The addresses that matched it. */
  readonly targets: Set<string>;
}

/** Most ids that may be sent again although they are claimed, since no client received them. */
const MOST_FAILED = 10_000;

/** Resolves addresses to connections, on this node and the others, and delivers a message to them. */
export class Direct {
  private readonly rooms: Rooms;
  private readonly engine: Engine;
  private readonly access: Access;
  private readonly inspector: Inspector;
  private readonly hooks: readonly PublishHook[];
  private readonly hops: Hops;
  private readonly mail: MailKeeper;
  /** Null on single-node engines. */
  private readonly handover: Handover | null;
  private readonly failed: Set<string> = new Set();
  private readonly seen: Seen = new Seen();
  private readonly now: () => number;
  /** Private messages delivered to connections of this node since the start. */
  delivered = 0;

  constructor(
    rooms: Rooms,
    engine: Engine,
    access: Access,
    inspector: Inspector,
    hooks: readonly PublishHook[],
    hops: Hops,
    mail: MailKeeper,
    now: () => number,
    node: string,
  ) {
    this.rooms = rooms;
    this.engine = engine;
    this.access = access;
    this.inspector = inspector;
    this.hooks = hooks;
    this.hops = hops;
    this.mail = mail;
    this.handover = engine.presence === null ? null : new Handover(engine.presence, node, this.seen);
    this.now = now;
  }

  /**
   * Sends one private message. Throws TARGET_NOT_FOUND when it reaches no client, and for mail what
   * {@link MailKeeper.keep} throws.
   */
  send(sender: Sender, message: PrivateMessage): Awaitable<PrivateOutcome> {
    const { principal } = sender;
    const at = placeOf(message);
    if (at?.room === WILDCARD) {
      throw new BusError('VALIDATION_ERROR', 'A private message is about one room, or none.', { field: 'room' });
    }
    checkMail(message);
    const tenant = this.rooms.tenant(principal.tenant);
    const reach = this.reachOf(sender, message, at);
    const { id, payload, metadata } = message;
    const event = { type: 'private' as const, id, tenant: tenant.name, ...placeOr(at), payload, metadata };
    return andThen(this.hooks.length === 0 ? event : runHooks(this.hooks, event, sender), (left) =>
      this.dispatch(sender, tenant, message, reach, left.payload, left.metadata),
    );
  }

  private dispatch(
    sender: Sender,
    tenant: Tenant,
    message: PrivateMessage,
    reach: Reach,
    given: JsonObject,
    metadataGiven: Metadata | undefined,
  ): Awaitable<PrivateOutcome> {
    const at = placeOf(message);
    let payload = given;
    let metadata = metadataGiven;
    if (this.inspector.enabledFor(tenant.name)) {
      const { id, requestId, to } = message;
      const subject = { type: 'private', id, requestId, room: at?.room, channel: at?.channel, to, payload } as const;
      ({ payload, metadata } = inspectMessage(this.inspector, subject, metadata, sender));
    }
    const step = this.hops.count(tenant.name, message, () => null);
    const counted = { step, ...message, payload, metadata };
    const people = message.to.filter((target) => !isMailbox(target));
    if (people.length < message.to.length) {
      return this.sendMail(sender, tenant, counted, people, reach);
    }
    return this.sendLive(sender, tenant, counted, message.to, reach);
  }

  /** Stores a message in its mailboxes, and delivers it to its other targets. */
  private async sendMail(
    sender: Sender,
    tenant: Tenant,
    message: CountedMessage,
    people: readonly string[],
    reach: Reach,
  ): Promise<PrivateOutcome> {
    const { id, to, payload, metadata, requestId, options, step } = message;
    const queued = to.filter(isMailbox);
    const mail = { id, to, payload, metadata, requestId, options, step };
    const { duplicate, ...kept } = await this.mail.keep(
      sender,
      mail,
      queued.map((target) => target.slice(MAILBOX_PREFIX.length)),
    );
    const nobodyThere = { delivered: 0, undelivered: people, duplicate };
    const live =
      people.length === 0
        ? nobodyThere
        : await this.orNobody(() => this.sendLive(sender, tenant, message, people, reach), nobodyThere);
    return { ...live, duplicate: duplicate && live.duplicate, queued, ...kept };
  }

  private async orNobody(send: () => Awaitable<PrivateOutcome>, otherwise: PrivateOutcome): Promise<PrivateOutcome> {
    try {
      return await send();
    } catch (error) {
      if (error instanceof BusError && error.code === 'TARGET_NOT_FOUND') return otherwise;
      throw error;
    }
  }

  private sendLive(
    sender: Sender,
    tenant: Tenant,
    message: CountedMessage,
    to: readonly string[],
    reach: Reach,
  ): Awaitable<PrivateOutcome> {
    const { payload, metadata, step } = message;
    const text = encode({
      id: message.id,
      type: 'private',
      ...placeOf(message),
      from: sender.id,
      to: message.to.length === 1 ? (message.to[0] as string) : [...message.to],
      payload,
      ...(message.requestId === undefined ? {} : { request_id: message.requestId }),
      metadata: {
        ...metadata,
        ...marksOf(sender.mark, message.options, this.now()),
        ...(step === null ? {} : { hops: step.hops }),
      },
    });
    const meant = { ...message, to };
    return this.handover === null
      ? this.sendLocally(sender, tenant, meant, reach, text)
      : this.sendEverywhere(sender, tenant, meant, reach, text, this.handover);
  }

  /**
   * Delivers a server envelope to one client, on any node; true once it is sent. False when the client is not
   * connected, disconnects before that, or sending takes too long. The same key is sent once per node. Rejects with
   * STORAGE_UNAVAILABLE.
   */
  async handOver(tenant: string, client: string, text: string, key: string): Promise<boolean> {
    const session = this.rooms.tenants.get(tenant)?.sessions.get(client);
    if (session !== undefined) return sendSurely(session, text, (id) => this.seen.isNew(id, key));
    if (this.handover === null) return false;
    const [found] = (await this.engine.presence?.find(tenant, client)) ?? [];
    if (found === undefined) return false;
    const reached = await this.handover.send(found.node, { tenant, clients: [client], text, key, isWaitedFor: true });
    return reached.length > 0;
  }

  /** Delivers a message from another node to clients of this one, or handles a confirmation from another node. */
  receive(message: NodeMessage): void {
    if (message.kind === 'confirm') this.handover?.confirmed(message);
    else {
      this.handover?.receive(message, (isNew) => {
        const tenant = this.rooms.tenants.get(message.tenant);
        this.hops.learn(message.tenant, message.text);
        if (isExpired(message.text, this.now())) return [];
        const sessions = message.clients.map((id) => tenant?.sessions.get(id)).filter((found) => found !== undefined);
        if (message.isWaitedFor === true) return sendAllSurely(sessions, message.text, isNew);
        this.hand(
          sessions.filter(({ id }) => isNew(id)),
          message.text,
        );
        return sessions.map(({ id }) => id);
      });
    }
  }

  private sendLocally(
    sender: Sender,
    tenant: Tenant,
    message: PrivateMessage,
    reach: Reach,
    text: string,
  ): Awaitable<PrivateOutcome> {
    const { sessions, missing } = this.here(tenant, message, reach);
    if (sessions.size === 0) throw nobody(missing);
    const finish = (first: boolean): PrivateOutcome => {
      if (first) this.hand(sessions, text);
      return { delivered: first ? sessions.size : 0, undelivered: missing, duplicate: !first };
    };
    return andThen(this.claim(keyOf(sender, message)), finish);
  }

  private async sendEverywhere(
    sender: Sender,
    tenant: Tenant,
    message: PrivateMessage,
    reach: Reach,
    text: string,
    handover: Handover,
  ): Promise<PrivateOutcome> {
    const { sessions, missing } = this.here(tenant, message, reach);
    const { remotes, unknown } = await this.elsewhere(tenant, message, reach, missing);
    if (sessions.size === 0 && remotes.length === 0) throw nobody(unknown);
    const key = keyOf(sender, message);
    const isFirst = await this.claim(key);
    if (!isFirst && !this.failed.delete(key)) return { delivered: 0, undelivered: unknown, duplicate: true };
    this.hand(sessions, text);
    const nodes = new Set(remotes.map((remote) => remote.node));
    const confirmed = await Promise.all(
      [...nodes].map((node) => {
        const clients = remotes.filter((remote) => remote.node === node).map((remote) => remote.clientId);
        return handover.send(node, { tenant: tenant.name, clients, text, key });
      }),
    );
    const reached = new Set(confirmed.flat());
    const got = new Set<string>();
    for (const { clientId, targets } of remotes)
      if (reached.has(clientId)) for (const target of targets) got.add(target);
    const undelivered = message.to.filter((target) => missing.includes(target) && !got.has(target));
    if (sessions.size + reached.size === 0) {
      this.fail(key);
      throw nobody(undelivered);
    }
    return { delivered: sessions.size + reached.size, undelivered, duplicate: false };
  }

  /** No client received the message: the same id, sent again, is not a duplicate. */
  private fail(key: string): void {
    this.failed.add(key);
    if (this.failed.size <= MOST_FAILED) return;
    for (const oldest of this.failed) {
      this.failed.delete(oldest);
      return;
    }
  }

  /** Matching connections of this node, and the addresses without one. */
  private here(tenant: Tenant, message: PrivateMessage, reach: Reach): { sessions: Set<Session>; missing: string[] } {
    const members = message.membersOnly ? tenant.rooms.get(message.room ?? '')?.members() : null;
    const sessions = new Set<Session>();
    const missing: string[] = [];
    for (const target of message.to) {
      let found = false;
      for (const session of lookUp(tenant, target)) {
        if (members !== null && members?.has(session) !== true) continue;
        reach(session.principal.subject);
        sessions.add(session);
        found = true;
        // A request is answered once, so only one of a subject's connections gets it.
        if (asksOne(message)) break;
      }
      if (!found) missing.push(target);
    }
    return { sessions, missing };
  }

  /** Connections of other nodes. A subject may be connected to several nodes, so every `sub:` is looked up. */
  private async elsewhere(
    tenant: Tenant,
    message: PrivateMessage,
    reach: Reach,
    missing: readonly string[],
  ): Promise<{ remotes: Remote[]; unknown: string[] }> {
    const remotes = new Map<string, Remote>();
    const unknown: string[] = [];
    for (const target of message.to) {
      const absent = missing.includes(target);
      if (!absent && (asksOne(message) || !target.startsWith(SUBJECT_PREFIX))) continue;
      const found = (await this.engine.presence?.find(tenant.name, target)) ?? [];
      const all = found.filter((entry) => !message.membersOnly || isIn(entry.channels, message.room ?? ''));
      const reached = asksOne(message) ? all.slice(0, 1) : all;
      for (const { node, clientId, subject } of reached) {
        reach(subject);
        const known = remotes.get(clientId);
        if (known === undefined) remotes.set(clientId, { node, clientId, targets: new Set([target]) });
        else known.targets.add(target);
      }
      if (absent && reached.length === 0) unknown.push(target);
    }
    return { remotes: [...remotes.values()], unknown };
  }

  /**
   * Checks whom the sender may write to: room members with publish on its `pm`, others with `private`. A token limited
   * to some subjects learns nothing about other clients, not even whether they are connected.
   */
  private reachOf({ principal }: Sender, message: PrivateMessage, at: Place | undefined): Reach {
    const { access } = this;
    if (at !== undefined && message.membersOnly) {
      access.require(principal, 'publish', at.room, at.channel);
      return () => {};
    }
    const reach = (subject: string | null): void => {
      if (!access.mayReach(principal, subject)) throw forbidden(at?.room ?? 'private', at?.channel ?? PRIVATE_CHANNEL);
    };
    for (const target of message.to) {
      const subject = subjectOf(target);
      const connected = subject !== null ? undefined : this.rooms.tenant(principal.tenant).sessions.get(target);
      if (subject !== null) reach(subject);
      else if (connected !== undefined || this.engine.presence === null) reach(connected?.principal.subject ?? null);
    }
    if (principal.role === 'guest') reach(null);
    return reach;
  }

  private claim(key: string): Awaitable<boolean> {
    return this.engine.broker.claim(key, IDEMPOTENCE_WINDOW_MS);
  }

  private hand(sessions: Iterable<Session>, text: string): void {
    const frame = new Frame(text);
    for (const session of sessions) {
      session.outbox.push(frame);
      this.delivered += 1;
    }
  }
}

/** The idempotency key of a sender's message. */
function keyOf(sender: Sender, { id }: PrivateMessage): string {
  return `${sender.principal.tenant}/${PRIVATE_CHANNEL} ${sender.identity} ${id}`;
}

/** Throws AUTHORIZATION_ERROR when the sender may not write to this subject. */
type Reach = (subject: string | null) => void;

/** The room and channel of a private message, if it names a room. */
function placeOf({ room, channel }: PrivateMessage): Place | undefined {
  return room === undefined ? undefined : { room, channel: channel ?? PRIVATE_CHANNEL };
}

const SUBJECT_PREFIX = 'sub:';
const MAILBOX_PREFIX = '@';

function isMailbox(target: string): boolean {
  return target.startsWith(MAILBOX_PREFIX);
}

/** The subject in an address; null for a client id. */
function subjectOf(target: string): string | null {
  if (isMailbox(target)) return target.slice(MAILBOX_PREFIX.length);
  return target.startsWith(SUBJECT_PREFIX) ? target.slice(SUBJECT_PREFIX.length) : null;
}

function asksOne({ options }: PrivateMessage): boolean {
  return options?.request !== undefined;
}

/** Throws VALIDATION_ERROR for fields that mail does not support, and for fields that only mail supports. */
function checkMail({ to, room, options }: PrivateMessage): void {
  const names = to.filter(isMailbox);
  if (names.length === 0) {
    if (options?.receipt === undefined) return;
    throw new BusError(
      'VALIDATION_ERROR',
      '"options.receipt" tells what became of mail; name a mailbox in "to": @NAME.',
      {
        field: 'options.receipt',
      },
    );
  }
  for (const name of names) {
    if (isSubject(name.slice(MAILBOX_PREFIX.length))) continue;
    throw new BusError('VALIDATION_ERROR', 'A mailbox is "@" and its subject: 1-256 printable characters.', {
      field: 'to',
      expected: '@SUBJECT',
    });
  }
  if (room !== undefined) {
    throw new BusError('VALIDATION_ERROR', 'Mail is about no room; leave "room" and "channel" out.', { field: 'room' });
  }
  if (options?.ephemeral === true) {
    throw new BusError('VALIDATION_ERROR', 'Mail is stored; leave "options.ephemeral" out, or write to "sub:" alone.', {
      field: 'options.ephemeral',
    });
  }
}

/** The identity of a subject's connections; it cannot collide with a client key or id. */
export function subjectIdentity(subject: string): string {
  return SUBJECT_PREFIX + subject;
}

function lookUp(tenant: Tenant, target: string): Iterable<Session> {
  if (target.startsWith(SUBJECT_PREFIX)) return tenant.identities.of(target);
  const session = tenant.sessions.get(target);
  return session === undefined ? [] : [session];
}

function isIn(channels: Readonly<Record<string, string>>, room: string): boolean {
  return Object.keys(channels).some((address) => address.startsWith(`${room}:`));
}

function nobody(targets: readonly string[]): BusError {
  return new BusError('TARGET_NOT_FOUND', 'No addressed client is connected; check "to", or send again later.', {
    undelivered: targets,
  });
}
