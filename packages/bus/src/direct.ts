import {
  BusError,
  encode,
  IDEMPOTENCE_WINDOW_MS,
  type JsonObject,
  type Metadata,
  PRIVATE_CHANNEL,
  WILDCARD,
} from '@arqonbus/protocol';
import { frameText } from './connection/frame.ts';
import type { Sender, Session } from './connection/session.ts';
import type { Awaitable, Engine } from './engine/engine.ts';
import { may } from './principal.ts';
import { forbidden, type Inspector, inspectMessage } from './publish.ts';
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
}

export interface PrivateOutcome {
  /** Connections reached, on all nodes. */
  readonly delivered: number;
  /** What of `to` names nobody connected. */
  readonly undelivered: readonly string[];
  readonly duplicate: boolean;
}

interface Remote {
  readonly node: string;
  readonly clientId: string;
}

/** Finds the connections behind addresses, on this node and the others, and hands them one message. */
export class Direct {
  private readonly rooms: Rooms;
  private readonly engine: Engine;
  private readonly inspector: Inspector;
  /** Private messages handed to connections of this node since the start. */
  delivered = 0;

  constructor(rooms: Rooms, engine: Engine, inspector: Inspector) {
    this.rooms = rooms;
    this.engine = engine;
    this.inspector = inspector;
  }

  /** Sends one private message. Throws TARGET_NOT_FOUND when it reaches nobody. */
  send(sender: Sender, message: PrivateMessage): Awaitable<PrivateOutcome> {
    const { principal } = sender;
    const at = placeOf(message);
    if (at?.room === WILDCARD) {
      throw new BusError('VALIDATION_ERROR', 'A private message is about one room, or none.', { field: 'room' });
    }
    // Without a room there is no address that a grant could name; the role alone decides.
    const allowed = at === undefined ? principal.role !== 'guest' : may(principal, 'publish', at.room, at.channel);
    if (!allowed) throw forbidden(at?.room ?? 'private', at?.channel ?? PRIVATE_CHANNEL);
    const tenant = this.rooms.tenant(principal.tenant);
    let { payload, metadata } = message;
    if (this.inspector.enabledFor(principal.tenant)) {
      const place = { room: at?.room, channel: at?.channel };
      const inspected = { ...message, type: 'private', ...place } as const;
      ({ payload, metadata } = inspectMessage(this.inspector, inspected, metadata, sender));
    }
    const text = encode({
      id: message.id,
      type: 'private',
      ...at,
      from: sender.id,
      to: message.to.length === 1 ? (message.to[0] as string) : [...message.to],
      payload,
      ...(message.requestId === undefined ? {} : { request_id: message.requestId }),
      ...(metadata === undefined ? {} : { metadata }),
    });
    return this.engine.presence === null
      ? this.sendLocally(sender, tenant, message, text)
      : this.sendEverywhere(sender, tenant, message, text);
  }

  /** Hands a message that another node sent to clients of this one. */
  receive(tenantName: string, clients: readonly string[], text: string): void {
    const tenant = this.rooms.tenants.get(tenantName);
    if (tenant === undefined) return;
    const sessions = clients.map((id) => tenant.sessions.get(id)).filter((session) => session !== undefined);
    this.hand(sessions, text);
  }

  private sendLocally(
    sender: Sender,
    tenant: Tenant,
    message: PrivateMessage,
    text: string,
  ): Awaitable<PrivateOutcome> {
    const { sessions, missing } = this.here(tenant, message);
    if (sessions.size === 0) throw nobody(missing);
    const finish = (first: boolean): PrivateOutcome => {
      if (first) this.hand(sessions, text);
      return { delivered: first ? sessions.size : 0, undelivered: missing, duplicate: !first };
    };
    const first = this.claim(sender, message);
    return first instanceof Promise ? first.then(finish) : finish(first);
  }

  private async sendEverywhere(
    sender: Sender,
    tenant: Tenant,
    message: PrivateMessage,
    text: string,
  ): Promise<PrivateOutcome> {
    const { sessions, missing } = this.here(tenant, message);
    const { remotes, unknown } = await this.elsewhere(tenant, message, missing);
    if (sessions.size === 0 && remotes.length === 0) throw nobody(unknown);
    if (!(await this.claim(sender, message))) return { delivered: 0, undelivered: unknown, duplicate: true };
    this.hand(sessions, text);
    for (const node of new Set(remotes.map((remote) => remote.node))) {
      const clients = remotes.filter((remote) => remote.node === node).map((remote) => remote.clientId);
      await this.engine.presence?.send(node, { kind: 'private', tenant: tenant.name, clients, text });
    }
    return { delivered: sessions.size + remotes.length, undelivered: unknown, duplicate: false };
  }

  /** Connections of this node, and the addresses that name none of them. */
  private here(tenant: Tenant, message: PrivateMessage): { sessions: Set<Session>; missing: string[] } {
    const members = message.membersOnly ? tenant.rooms.get(message.room ?? '')?.members() : null;
    const sessions = new Set<Session>();
    const missing: string[] = [];
    for (const target of message.to) {
      let found = false;
      for (const session of lookUp(tenant, target)) {
        if (members !== null && members?.has(session) !== true) continue;
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
    missing: readonly string[],
  ): Promise<{ remotes: Remote[]; unknown: string[] }> {
    const remotes = new Map<string, Remote>();
    const unknown: string[] = [];
    for (const target of message.to) {
      const absent = missing.includes(target);
      if (!absent && !target.startsWith(SUBJECT_PREFIX)) continue;
      const found = (await this.engine.presence?.find(tenant.name, target)) ?? [];
      const reached = found.filter((entry) => !message.membersOnly || isIn(entry.channels, message.room ?? ''));
      for (const { node, clientId } of reached) remotes.set(clientId, { node, clientId });
      if (absent && reached.length === 0) unknown.push(target);
    }
    return { remotes: [...remotes.values()], unknown };
  }

  private claim(sender: Sender, message: PrivateMessage): Awaitable<boolean> {
    const key = `${sender.principal.tenant}/${PRIVATE_CHANNEL} ${sender.identity} ${message.id}`;
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

/** What a private message is about, when it names a room. */
function placeOf({ room, channel }: PrivateMessage): { room: string; channel: string } | undefined {
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
