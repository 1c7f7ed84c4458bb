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
import { frameText } from './connection/frame.ts';
import type { Sender, Session } from './connection/session.ts';
import type { Awaitable, Engine, NodeMessage } from './engine/engine.ts';
import { Handover } from './handover.ts';
import type { Hops } from './hops.ts';
import { marksOf } from './marks.ts';
import { type Inspector, inspectMessage, type PublishHook, runHooks } from './publish.ts';
import type { Rooms, Tenant } from './rooms.ts';

/** A message for named clients (PROTOCOL section 5, `private`); never in a channel's history. */
export interface PrivateMessage {
  readonly id: string;
  /** Client ids and `sub:SUBJECT`, 1-100. */
  readonly to: readonly string[];
  /** What it is about; a room without a channel stands for its `pm`. */
  readonly room: string | undefined;
  readonly channel: string | undefined;
  /** Whether only members of the room are reached. */
  readonly membersOnly: boolean;
  readonly payload: JsonObject;
  readonly metadata?: Metadata | undefined;
  readonly requestId?: string | undefined;
  readonly options?: MessageOptions | undefined;
}

export interface PrivateOutcome {
  /** Connections reached, on all nodes. */
  readonly delivered: number;
  /** What of `to` names nobody connected. */
  readonly undelivered: readonly string[];
  readonly duplicate: boolean;
}

function placeOr(at: Place | undefined): { room: string | undefined; channel: string | undefined } {
  return { room: at?.room, channel: at?.channel };
}

interface Place {
  readonly room: string;
  readonly channel: string;
}

interface Remote {
  readonly node: string;
  readonly clientId: string;
  /** The addresses that led to it. */
  readonly targets: Set<string>;
}

/** Ids that may be sent again although they are claimed, since nobody got them. */
const MOST_FAILED = 10_000;

/** Finds the connections behind addresses, on this node and the others, and hands them one message. */
export class Direct {
  private readonly rooms: Rooms;
  private readonly engine: Engine;
  private readonly access: Access;
  private readonly inspector: Inspector;
  private readonly hooks: readonly PublishHook[];
  private readonly hops: Hops;
  /** Null on engines of one node. */
  private readonly handover: Handover | null;
  private readonly failed: Set<string> = new Set();
  private readonly now: () => number;
  /** Private messages handed to connections of this node since the start. */
  delivered = 0;

  constructor(
    rooms: Rooms,
    engine: Engine,
    access: Access,
    inspector: Inspector,
    hooks: readonly PublishHook[],
    hops: Hops,
    now: () => number,
    node: string,
  ) {
    this.rooms = rooms;
    this.engine = engine;
    this.access = access;
    this.inspector = inspector;
    this.hooks = hooks;
    this.hops = hops;
    this.handover = engine.presence === null ? null : new Handover(engine.presence, node);
    this.now = now;
  }

  /** Sends one private message. Throws TARGET_NOT_FOUND when it reaches nobody. */
  send(sender: Sender, message: PrivateMessage): Awaitable<PrivateOutcome> {
    const { principal } = sender;
    const at = placeOf(message);
    if (at?.room === WILDCARD) {
      throw new BusError('VALIDATION_ERROR', 'A private message is about one room, or none.', { field: 'room' });
    }
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
      const subject = { ...message, type: 'private', room: at?.room, channel: at?.channel, payload } as const;
      ({ payload, metadata } = inspectMessage(this.inspector, subject, metadata, sender));
    }
    const step = this.hops.count(tenant.name, message, () => null);
    const text = encode({
      id: message.id,
      type: 'private',
      ...at,
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
    return this.handover === null
      ? this.sendLocally(sender, tenant, message, reach, text)
      : this.sendEverywhere(sender, tenant, message, reach, text, this.handover);
  }

  /** Hands a message that another node sent to clients of this one, or takes a confirmation of one that went there. */
  receive(message: NodeMessage): void {
    if (message.kind === 'confirm') this.handover?.confirmed(message);
    else {
      this.handover?.receive(message, (isNew) => {
        const tenant = this.rooms.tenants.get(message.tenant);
        this.hops.learn(message.tenant, message.text);
        if (isExpired(message.text, this.now())) return [];
        const sessions = message.clients.map((id) => tenant?.sessions.get(id)).filter((found) => found !== undefined);
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

  /** Nobody has got the message: the same id, sent again, is no duplicate. */
  private fail(key: string): void {
    this.failed.add(key);
    if (this.failed.size <= MOST_FAILED) return;
    for (const oldest of this.failed) {
      this.failed.delete(oldest);
      return;
    }
  }

  /** Connections of this node, and the addresses that name none of them. */
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
      }
      if (!found) missing.push(target);
    }
    return { sessions, missing };
  }

  /** Connections of other nodes: a subject may have some here and some there, so every `sub:` is asked for. */
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
      if (!absent && !target.startsWith(SUBJECT_PREFIX)) continue;
      const found = (await this.engine.presence?.find(tenant.name, target)) ?? [];
      const reached = found.filter((entry) => !message.membersOnly || isIn(entry.channels, message.room ?? ''));
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
   * Who may be written to: members of a room by whoever may publish to its `pm`, others by the grant `private`. A token
   * that names subjects learns nothing of clients that it may not write to, not even whether they are there.
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
      const isSubject = target.startsWith(SUBJECT_PREFIX);
      const connected = isSubject ? undefined : this.rooms.tenant(principal.tenant).sessions.get(target);
      if (isSubject) reach(target.slice(SUBJECT_PREFIX.length));
      else if (connected !== undefined || this.engine.presence === null) reach(connected?.principal.subject ?? null);
    }
    if (principal.role === 'guest') reach(null);
    return reach;
  }

  private claim(key: string): Awaitable<boolean> {
    return this.engine.broker.claim(key, IDEMPOTENCE_WINDOW_MS);
  }

  private hand(sessions: Iterable<Session>, text: string): void {
    const frame = frameText(text);
    for (const session of sessions) {
      session.outbox.push(frame);
      this.delivered += 1;
    }
  }
}

/** What makes a message of a sender the same one when it comes again. */
function keyOf(sender: Sender, { id }: PrivateMessage): string {
  return `${sender.principal.tenant}/${PRIVATE_CHANNEL} ${sender.identity} ${id}`;
}

/** Throws AUTHORIZATION_ERROR when the sender may not write to the bearer of this subject. */
type Reach = (subject: string | null) => void;

/** What a private message is about, when it names a room. */
function placeOf({ room, channel }: PrivateMessage): Place | undefined {
  return room === undefined ? undefined : { room, channel: channel ?? PRIVATE_CHANNEL };
}

const SUBJECT_PREFIX = 'sub:';

/** The identity under which a subject's connections are found; no client key or id can spell it. */
export function subjectIdentity(subject: string): string {
  return SUBJECT_PREFIX + subject;
}

function lookUp(tenant: Tenant, target: string): Iterable<Session> {
  if (target.startsWith(SUBJECT_PREFIX)) return tenant.identities.get(target) ?? [];
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
