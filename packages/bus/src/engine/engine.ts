import type { Draft, Position } from '@arqonbus/protocol';

/** A plain value when it is known now, a promise when a backend has to be asked. */
export type Awaitable<T> = T | Promise<T>;

export type Backend = 'memory' | 'sqlite' | 'redis' | 'valkey' | 'postgres';

/** What an ack may promise. */
export type Durability = 'none' | 'memory' | 'disk' | 'replicated';

/** One channel's stream. `channel` is `*` for the room-wide stream. All three parts are validated names. */
export interface StreamAddress {
  readonly tenant: string;
  readonly room: string;
  readonly channel: string;
}

/** One text for a stream, unique and free of ambiguity: no part may hold the separators. */
export function streamKey(stream: StreamAddress): string {
  return `${stream.tenant}/${stream.room}:${stream.channel}`;
}

/** How much a stream keeps: every limit holds. `size` 0 keeps nothing; the sequence grows all the same. */
export interface Retention {
  /** Envelopes. */
  readonly size: number;
  readonly ttlMs: number;
  /** UTF-8 bytes of the envelopes' texts together, the oldest going first; without it they are not bounded. */
  readonly bytes?: number;
  /**
   * The last event stays whatever the other limits say, and while it does the stream is not forgotten. The memory
   * engine, whose bytes are those of the process, lets such events go when nothing else is left to go.
   */
  readonly keepLast?: boolean;
}

export interface Publication {
  readonly stream: StreamAddress;
  readonly draft: Draft;
  /** Sender identity (JWT subject, client key or client id); with the draft's id and the stream it makes the idempotency key. */
  readonly identity: string;
  readonly retention: Retention;
  /**
   * For how long its id counts as sent, in milliseconds, at most 86,400,000; 120,000 when left out. With 0 the id is
   * neither looked for nor remembered.
   */
  readonly dedupeMs?: number;
  /** What the sequence of a stream begins with that never had an event, for one that is put back; 1 when left out. */
  readonly firstSequence?: number;
  /**
   * Compare and append: it is stored only if the stream stands there, else rejected with {@link BusError} `CONFLICT`,
   * whose details are a {@link Standing}'s. A repeated id is a duplicate, wherever the stream stands by then.
   */
  readonly expect?: Expectation;
}

/**
 * Where a stream has to stand: at this sequence (0: it never had an event), in this epoch if one is given; or at the
 * event with this id, whether that is still kept or not.
 */
export type Expectation = { readonly sequence: number; readonly epoch?: string } | { readonly lastId: string };

export interface Published {
  /** 0 when nothing was stored (`stored: 'none'`). */
  readonly sequence: number;
  readonly epoch: string;
  readonly stored: Durability;
  /** Connections of this node that the event was handed to; 0 for a duplicate. */
  readonly delivered: number;
  /** The same identity sent this id, and it still counts as sent ({@link Publication.dedupeMs}): nothing was stored or delivered now, `sequence` is the first one's. */
  readonly duplicate: boolean;
}

/** An event on its way to this node's members, in the stream's order. `text` is the whole envelope. */
export interface StreamEvent {
  /** On engines of one node the very object that its publication named. */
  readonly stream: StreamAddress;
  /** 0: it is stored nowhere (degraded mode). */
  readonly sequence: number;
  readonly id: string;
  readonly from: string;
  /** The publisher's {@link Publication.identity}. Engines of several nodes tell it, since another node may have published. */
  readonly identity?: string;
  readonly text: string;
}

export interface StoredEvent {
  readonly sequence: number;
  /** Accept time, milliseconds since 1970. */
  readonly time: number;
  readonly from: string;
  readonly text: string;
}

export interface StreamState {
  /** The last sequence assigned, 0 for a stream that never had one. */
  readonly sequence: number;
  readonly epoch: string;
  /** The lowest sequence still kept; `sequence + 1` when none is. */
  readonly oldest: number;
}

/** What a stream keeps; nothing of one that is not there. */
export interface StreamUsage {
  /** The last sequence assigned. */
  readonly sequence: number;
  readonly events: number;
  /** As {@link Retention.bytes} counts them. */
  readonly bytes: number;
}

/** Streams that {@link Broker.usage} is asked for at once, at most. */
export const MOST_USAGES = 100;

/** All bounds are inclusive; what is left out does not bound. The answer is in ascending sequence. */
export interface HistoryQuery {
  readonly fromSequence?: number;
  readonly toSequence?: number;
  readonly fromTime?: number;
  readonly toTime?: number;
  readonly limit: number;
  /** Which end to keep when more than `limit` match: `first` (the default) the oldest, `last` the newest. */
  readonly take?: 'first' | 'last';
}

