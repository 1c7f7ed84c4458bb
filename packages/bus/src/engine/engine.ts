import type { Draft, Position } from '@arqonbus/protocol';

/** A plain value when the result is known immediately, a promise when a backend has to be queried. */
export type Awaitable<T> = T | Promise<T>;

export type Backend = 'memory' | 'sqlite' | 'redis' | 'valkey' | 'postgres';

/** The durability an ack can guarantee. */
export type Durability = 'none' | 'memory' | 'disk' | 'replicated';

/** Address of one channel's stream. `channel` is `*` for the room-wide stream. All three parts are validated names. */
export interface StreamAddress {
  readonly tenant: string;
  readonly room: string;
  readonly channel: string;
}

/** The stream's address as one unique string; no part can contain the separators. */
export function streamKey(stream: StreamAddress): string {
  return `${stream.tenant}/${stream.room}:${stream.channel}`;
}

/** How much of a stream is kept; all limits apply. With `size` 0 nothing is kept, but the sequence still advances. */
export interface Retention {
  /** Maximum number of envelopes. */
  readonly size: number;
  readonly ttlMs: number;
  /** Maximum total size of the envelope texts in UTF-8 bytes; the oldest are removed first. Unlimited when omitted. */
  readonly bytes?: number;
  /**
   * Keeps the last event regardless of the other limits; the stream is not forgotten while it is kept. The memory
   * engine, whose bytes are the process's own memory, evicts such events when nothing else is left to evict.
   */
  readonly keepLast?: boolean;
}

export interface Publication {
  readonly stream: StreamAddress;
  readonly draft: Draft;
  /**
   * Sender identity (JWT subject, client key or client id); together with the draft's id and the stream it forms the
   * idempotency key.
   */
  readonly identity: string;
  readonly retention: Retention;
  /**
   * How long the id is deduplicated, in milliseconds: at most 86,400,000, default 120,000. With 0 the id is neither
   * checked nor remembered.
   */
  readonly dedupeMs?: number;
  /** First sequence of a stream that has never had an event, used when restoring one; default 1. */
  readonly firstSequence?: number;
  /**
   * Compare-and-append: the event is stored only if the stream is at this position; otherwise the publication is
   * rejected with {@link BusError} `CONFLICT`, with a {@link Standing} as its details. A repeated id is a duplicate
   * regardless of the stream's current position.
   */
  readonly expect?: Expectation;
}

/**
 * Required stream position: this sequence (0: no event yet), in this epoch if given; or the event with this id, whether
 * or not it is still kept.
 */
export type Expectation = { readonly sequence: number; readonly epoch?: string } | { readonly lastId: string };

export interface Published {
  /** 0 when nothing was stored (`stored: 'none'`). */
  readonly sequence: number;
  readonly epoch: string;
  readonly stored: Durability;
  /** Number of this node's connections that received the event; 0 for a duplicate. */
  readonly delivered: number;
  /**
   * The same identity already sent this id within its deduplication window ({@link Publication.dedupeMs}): nothing was
   * stored or delivered, and `sequence` is that of the first event.
   */
  readonly duplicate: boolean;
}

/** An event being delivered to this node's members, in stream order. `text` is the whole envelope. */
export interface StreamEvent {
  /** On single-node engines, the same object that the publication passed. */
  readonly stream: StreamAddress;
  /** 0: not stored anywhere (degraded mode). */
  readonly sequence: number;
  readonly id: string;
  readonly from: string;
  /** The publisher's {@link Publication.identity}. Set by multi-node engines, since another node may have published. */
  readonly identity?: string;
  readonly text: string;
}

export interface StoredEvent {
  readonly sequence: number;
  /** Accept time, in milliseconds since 1970. */
  readonly time: number;
  readonly from: string;
  readonly text: string;
}

export interface StreamState {
  /** The last assigned sequence; 0 for a stream that never had an event. */
  readonly sequence: number;
  readonly epoch: string;
  /** The lowest sequence still kept; `sequence + 1` when none is kept. */
  readonly oldest: number;
}