export interface EngineStats {
  readonly backend: Backend;
  readonly connected: boolean;
  readonly operations: number;
  readonly errors: number;
  readonly last_error: string | null;
  readonly streams: number;
  readonly messages: number;
  readonly bytes: number;
}

/** What passed this node by of one stream. Nothing of it is handed on but by {@link Missed.hand}. */
export interface Missing {
  readonly stream: StreamAddress;
  /** The last sequence that members have, or were never owed. */
  readonly after: number;
  /** The last that they lack. What of it is no longer kept is told to them as a gap. */
  readonly upTo: number;
  /**
   * The first `limit` of what is kept after a sequence, ascending, up to {@link upTo}; fewer are the last. Rejects when
   * the backend is away: the engine says the gap again when it is back.
   */
  read(after: number, limit: number): Awaitable<readonly Missed[]>;
}

/** An event that passed this node by. */
export interface Missed {
  readonly sequence: number;
  /** A whole number: of two events in different streams, the one with the lower number was stored first. */
  readonly order: number;
  /** About how much memory it takes. */
  readonly bytes: number;
  /** Hands it to this node's members, unless they had it meanwhile. Throws when that is no longer to be done. */
  hand(): void;
}

/** What the bus gives an engine when it opens it. Callbacks must not throw, and an engine calls them synchronously. */
export interface EngineEvents {
  /**
   * Hands an event to this node's members; answers how many connections got it. Called once per event and node that
   * attached its room, in the stream's order, local and remote events alike, and never before the event is stored.
   */
  deliver(event: StreamEvent): number;
  /** Something for a client or node of this cluster arrived (see {@link Presence.send}). */
  receive(message: NodeMessage): void;
  /**
   * The backend went away or came back. What was under way when it went has been rejected by then; until it is back
   * the engine refuses everything that needs it.
   */
  health(state: { healthy: boolean; reason: string }): void;
  /** The stream goes on, but history lacks something that was delivered or acked: members are told (`history_gap`). */
  historyGap(stream: StreamAddress): void;
  /**
   * Events of a room (`*`: of all rooms of the tenant) have passed this node by, or may have: a line broke, a wake-up was
   * missed. The bus brings its members what they lack; the engine repairs nothing by itself.
   *
   * @param missing what it was, where the engine knows: the bus reads that, of all streams together, and has the engine
   *   hand it on in order. The answer comes once it has, and until then the engine holds back what came after. Without it
   *   the bus goes by what it handed to members itself, and holds back what comes live meanwhile.
   */
  gap(tenant: string, room: string, missing?: readonly Missing[]): Awaitable<void>;
  /** The oldest events went before their time, since a tenant or the process holds as many bytes as it may. */
  trimmed(state: { readonly scope: 'tenant' | 'process'; readonly tenant: string; readonly events: number }): void;
  /** One sentence of {@link Engine.warnings} that came to be true after the opening: once a minute while it holds. */
  warning?(sentence: string): void;
}

/**
 * Streams: order, history, idempotence and fan-out between nodes (STORAGE, PROTOCOL section 6).
 *
 * Every method either answers, or throws or rejects with {@link BusError} `STORAGE_UNAVAILABLE`. The memory engine
 * answers synchronously throughout; callers must not assume a promise.
 */
export interface Broker {
  /**
   * Stores, sequences and delivers one event. Publications of one caller keep their order, across streams too.
   *
   * A rejection with `STORAGE_UNAVAILABLE` means that the backend is away, and that the event may have been stored all
   * the same; such rejections keep the order too. A backend that is there but has too much to do makes this throw. An
   * engine of one node knows the ids that it stored by itself, and answers them as duplicates even then.
   */
  publish(publication: Publication): Awaitable<Published>;
  /**
   * Wants the events of all channels of a room, the room-wide stream included, delivered to this node; `room` `*` means
   * all rooms of the tenant. Idempotent. When it has answered, no later event is missed. While the backend is away it
   * rejects, but the wish stands until {@link detach}: events come from when the backend is back.
   */
  attach(tenant: string, room: string): Awaitable<void>;
  detach(tenant: string, room: string): void;
  /**
   * Where a stream stands, opening it (with a fresh epoch) if it never was. An engine forgets by itself a stream whose
   * last event is gone by its age, an hour after that; one that never had an event, an hour after it was opened; both
   * no earlier than an hour after the last call of this.
   */
  state(stream: StreamAddress): Awaitable<StreamState>;
  /** The same of a stream that there is, null of any other; opens nothing, and keeps nothing from being forgotten. */
  find(stream: StreamAddress): Awaitable<StreamState | null>;
  /**
   * The last of a stream that was handed to this node's members, in rooms it attached. Engines whose `state` and
   * `history` are never ahead of that do without: with a server between nodes, an event can be read before it comes by.
   */
  reached?(stream: StreamAddress): Position;
  history(stream: StreamAddress, query: HistoryQuery): Awaitable<StoredEvent[]>;
  /** The tenants that have streams. */
  tenants(): Awaitable<string[]>;
  /**
   * How much a stream keeps, null where there is none. Redis does not know by how many bytes a stream is bounded until
   * its next event, and leaves that out.
   */
  retentionOf(stream: StreamAddress): Awaitable<Retention | null>;
  /**
   * What each of the streams keeps, in their order, without reading their events; at most {@link MOST_USAGES} of them.
   * Opens nothing, and keeps nothing from being forgotten.
   */
  usage(streams: readonly StreamAddress[]): Awaitable<StreamUsage[]>;
  /** The streams of a tenant (of one room of it) that hold or held events, for room-wide and tenant-wide queries. */
  streams(tenant: string, room?: string): Awaitable<StreamAddress[]>;
  /**
   * Has a stream keep by another measure from now on, until its next event brings its own: what that does not allow is
   * gone when this has answered, and what had gone before stays gone. It is forgotten no sooner than if its last event
   * had come now. Does nothing for a stream that is not there.
   */
  retain(stream: StreamAddress, retention: Retention): Awaitable<void>;
  /** Forgets a stream and its history: if it comes back it has a new epoch. */
  drop(stream: StreamAddress): Awaitable<void>;
  /**
   * Marks `key` as done for `windowMs`; false when it was already. The idempotence of what no stream keeps (private
   * messages) and of what must happen once in a cluster.
   */
  claim(key: string, windowMs: number): Awaitable<boolean>;
}