/** How much a stream keeps; all zero if the stream does not exist. */
export interface StreamUsage {
  /** The last assigned sequence. */
  readonly sequence: number;
  readonly events: number;
  /** Counted as for {@link Retention.bytes}. */
  readonly bytes: number;
}

/** Maximum number of streams per {@link Broker.usage} call. */
export const MOST_USAGES = 100;

/** All bounds are inclusive; an omitted bound does not apply. Results are in ascending sequence. */
export interface HistoryQuery {
  readonly fromSequence?: number;
  readonly toSequence?: number;
  readonly fromTime?: number;
  readonly toTime?: number;
  readonly limit: number;
  /** Which end to keep when more than `limit` events match: `first` (default) for the oldest, `last` for the newest. */
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

/** A range of one stream that this node missed. Its events are delivered only through {@link Missed.hand}. */
export interface Missing {
  readonly stream: StreamAddress;
  /** The last sequence that members have, or were not entitled to. */
  readonly after: number;
  /** The last missing sequence. Missing events that are no longer kept are reported to members as a gap. */
  readonly upTo: number;
  /**
   * Reads the first `limit` kept events after a sequence, ascending, up to {@link upTo}; fewer than `limit` means the
   * end. Rejects when the backend is unavailable; the engine reports the gap again once it is back.
   */
  read(after: number, limit: number): Awaitable<readonly Missed[]>;
}

/** An event that this node missed. */
export interface Missed {
  readonly sequence: number;
  /** An integer: of two events in different streams, the one with the lower number was stored first. */
  readonly order: number;
  /** Approximate memory size. */
  readonly bytes: number;
  /** Delivers it to this node's members, unless they already have it. Throws if it must no longer be delivered. */
  hand(): void;
}

/** The bus's callbacks, passed to the engine on open. They must not throw, and the engine calls them synchronously. */
export interface EngineEvents {
  /**
   * Delivers an event to this node's members and returns the number of connections that received it. Called once per
   * event on each node that attached its room, in stream order, for local and remote events, and never before the event
   * is stored.
   */
  deliver(event: StreamEvent): number;
  /** A message for a client or node of this cluster arrived (see {@link Presence.send}). */
  receive(message: NodeMessage): void;
  /**
   * The backend became unavailable or came back. Operations in flight when it was lost have already been rejected;
   * until it is back the engine rejects everything that needs it.
   */
  health(state: { healthy: boolean; reason: string }): void;
  /** The stream continues, but history lacks something delivered or acked: members are notified (`history_gap`). */
  historyGap(stream: StreamAddress): void;
  /**
   * This node missed, or may have missed, events of a room (`*`: of all rooms of the tenant): a connection broke or a
   * wake-up was lost. The bus delivers the missing events to its members; the engine repairs nothing on its own.
   *
   * @param missing the missing ranges, if the engine knows them: the bus reads them across all streams and has the
   *   engine deliver them in order. The call completes when that is done; until then the engine holds back later
   *   events. Without it the bus relies on what it has delivered to members, and holds back live events in the
   *   meantime.
   */
  gap(tenant: string, room: string, missing?: readonly Missing[]): Awaitable<void>;
  /** The oldest events were removed early because a tenant or the process reached its byte limit. */
  trimmed(state: { readonly scope: 'tenant' | 'process'; readonly tenant: string; readonly events: number }): void;
  /** An entry of {@link Engine.warnings} that arose after opening; repeated once a minute while it applies. */
  warning?(sentence: string): void;
}

/**
 * Streams: ordering, history, idempotence and fan-out between nodes (STORAGE, PROTOCOL section 6).
 *
 * Every method either returns a result, or throws or rejects with {@link BusError} `STORAGE_UNAVAILABLE`. The memory
 * engine always answers synchronously; callers must not assume a promise.
 */
export interface Broker {
  /**
   * Stores, sequences and delivers one event. Publications of one caller keep their order, also across streams.
   *
   * A rejection with `STORAGE_UNAVAILABLE` means that the backend is unavailable and that the event may have been
   * stored anyway; such rejections keep the order too. An overloaded but reachable backend makes this throw. A
   * single-node engine remembers the ids it stored, and answers them as duplicates even then.
   */
  publish(publication: Publication): Awaitable<Published>;
  /**
   * Subscribes this node to the events of all channels of a room, including the room-wide stream; `room` `*` means all
   * rooms of the tenant. Idempotent. Once it resolves, no later event is missed. While the backend is unavailable it
   * rejects, but the subscription is kept until {@link detach}: events arrive once the backend is back.
   */
  attach(tenant: string, room: string): Awaitable<void>;
  detach(tenant: string, room: string): void;
  /**
   * The stream's position; opens the stream with a fresh epoch if it does not exist. An engine forgets a stream one
   * hour after its last event expired by age, or one hour after opening if it never had an event, but in either case no
   * earlier than one hour after the last call of this method.
   */
  state(stream: StreamAddress): Awaitable<StreamState>;
  /** Like {@link state} for an existing stream, null otherwise; does not open the stream or delay forgetting it. */
  find(stream: StreamAddress): Awaitable<StreamState | null>;
  /**
   * The last position of a stream delivered to this node's members, in rooms it attached. Omitted by engines whose
   * `state` and `history` are never ahead of it: with a server between nodes, an event may be readable before it is
   * delivered.
   */
  reached?(stream: StreamAddress): Position;
  history(stream: StreamAddress, query: HistoryQuery): Awaitable<StoredEvent[]>;
  /** The tenants that have streams. */
  tenants(): Awaitable<string[]>;
  /**
   * A stream's retention, null if it does not exist. Redis does not know a stream's byte limit until its next event,
   * and omits it.
   */
  retentionOf(stream: StreamAddress): Awaitable<Retention | null>;
  /**
   * How much each of the streams keeps, in the given order, without reading events; at most {@link MOST_USAGES}
   * streams. Opens no stream and does not delay forgetting one.
   */
  usage(streams: readonly StreamAddress[]): Awaitable<StreamUsage[]>;
  /** The streams of a tenant (or of one room) that hold or held events, for room-wide and tenant-wide queries. */
  streams(tenant: string, room?: string): Awaitable<StreamAddress[]>;
  /**
   * Sets a stream's retention until its next event brings its own. Events it does not allow are removed by the time
   * this resolves; events already removed are not restored. The stream is forgotten no earlier than if its last event
   * had arrived now. Does nothing if the stream does not exist.
   */
  retain(stream: StreamAddress, retention: Retention): Awaitable<void>;
  /** Forgets a stream and its history; if it is used again it gets a new epoch. */
  drop(stream: StreamAddress): Awaitable<void>;
  /**
   * Marks `key` as done for `windowMs`; returns false if it already was. Provides idempotence for messages that no
   * stream stores (private messages) and for actions that must happen once per cluster.
   */
  claim(key: string, windowMs: number): Awaitable<boolean>;
}

export interface KeyValueEntry {
  readonly key: string;
  /** JSON text. */
  readonly value: string;
  /** Increases throughout a tenant's space: no two sets of any of its keys, even deleted ones, share a version. */
  readonly version: number;
  /** Milliseconds since 1970; null if it does not expire. */
  readonly expiresAt: number | null;
  /** Whose quota the key counts against ({@link StoreQuota.owner}), null for nobody's; set only when requested. */
  readonly owner?: string | null;
}

/** A tenant's use of a space. */
export interface TenantSpace {
  readonly tenant: string;
  readonly space: string;
  /** The last version assigned in it. */
  readonly version: number;
  /** The namespaces that hold keys. */
  readonly namespaces: readonly string[];
}

/**
 * Limits of one owner and one tenant in a space. Enforced by the store itself, so they hold under concurrent writes. A
 * write is rejected only if it increases a usage that would then exceed its limit: a value may always shrink. The
 * tenant limits count all keys of the space. If several limits are exceeded, the first in this order is reported.
 */
export interface StoreQuota {
  /** Whose quota the key counts against from now on: a sender identity. */
  readonly owner: string;
  readonly ownerKeys: number;
  /** UTF-8 bytes of keys and values. */
  readonly ownerBytes: number;
  readonly tenantKeys: number;
  readonly tenantBytes: number;
}

/** Which limit of a {@link StoreQuota} was reached. */
export type QuotaLimit = 'owner_keys' | 'owner_bytes' | 'tenant_keys' | 'tenant_bytes';

export interface KeyQuery {
  readonly prefix?: string;
  readonly after?: string;
  readonly limit: number;
  /** Include the owner of each key. */
  readonly owners?: boolean;
}

export interface SetOptions {
  /** Compare-and-set: the version the key must have now; 0: it must not exist. */
  readonly ifVersion?: number;
  readonly ttlMs?: number;
  /** The version to assign when restoring a key; the space assigns no version up to it afterwards. */
  readonly version?: number;
  /** Reject writes exceeding these limits. Without it nothing is rejected, and an existing key keeps its owner. */
  readonly quota?: StoreQuota;
}

export type SetOutcome =
  | { readonly ok: true; readonly version: number; readonly created: boolean }
  | { readonly ok: false; readonly reason: 'conflict'; readonly version: number }
  | { readonly ok: false; readonly reason: 'full'; readonly limit: QuotaLimit };

export type DeleteOutcome =
  | { readonly ok: true; readonly deleted: boolean }
  | { readonly ok: false; readonly version: number };

/** Where a key is stored. `space` separates uses (`store`, `webhook`, `cron`, `channel`), isolated from each other. */
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

/** Small durable state: `op.store`, durable rules and jobs, channel metadata. Expired keys are never returned. */
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
   * Reports every change in `space`, of every tenant and (in a cluster) every node, after it happened. Returns a
   * function that stops watching.
   */
  watch(space: string, onChange: (change: KeyChange) => void): () => void;
}