export interface KeyValueEntry {
  readonly key: string;
  /** JSON text. */
  readonly value: string;
  /** Ever growing in a tenant's space: no two sets of any of its keys, deleted ones included, share a version. */
  readonly version: number;
  /** Milliseconds since 1970, null without a time to live. */
  readonly expiresAt: number | null;
  /** Who is charged for it ({@link StoreQuota.owner}), null for nobody; where it was asked for. */
  readonly owner?: string | null;
}

/** What a tenant has in a space. */
export interface TenantSpace {
  readonly tenant: string;
  readonly space: string;
  /** The last version given out in it. */
  readonly version: number;
  /** The namespaces that hold keys. */
  readonly namespaces: readonly string[];
}

/**
 * What one owner and one tenant may hold in a space. Checked by the store itself, so that it holds under races. Refused
 * is only what would make more of a kind that would then be too much: a value may shrink, whatever the bound. The
 * tenant's bounds count all keys of the space; of several that are passed the first one named here is told.
 */
export interface StoreQuota {
  /** Who is charged for the key from now on: a sender identity. */
  readonly owner: string;
  readonly ownerKeys: number;
  /** UTF-8 bytes of keys and values. */
  readonly ownerBytes: number;
  readonly tenantKeys: number;
  readonly tenantBytes: number;
}

/** Which bound of a {@link StoreQuota} was reached. */
export type QuotaLimit = 'owner_keys' | 'owner_bytes' | 'tenant_keys' | 'tenant_bytes';

export interface KeyQuery {
  readonly prefix?: string;
  readonly after?: string;
  readonly limit: number;
  /** Tell of each who is charged for it. */
  readonly owners?: boolean;
}

export interface SetOptions {
  /** Compare-and-set: the version the key must have now; 0: it must not exist. */
  readonly ifVersion?: number;
  readonly ttlMs?: number;
  /** The version that it gets, for a key that is put back; the space gives out none up to it any more. */
  readonly version?: number;
  /** Refuse what would pass these bounds. Without it nothing is refused, and a key that is there stays its owner's. */
  readonly quota?: StoreQuota;
}

export type SetOutcome =
  | { readonly ok: true; readonly version: number; readonly created: boolean }
  | { readonly ok: false; readonly reason: 'conflict'; readonly version: number }
  | { readonly ok: false; readonly reason: 'full'; readonly limit: QuotaLimit };

export type DeleteOutcome =
  | { readonly ok: true; readonly deleted: boolean }
  | { readonly ok: false; readonly version: number };

/** Where a key lives. `space` separates uses (`store`, `webhook`, `cron`, `channel`): no use can reach another's keys. */
export interface KeySpace {
  readonly tenant: string;
  readonly space: string;
  readonly namespace: string;
}

export interface KeyChange {
  readonly at: KeySpace;
  readonly key: string;
  readonly operation: 'set' | 'delete' | 'expire';
  readonly version: number;
  readonly value: string | null;
}