/** A message from one node to another, already serialized. */
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
   * Ids of the addressed node's clients. For `confirm` the clients reached, for `subject` the subject alone; empty for
   * `presence`, `event`, `piece` and `announce`.
   */
  readonly clients: readonly string[];
  /**
   * The envelope to deliver. For `disconnect` the reason, for `confirm` empty, for `presence` the presence change, for
   * `post` the client's envelopes as a JSON array of texts, for `subject` the action.
   */
  readonly text: string;
  /** For `private`: identifies the message when it is sent again. */
  readonly key?: string;
  /** For `private`: the node to confirm to, and the request number; the `confirm` has its own node and that number. */
  readonly reply?: { readonly node: string; readonly number: number };
  /** For `private`: confirm it once it was sent to its clients, not when it is queued. */
  readonly isWaitedFor?: boolean;
  /** For `event` and `piece`: the room whose members receive it. */
  readonly room?: string;
  readonly channel?: string;
}

/** A connected client as seen by other nodes. `record` is the JSON text of its ClientRecord. */
export interface PresenceEntry {
  readonly tenant: string;
  readonly clientId: string;
  readonly subject: string | null;
  readonly node: string;
  /** The channels it is a member of, as `room:channel`, with `joined_at`. */
  readonly channels: Readonly<Record<string, string>>;
  /** The identity behind the connection; not shown to clients. Absent from nodes that do not send it. */
  readonly identity?: string;
  /** Its presence state in those channels, where set. */
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
 * Presence in a cluster. The bus knows its own clients; this covers the OTHER nodes only. A dead node disappears within
 * 15 s.
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
  /** Publishes this node's figures and returns those of the other nodes. */
  report(status: NodeStatus): Awaitable<NodeStatus[]>;
}

export interface Engine {
  readonly backend: Backend;
  readonly broker: Broker;
  readonly store: KeyValueStore;
  /** Null on single-node engines. */
  readonly presence: Presence | null;
  /** What an operator should currently change about the backend, one sentence each; known once it has been reached. */
  readonly warnings?: readonly string[];
  /**
   * Takes the callbacks and connects. Rejects with one clear sentence when it cannot start. If the error is a
   * {@link BusError} `STORAGE_UNAVAILABLE`, the failure may be temporary: the engine keeps trying until it is closed,
   * and calls `health` when it succeeds. Any other error (a missing driver, an unusable address or file) is final.
   */
  open(events: EngineEvents): Promise<void>;
  healthy(): boolean;
  stats(): Awaitable<EngineStats>;
  /** Flushes what was accepted and releases all resources. */
  close(): Promise<void>;
}