/** Small durable state: `op.store`, durable rules and jobs, channel metadata. Expired keys are never seen. */
export interface KeyValueStore {
  get(at: KeySpace, key: string): Awaitable<KeyValueEntry | null>;
  set(at: KeySpace, key: string, value: string, options?: SetOptions): Awaitable<SetOutcome>;
  delete(at: KeySpace, key: string, ifVersion?: number): Awaitable<DeleteOutcome>;
  /** Keys with `prefix`, sorted by code unit, after `after` (exclusive), at most `limit`. */
  list(at: KeySpace, query: KeyQuery): Awaitable<KeyValueEntry[]>;
  /** All spaces of all tenants that ever held a key. */
  spaces(): Awaitable<TenantSpace[]>;
  /** The tenants that hold keys in a space: what a restarted node must load. */
  tenants(space: string): Awaitable<string[]>;
  /**
   * Tells every change in `space`, of every tenant and (in a cluster) every node, after it happened.
   * Returns the way to stop.
   */
  watch(space: string, onChange: (change: KeyChange) => void): () => void;
}

/** What one node tells another, already serialized. */
export interface NodeMessage {
  /** `call` and `answer`: see `NodeCalls`. */
  readonly kind:
    | 'private'
    | 'confirm'
    | 'disconnect'
    | 'presence'
    | 'event'
    | 'piece'
    | 'call'
    | 'answer'
    | 'post'
    | 'subject'
    | 'announce';
  readonly tenant: string;
  /**
   * Client ids of the node addressed; for a `confirm` those reached, for `subject` it alone, for `presence`, `event`,
   * `piece` and `announce` empty.
   */
  readonly clients: readonly string[];
  /**
   * The envelope to deliver; for `disconnect` the reason, for `confirm` nothing, for `presence` what changed in who is
   * where, for `post` the client’s envelopes as a JSON array of texts, for `subject` what to do.
   */
  readonly text: string;
  /** For `private`: what makes it the same message when it is sent again. */
  readonly key?: string;
  /** For `private`: whom to confirm it to, and as which; the `confirm` names its own node and the same number. */
  readonly reply?: { readonly node: string; readonly number: number };
  /** For `private`: to be confirmed once it has left for its clients, and not when it is to be sent. */
  readonly isWaitedFor?: boolean;
  /** For `event` and `piece`: whose members. */
  readonly room?: string;
  readonly channel?: string;
}

/** A connected client as other nodes see it. `record` is the JSON text of its ClientRecord. */
export interface PresenceEntry {
  readonly tenant: string;
  readonly clientId: string;
  readonly subject: string | null;
  readonly node: string;
  /** The channels it is a member of, as `room:channel`, with `joined_at`. */
  readonly channels: Readonly<Record<string, string>>;
  /** Who that is beyond one connection; clients are not told. Absent from nodes that do not tell it. */
  readonly identity?: string;
  /** What it tells of itself in those channels, where it does. */
  readonly states?: Readonly<Record<string, unknown>>;
  readonly record: string;
}

export interface NodeStatus {
  readonly node: string;
  readonly connections: number;
  readonly connectionsTotal: number;
  readonly messagesTotal: number;
  readonly messagesPerMinute: number;
}

/**
 * Who is where in a cluster. The bus knows its own clients; this answers for the OTHER nodes only. A node that dies
 * disappears within 15 s.
 */
export interface Presence {
  /** Announces or renews one of this node's clients. */
  announce(entry: PresenceEntry): Awaitable<void>;
  withdraw(tenant: string, clientId: string): Awaitable<void>;
  /** Clients of other nodes by id or `sub:SUBJECT`. */
  find(tenant: string, target: string): Awaitable<PresenceEntry[]>;
  /** Clients of other nodes; with a room only its members, with a channel only that channel's. */
  list(tenant: string, room?: string, channel?: string): Awaitable<PresenceEntry[]>;
  /** Sends to one node, or to all others (`null`). */
  send(node: string | null, message: NodeMessage): Awaitable<void>;
  /** Publishes this node's figures and answers the other nodes'. */
  report(status: NodeStatus): Awaitable<NodeStatus[]>;
}

export interface Engine {
  readonly backend: Backend;
  readonly broker: Broker;
  readonly store: KeyValueStore;
  /** Null on engines of one node: there is no other. */
  readonly presence: Presence | null;
  /** What an operator should change about the backend, a sentence each, as of now; known once it has been reached. */
  readonly warnings?: readonly string[];
  /**
   * Takes the callbacks and connects. Rejects with one clear sentence when it cannot start. If that is a
   * {@link BusError} `STORAGE_UNAVAILABLE`, waiting may help: until it is closed the engine keeps trying, and tells
   * `health` when it succeeds. Any other error (a missing driver, an unusable address or file) is final.
   */
  open(events: EngineEvents): Promise<void>;
  healthy(): boolean;
  stats(): Awaitable<EngineStats>;
  /** Flushes what was accepted and lets go of every resource. */
  close(): Promise<void>;
}
