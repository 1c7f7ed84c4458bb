// Made from the declarations of the commands by `npm run docs`; do not edit.
import type { ClientType, Envelope, JsonObject, Role, SenderRecord } from './envelope.ts';

export interface MemberRecord {
  client_id: string;
  client_type: ClientType;
  screen_name: string | null;
  sender: SenderRecord;
  /** Empty if only another node knows it. */
  joined_at: string;
}

export interface ChannelRecord {
  room: string;
  channel: string;
  created_at: string;
  created_by: string;
  type: string;
  /** Built in: cannot be deleted. */
  hardcoded: boolean;
  /** Created by a join or an event, not by create_channel. */
  auto_created: boolean;
  description: string | null;
  history: { size: number; ttl_seconds: number };
  /** Whether an automatically created channel outlives its members. */
  retain: boolean;
}

/** A group and its settings. */
export interface GroupSummary {
  room: string;
  /** A channel, a pattern, or "*" for the whole room. */
  channel: string;
  group: string;
  ack_wait_seconds: number;
  max_attempts: number;
  backoff_seconds: number[];
  max_unacked: number;
  /** Null: the same room, the channel's name and ".dead". */
  dead_letter: string | null;
  key: string | null;
  expires_seconds: number | null;
  /** The identity that created it. It and admins may end it. */
  owner: string;
  created_at: string;
  paused: boolean;
}

/** A group with its settings, position and counts. */
export interface GroupInfo {
  room: string;
  /** A channel, a pattern, or "*" for the whole room. */
  channel: string;
  group: string;
  ack_wait_seconds: number;
  max_attempts: number;
  backoff_seconds: number[];
  max_unacked: number;
  /** Null: the same room, the channel's name and ".dead". */
  dead_letter: string | null;
  key: string | null;
  expires_seconds: number | null;
  /** The identity that created it. It and admins may end it. */
  owner: string;
  created_at: string;
  paused: boolean;
  /** Everything up to here is settled; for a room or a pattern, in its room-wide stream. */
  position: Position;
  /** The same, by channel. */
  positions: Record<string, Position>;
  /** Waiting events: unread ones, and those that wait for another attempt. */
  pending: number;
  /** Events delivered to members and not acknowledged. */
  unacked: number;
  /** Age of the oldest event that is not settled. */
  oldest_ms: number | null;
  /** On all nodes. */
  members: number;
  dead_letters: number;
  handled: number;
  /** Events that became dead letters. */
  rejected: number;
  /** Events that expired before they were delivered. */
  expired: number;
  /** Events that retention removed before the group read them. */
  lost: number;
}

/** How far a client has read a stream; with an empty epoch it is unknown. */
export interface Position {
  sequence: number;
  epoch: string;
}

export interface CommandDescription {
  name: string;
  aliases: string[];
  description: string;
  /** The lowest role that may call it. */
  role: Role;
  /** JSON Schema (2020-12) of `args`. */
  args: JsonObject;
  /** JSON Schema of the answer; only if one command was requested. */
  result?: JsonObject;
}

/** The description and abilities of an agent. */
export interface AgentCard {
  /** Found by id, name or tag. */
  skills?: { id: string; name: string; description?: string; tags?: string[]; [key: string]: unknown }[];
  [key: string]: unknown;
}

/** The public record of a connected client. */
export interface ClientRecord {
  client_id: string;
  client_type: ClientType;
  screen_name: string | null;
  avatar: string | null;
  personality: string | null;
  /** The sender, as receivers see it. */
  sender: SenderRecord;
  /** Room name to the channels joined there; `*` is a room subscription. */
  rooms: Record<string, string[]>;
  connected_at: string;
  last_activity: string;
  node: string;
  /** Its own description; only in searches for clients. */
  card?: AgentCard;
  /** As set by the client; `lapsed` if it was not renewed in time. */
  state?: string;
  note?: string;
}

export interface JoinResult {
  room: string;
  channel: string;
  /** `matching`: all channels that match the pattern; `granted`: the part of the room that the grants cover. */
  scope?: 'matching' | 'granted';
  /** The last sequence before live traffic; for a room or pattern, that of the room-wide stream. */
  sequence: number;
  /** Empty during a storage outage, when the stream's epoch is unknown. */
  epoch: string;
  members: number;
  /** The group that was joined; its members are counted. */
  group?: string;
  /** Only with `since`: whether every missed envelope follows. False: reload. */
  recovered?: boolean;
  /** The positions of the channel and the room-wide stream (`*`); for a room, of all its channels. */
  positions?: Record<string, Position>;
  /** Only with `presence`: the current members. */
  presence?: PresenceSnapshot;
}

/** The current members; later notices update them. */
export interface PresenceSnapshot {
  /** The next notice has the following version. */ version: number;
  /** At most 500. */
  members: PresenceMember[];
  /** The number of members, on all nodes. */
  count: number;
  /** There are too many members to list; notices contain only the number. */
  counts_only?: true;
}

export interface PresenceMember {
  client_id: string;
  sender: SenderRecord;
  /** Its state, from the join or `presence_update`; null: none. */
  state: unknown;
  joined_at: string;
  /** Its description from `identify`; `lapsed` if it was not renewed in time. */
  agent?: { state?: string; note?: string };
  /** In a room's presence: the channel; `*` is a room subscription. */
  channel?: string;
}

export interface ChannelSummary {
  room: string;
  channel: string;
  /** How many clients are members, in the whole cluster. */
  members: number;
  /** Empty if only another node knows it. */
  created_at: string;
  type: string;
  /** Built in: cannot be deleted. */
  hardcoded: boolean;
  /** The last that was given; in `status` it and what is kept are left out. */
  sequence?: number;
  /** Stored events; absent during a storage outage. */
  events?: number;
  /** UTF-8 bytes of these, as counted by `history.bytes` of a rule; absent during a storage outage. */
  bytes?: number;
}

/** A blocked subject. */
export interface AccessBlock {
  /** The `sub` of its tokens. */ subject: string;
  reason: string;
  /** Null: until it is removed. */
  until: string | null;
  created_at: string;
  created_by: string;
}

/** Tokens that are no longer valid. */
export interface AccessRevocation {
  jti: string | null;
  subject: string | null;
  issued_before: string | null;
  created_at: string;
  created_by: string;
}

/** The current policy of a tenant. */
export interface CasilSnapshot {
  /** Whether to inspect at all. */ enabled: boolean;
  /** Only report, or act. */
  mode: 'monitor' | 'enforce';
  /** When inspection itself fails. */
  default_decision: 'allow' | 'block';
  /** Globs of inspected places; empty: everything. */
  scope_include: string[];
  /** Globs of places that are not inspected; takes precedence. */
  scope_exclude: string[];
  /** How much of a message is looked at. */
  max_inspect_bytes: number;
  /** How many patterns there may be. */
  max_patterns: number;
  /** Payloads larger than this, with metadata, are oversize. */
  max_payload_bytes: number;
  /** Block messages that probably contain a secret. */
  block_on_probable_secret: boolean;
  /** Names or dotted paths of fields to redact. */
  redaction_paths: string[];
  /** Patterns in RE2 syntax to redact; for admins. */
  redaction_patterns?: string[];
  /** Redact for subscribers and history too. */
  transport_redaction: boolean;
  /** Globs of places whose payloads are never shown to operators. */
  never_log_payload_for: string[];
  metadata_to_logs: boolean;
  metadata_to_telemetry: boolean;
  metadata_to_envelope: boolean;
  /** Grows with every policy of any tenant that is applied on the node. */
  revision: number;
  loaded_at: string;
  /** Whether the tenant has no policy of its own and so has the server's. */
  inherited: boolean;
  /** What was decided in each room since the start; for admins. */
  decisions?: CasilRoomDecisions[];
}

/** The number of outcomes of one kind in one room. */
export interface CasilRoomDecisions {
  /** `other rooms` beyond the hundredth; empty for messages without a room. */ room: string;
  decision: 'ALLOW' | 'ALLOW_WITH_REDACTION' | 'BLOCK';
  reason_code: string;
  count: number;
}

export interface CronJob {
  job_id: string;
  room: string;
  channel: string;
  owner: string;
  durable: boolean;
  delay_seconds: number | null;
  interval_seconds: number | null;
  /** 0: until cancelled. */
  repeat_count: number;
  cron: string | null;
  timezone: string | null;
  catch_up: boolean;
  created_at: string;
  next_run_at: string | null;
  iterations: number;
  missed: number;
}

export interface HistoryEntry {
  envelope: Envelope;
  stored_at: string;
  storage_metadata: { backend: string; sequence: number; epoch: string };
}

export interface OmegaEvent {
  event_id: string;
  substrate_id: string;
  signal: string;
  payload: JsonObject;
  timestamp: string;
}

export interface OmegaSubstrate {
  substrate_id: string;
  name: string;
  kind: string;
  metadata: JsonObject;
  registered_at: string;
}

/** What would happen to an event. */
export interface Explanation {
  /** The matching rules, the least specific first. */ rules: { match: string; from: 'file' | 'store' }[];
  /** The settings that apply: from rules, from the channel itself or from the configuration. */
  effective: {
    /** How much is kept. */
    history?: {
      /** Envelopes. */ size?: number;
      /** Total UTF-8 bytes. */
      bytes?: number;
      ttl_seconds?: number;
    };
    /** Keep the last event without time limit, for joins with `last`. */
    retain_last?: boolean;
    /** Whether a join or an event creates the channel. */
    auto_create?: boolean;
    /** Who may publish: clients whose grants allow it, only members, or only the server and its HTTP keys. */
    publish?: 'granted' | 'members' | 'nobody';
    /** `true` forces it on, `false` forbids it. */
    presence?: boolean;
    /** `true` forces it on, `false` forbids it. */
    echo?: boolean;
    /** Live only: `true` forces it on, `false` forbids it. */
    ephemeral?: boolean;
    /** UTF-8 bytes of a payload. */
    max_message_bytes?: number;
    /** Events of one sender in one channel. */
    rate_per_second?: number;
    /** How long an id is remembered as sent. */
    dedupe_seconds?: number;
    /** The JSON Schema of the channel's payloads. */
    schema?: {
      /** A JSON Schema (2020-12) of the payload. */ schema: JsonObject | boolean;
      /** Only report, or refuse with SCHEMA_MISMATCH. */
      mode: 'warn' | 'enforce';
    };
    /** The mode of content inspection. */
    casil?: 'off' | 'monitor' | 'enforce';
    /** Time without members and traffic after which the channel leaves the lists. */
    idle_seconds?: number;
    /** Only bytes limit what is kept, not count or age, so that groups may be behind. */
    keep_for_groups?: boolean;
    /** Longest chain of causes. */
    max_hops?: number;
    /** Asks a backend beforehand. */
    hook?: {
      /** The actions about which the backend is asked. */ on: ('join' | 'publish')[];
      /** The URL to which the request is posted. */
      url: string;
      /** Default: 500. */
      timeout_ms?: number;
      /** The result if it does not answer. Default: deny. */
      on_failure?: 'deny' | 'allow';
      /** How long an answer to a join is cached. Default: 0. */
      cache_seconds?: number;
      /** Signs the request. */
      secret?: string;
    };
  };
  /** For each field, the `match` of the rule that sets it. */
  origins: Record<string, string>;
  /** What the role and grants allow. */
  may: { publish: boolean; subscribe: boolean; history: boolean; presence: boolean };
  publish: {
    allowed: boolean;
    error_code?: string;
    reason?: string;
    casil?: {
      decision: 'ALLOW' | 'ALLOW_WITH_REDACTION' | 'BLOCK';
      reason_code: string;
      /** Ids of the matching rules, never the text. */
      rules: string[];
    };
    schema?: { ok: boolean; path?: string; expected?: string };
  };
  /** Backends that are asked before a client connects, reads or publishes. */
  hooks: { on: 'connect' | 'join' | 'publish'; host: string; on_failure: 'deny' | 'allow' }[];
  receivers: {
    /** Of the answering node. */ connections: number;
    /** For operators: subjects or client ids, at most 100. */
    names?: string[];
    /** Groups and webhooks that read the channel, at most 100. */
    groups: {
      group?: string;
      /** Id of its rule. */
      webhook?: string;
      /** The place that it reads, as room:channel. */
      source: string;
    }[];
  };
}

export interface ChannelRule {
  /** A `room:channel` pattern: `*` is one segment between `.` or `/` (alone: all), a last `>` the rest. `@:NAME` and `@:*` are mailboxes. */
  match: string;
  /** How much is kept. */
  history?: {
    /** Envelopes. */ size?: number;
    /** Total UTF-8 bytes. */
    bytes?: number;
    ttl_seconds?: number;
  };
  /** Keep the last event without time limit, for joins with `last`. */
  retain_last?: boolean;
  /** Whether a join or an event creates the channel. */
  auto_create?: boolean;
  /** Who may publish: clients whose grants allow it, only members, or only the server and its HTTP keys. */
  publish?: 'granted' | 'members' | 'nobody';
  /** `true` forces it on, `false` forbids it. */
  presence?: boolean;
  /** `true` forces it on, `false` forbids it. */
  echo?: boolean;
  /** Live only: `true` forces it on, `false` forbids it. */
  ephemeral?: boolean;
  /** UTF-8 bytes of a payload. */
  max_message_bytes?: number;
  /** Events of one sender in one channel. */
  rate_per_second?: number;
  /** How long an id is remembered as sent. */
  dedupe_seconds?: number;
  /** The JSON Schema of the channel's payloads. */
  schema?: {
    /** A JSON Schema (2020-12) of the payload. */ schema: JsonObject | boolean;
    /** Only report, or refuse with SCHEMA_MISMATCH. */
    mode: 'warn' | 'enforce';
  };
  /** The mode of content inspection. */
  casil?: 'off' | 'monitor' | 'enforce';
  /** Time without members and traffic after which the channel leaves the lists. */
  idle_seconds?: number;
  /** Only bytes limit what is kept, not count or age, so that groups may be behind. */
  keep_for_groups?: boolean;
  /** Longest chain of causes. */
  max_hops?: number;
  /** Asks a backend beforehand. */
  hook?: {
    /** The actions about which the backend is asked. */ on: ('join' | 'publish')[];
    /** The URL to which the request is posted. */
    url: string;
    /** Default: 500. */
    timeout_ms?: number;
    /** The result if it does not answer. Default: deny. */
    on_failure?: 'deny' | 'allow';
    /** How long an answer to a join is cached. Default: 0. */
    cache_seconds?: number;
    /** Signs the request. */
    secret?: string;
  };
}

export interface DeadLetter {
  delivery_id: string;
  attempts: number;
  last_error: string;
  failed_at: string;
  envelope: JsonObject;
}

export interface WebhookRule {
  rule_id: string;
  url: string;
  /** Null: all rooms. */
  room: string | null;
  /** Null: all channels. */
  channel: string | null;
  owner: string;
  timeout_seconds: number;
  durable: boolean;
  signed: boolean;
  on: ('message' | 'client_joined' | 'client_left' | 'occupied' | 'vacated')[];
  created_at: string;
  queued: number;
  delivered: number;
  failed: number;
  dropped: number;
  dead_letters: number;
}

export interface ServerStatus {
  server: { name: string; version: string; protocol: string; uptime_seconds: number; node: string };
  connections: { total: number; active: number };
  rooms: { active: number };
  channels: { active: number };
  messages: { total: number; rate_per_minute: number };
  storage: { backend: string; healthy: boolean };
  /** For admins. */
  channels_detail?: ChannelSummary[];
  /** For admins. */
  clients?: ClientRecord[];
}

/** An open token stream. */
export interface StreamSummary {
  stream_id: string;
  room: string;
  channel: string;
  sender: SenderRecord;
  opened_at: string;
  /** UTF-16 units. */
  length: number;
  state: 'streaming';
}

/** The first frame of every connection. */
export interface Welcome {
  event: 'welcome';
  /** A greeting for people. */
  welcome: string;
  client_id: string;
  role: Role;
  tenant: string;
  /** The first membership; null if none was requested. */
  room: string | null;
  channel: string | null;
  server: { name: string; version: string; protocol: string; node: string; http?: string };
  /** Capabilities added after the first version of the protocol. */
  features: string[];
  limits: { max_message_bytes: number; ping_interval_ms: number };
  /** For server-sent events: the id to which this client posts its envelopes. Keep it secret. */
  session?: string;
}

/** The server is about to stop. */
export interface ShutdownNotice {
  event: 'shutdown';
  /** How long this client should wait before it reconnects. */
  reconnect_after_ms: number;
}

/** The connection ends with its token, unless the token is renewed. */
export interface TokenExpiringNotice {
  event: 'token_expiring';
  expires_at: string;
  expires_in_ms: number;
}

/** An administrator’s announcement. */
export interface AnnouncementNotice {
  event: 'announcement';
  announcement_id: string;
  /** The content of the announcement. */
  announcement: JsonObject;
}

/** An administrator made this client a member. */
export interface JoinedNotice {
  event: 'joined';
  room: string;
  channel: string;
  sequence: number;
  epoch: string;
  /** As returned by a join. */
  positions?: Record<string, Position>;
}

/** This client was removed from a channel or room. */
export interface MembershipRevokedNotice {
  event: 'membership_revoked';
  room: string;
  channel: string;
  /** The group from which it was removed. */
  group?: string;
  reason: string;
}

/** History does not contain everything that was sent here. */
export interface HistoryGapNotice {
  event: 'history_gap';
  room: string;
  channel: string;
  /** The last sequence before the gap, if known. */
  after_sequence?: number;
}

/** History removed events before a group read them. */
export interface GroupLostNotice {
  event: 'group_lost';
  room: string;
  channel: string;
  group: string;
  /** The number; 0 if unknown. */
  lost: number;
}

/** Sent to subscribers of the room. */
export interface ChannelCreatedNotice {
  event: 'channel_created';
  room: string;
  channel: string;
  created_by: string;
}

/** Sent to subscribers of the room. */
export interface ChannelDeletedNotice {
  event: 'channel_deleted';
  room: string;
  channel: string;
}

/** Members that joined, changed or left; sent to members that requested presence. */
export interface PresenceNotice {
  event: 'presence';
  room: string;
  /** `*`: the presence of the whole room, with a channel in each record. */
  channel: string;
  /** One more than in the previous notice, or than in the answer to the join. */
  version: number;
  /** The current number of members. */
  members: number;
  joined: PresenceMember[];
  updated: PresenceUpdate[];
  left: PresenceDeparture[];
  /** There are too many members to list; the lists are empty. */
  counts_only?: true;
  /** `joined` is the whole set and replaces the previous one; the version continues from here. */
  reset?: true;
}

export interface PresenceUpdate {
  client_id: string;
  sender: SenderRecord;
  /** Its state, from the join or `presence_update`; null: none. */
  state: unknown;
  joined_at: string;
  /** Its description from `identify`; `lapsed` if it was not renewed in time. */
  agent?: { state?: string; note?: string };
  /** In a room's presence: the channel; `*` is a room subscription. */
  channel?: string;
  /** It returned on another connection and replaces this client. */
  previous_id?: string;
}

export interface PresenceDeparture {
  client_id: string;
  sender: SenderRecord;
  /** Its state, from the join or `presence_update`; null: none. */
  state: unknown;
  joined_at: string;
  /** Its description from `identify`; `lapsed` if it was not renewed in time. */
  agent?: { state?: string; note?: string };
  /** In a room's presence: the channel; `*` is a room subscription. */
  channel?: string;
  /** `left`: it left; `lost`: its connection broke and it did not return in time; `node_lost`: its node died. */
  cause: 'left' | 'lost' | 'node_lost';
}

/** Sent to the writer of a token stream: a reader asks it to stop. */
export interface StreamCancelNotice {
  event: 'stream_cancel';
  stream_id: string;
  room: string;
  channel: string;
  /** The requester. */
  by: SenderRecord;
}

/** A key that this connection watches changed. */
export interface StoreNotice {
  event: 'store_changed';
  namespace: string;
  key: string;
  operation: 'set' | 'delete' | 'expire';
  version: number;
  value?: unknown;
}

/** The payload of a `system` envelope, told apart by its `event`. */
export type Notice =
  | Welcome
  | ShutdownNotice
  | TokenExpiringNotice
  | AnnouncementNotice
  | JoinedNotice
  | MembershipRevokedNotice
  | HistoryGapNotice
  | GroupLostNotice
  | ChannelCreatedNotice
  | ChannelDeletedNotice
  | PresenceNotice
  | StreamCancelNotice
  | StoreNotice;

/** Every command of the protocol: its arguments and the `payload` of its successful answer (PROTOCOL section 7). */
export interface Commands {
  /** Sends a notice to the clients in a room, or to all clients. An operator’s "*" goes to all tenants. */
  announce: {
    args: {
      /** Room name; "*", or none, for all clients. */ room?: string;
      /** The content of the announcement. */
      payload: JsonObject;
    };
    result: {
      announcement_id: string;
      /** Notified connections of this node. */
      connections: number;
    };
  };

  /** Describes a channel, its members and the position of its stream. */
  channel_info: {
    args: {
      /** Room name, or room:channel. */ room?: string;
      /** Channel name, or room:channel. */
      channel?: string;
    };
    result: {
      room: string;
      channel: string;
      created_at: string;
      created_by: string;
      type: string;
      /** Built in: cannot be deleted. */
      hardcoded: boolean;
      /** Created by a join or an event, not by create_channel. */
      auto_created: boolean;
      description: string | null;
      history: { size: number; ttl_seconds: number };
      /** Whether an automatically created channel outlives its members. */
      retain: boolean;
      /** The first 500. */
      members: MemberRecord[];
      /** Members, on all nodes. */
      count: number;
      /** The position of the stream. */
      sequence: number;
      epoch: string;
      /** Stored events; absent during a storage outage. */
      events?: number;
      /** UTF-8 bytes of these, as counted by `history.bytes` of a rule; absent during a storage outage. */
      bytes?: number;
      /** The JSON Schema that a rule sets for its events. */
      schema?: JsonObject;
    };
  };

  /** Creates a channel that stays until it is deleted, or takes over an automatically created one. */
  create_channel: {
    args: {
      /** Room name, or room:channel. */ room?: string;
      /** Channel name, or room:channel. */
      channel?: string;
      /** The purpose of the channel. */
      description?: string;
      /** A custom word for its kind. */
      type?: string;
      /** How many envelopes it keeps, and for how long. Takes precedence over every rule. */
      history?: { size?: number; ttl_seconds?: number };
      /** Keep it while it is idle, also if it was created automatically. */
      retain?: boolean;
    };
    result: ChannelRecord;
  };

  /** Deletes an empty channel and its history. */
  delete_channel: {
    args: {
      /** Room name, or room:channel. */ room?: string;
      /** Channel name, or room:channel. */
      channel?: string;
    };
    result: { deleted: true; room: string; channel: string };
  };

  /** Acknowledges events of a group as handled. The answer is sent once this is stored. */
  'delivery.ack': {
    args: {
      /** "token" of each delivery's metadata. */ tokens: string[];
    };
    result: {
      /** Tokens that held their lease. */ done: string[];
      /** Tokens whose lease had ended; they had no effect. */
      lost: string[];
    };
  };

  /** Renews the leases on events of a group for their full time. */
  'delivery.extend': {
    args: {
      /** "token" of each delivery's metadata. */ tokens: string[];
    };
    result: {
      /** Tokens that held their lease. */ done: string[];
      /** Tokens whose lease had ended; they had no effect. */
      lost: string[];
    };
  };

  /** Returns events of a group, which are redelivered later. */
  'delivery.nack': {
    args: {
      /** "token" of each delivery's metadata. */ tokens: string[];
      /** The delay. Default: the group's backoff. */
      delay_seconds?: number;
      /** The reason in its dead letter. */
      reason?: string;
    };
    result: {
      /** Tokens that held their lease. */ done: string[];
      /** Tokens whose lease had ended; they had no effect. */
      lost: string[];
    };
  };

  /** Rejects events of a group, which become dead letters at once. */
  'delivery.reject': {
    args: {
      /** "token" of each delivery's metadata. */ tokens: string[];
      /** The reason in the dead letter. */
      reason: string;
    };
    result: {
      /** Tokens that held their lease. */ done: string[];
      /** Tokens whose lease had ended; they had no effect. */
      lost: string[];
    };
  };

  /** Creates a consumer group on a channel, a room or a pattern, or returns an existing one with the same settings. */
  'group.create': {
    args: {
      /** Room name, or room:channel. */ room?: string;
      /** Channel name, room:channel, or a pattern: `*` matches one segment, a final `>` the rest. */
      channel?: string;
      /** Name of the group on its source. */
      group: string;
      /** From now on (default), everything stored, after a sequence, or from a time on. */
      start?:
        | 'new'
        | 'all'
        | { sequence: number; epoch: string }
        | {
            /** RFC 3339 date-time; UTC without an offset. */ time: string;
          };
      /** How long a member has for one event before it is redelivered (default 30). */
      ack_wait_seconds?: number;
      /** Deliveries of one event, after which it is a dead letter (default 5). */
      max_attempts?: number;
      /** The delay before the second, third, … attempt; the last for all further ones (default 1, 5, 30). */
      backoff_seconds?: number[];
      /** Events unacknowledged or waiting for another attempt, beyond which the group reads no further (default 256). */
      max_unacked?: number;
      /** Where dead letters are published, as room:channel (default: the same room, the channel and ".dead"). */
      dead_letter?: string;
      /** Path of a value; events that share it stay in order with one member. */
      key?: string;
      /** Delete the group after this time without members or requests. */
      expires_seconds?: number;
    };
    result: GroupSummary;
  };

  /** Lists the events that used all their attempts or were rejected, oldest first. */
  'group.dead_letters': {
    args: {
      /** Room name, or room:channel. */ room?: string;
      /** Channel name, room:channel, or a pattern: `*` matches one segment, a final `>` the rest. */
      channel?: string;
      /** Name of the group on its source. */
      group: string;
      /** At most 500. */
      limit?: number;
      /** The "next" of the previous answer. */
      after?: string;
    };
    result: {
      /** Each with the reason in metadata.dead. */ messages: Envelope[];
      /** Pass as "after" for the next page; null at the end. */
      next: string | null;
    };
  };

  /** Deletes a group with its position and its dead letters; only for its creator and admins. */
  'group.delete': {
    args: {
      /** Room name, or room:channel. */ room?: string;
      /** Channel name, room:channel, or a pattern: `*` matches one segment, a final `>` the rest. */
      channel?: string;
      /** Name of the group on its source. */
      group: string;
    };
    result: { deleted: true };
  };

  /** Returns the settings, position and counts of a group. */
  'group.info': {
    args: {
      /** Room name, or room:channel. */ room?: string;
      /** Channel name, room:channel, or a pattern: `*` matches one segment, a final `>` the rest. */
      channel?: string;
      /** Name of the group on its source. */
      group: string;
    };
    result: GroupInfo;
  };

  /** Lists the groups that your grants let you use. */
  'group.list': {
    args: {
      /** Room name, or room:channel. */ room?: string;
      /** Channel name, room:channel, or a pattern: `*` matches one segment, a final `>` the rest. */
      channel?: string;
      /** At most 500. */
      limit?: number;
      /** The "next" of the previous answer. */
      after?: string;
    };
    result: {
      groups: GroupSummary[];
      /** Pass as "after" for the next page; null at the end. */
      next: string | null;
    };
  };

  /** Stops delivery of a group until it is resumed; only for its creator and admins. */
  'group.pause': {
    args: {
      /** Room name, or room:channel. */ room?: string;
      /** Channel name, room:channel, or a pattern: `*` matches one segment, a final `>` the rest. */
      channel?: string;
      /** Name of the group on its source. */
      group: string;
    };
    result: { paused: boolean };
  };

  /** Takes events of a group without a membership, under leases of the caller. */
  'group.pull': {
    args: {
      /** Room name, or room:channel. */ room?: string;
      /** Channel name, room:channel, or a pattern: `*` matches one segment, a final `>` the rest. */
      channel?: string;
      /** Name of the group on its source. */
      group: string;
      /** At most 500. */
      limit?: number;
      /** How long to wait for the first event (default 0). */
      wait_ms?: number;
    };
    result: {
      /** Each with its token in metadata.delivery. */ messages: Envelope[];
      /** Messages that wait after these. */
      pending: number;
    };
  };

  /** Resumes a paused group; only for its creator and admins. */
  'group.resume': {
    args: {
      /** Room name, or room:channel. */ room?: string;
      /** Channel name, room:channel, or a pattern: `*` matches one segment, a final `>` the rest. */
      channel?: string;
      /** Name of the group on its source. */
      group: string;
    };
    result: { paused: boolean };
  };

  /** Redelivers dead letters of a group, starting with the first attempt. */
  'group.retry': {
    args: {
      /** Room name, or room:channel. */ room?: string;
      /** Channel name, room:channel, or a pattern: `*` matches one segment, a final `>` the rest. */
      channel?: string;
      /** Name of the group on its source. */
      group: string;
      /** Ids of messages. Default: all. */
      ids?: string[];
    };
    result: { retried: number };
  };

  /** Moves a group to another position; only for its creator and admins. */
  'group.seek': {
    args: {
      /** Room name, or room:channel. */ room?: string;
      /** Channel name, room:channel, or a pattern: `*` matches one segment, a final `>` the rest. */
      channel?: string;
      /** Name of the group on its source. */
      group: string;
      /** The next delivered event is the one after it. */
      sequence?: number;
      /** RFC 3339 date-time; UTC without an offset. */
      time?: string;
    };
    result: { sought: true };
  };

  /** Lists the commands with their roles and arguments, or describes one. */
  help: {
    args: {
      /** Name of one command. */ command?: string;
    };
    result: { commands: CommandDescription[] };
  };

  /** Returns messages of a channel, or with a room alone of all its channels, merged by time. Can wait for the first. */
  history: {
    args: {
      /** Room name, or room:channel. */ room?: string;
      /** Channel name, or room:channel. */
      channel?: string;
      /** At most 500. */
      limit?: number;
      /** Only sequences below this: the last ones. */
      before?: number | Record<string, number>;
      /** Only sequences above this: the first ones. */
      after?: number | Record<string, number>;
      /** What came after a position, or after the positions of a room, or from a time on. */
      since?:
        | Position
        | {
            /** RFC 3339 date-time; UTC without an offset. */ time: string;
          }
        | Record<string, Position>;
      /** How long to wait for the first message when there is none. */
      wait_ms?: number;
    };
    result: {
      /** Oldest first. */ messages: Envelope[];
      /** Pass as "since" to continue; for a room, a position by channel. */
      position: Position | Record<string, Position>;
      /** Only with "since": false if some missed messages are no longer stored. */
      recovered?: boolean;
      /** Pass as "after" for newer ones; null at the end. */
      next: number | Record<string, number> | null;
      /** Pass as "before" for older ones; null at the beginning. */
      previous: number | Record<string, number> | null;
    };
  };

  /** Changes how other clients see this client. */
  identify: {
    args: {
      /** The type of client. */ client_type?: 'human' | 'ai-agent' | 'dashboard' | 'service';
      /** Name shown to others. */
      screen_name?: string;
      /** URL or text of a picture. */
      avatar?: string;
      /** How an agent describes itself. */
      personality?: string;
      /** The description of an agent, at most 8,192 bytes; null: none. */
      card?: AgentCard | null;
      /** `idle`, `busy`, or a custom word; null: none. */
      state?: string | null;
      /** A note, such as the current task; null: none. */
      note?: string | null;
      /** How long the state is valid unless it is renewed; then it is `lapsed`. */
      ttl_seconds?: number;
    };
    result: ClientRecord;
  };

  /** Joins a channel, the channels that match a pattern, or with a room alone (or "*") the whole room. Resumes after "since". */
  join_channel: {
    args: {
      /** Room name, or room:channel. */ room?: string;
      /** Channel name, room:channel, or a pattern: `*` matches one segment, a final `>` the rest. */
      channel?: string;
      since?: Position | Record<string, Position>;
      /** Also receive what this client sends. */
      echo?: boolean;
      /** Receive the current members and every change; "state" sets what others see of this client. */
      presence?:
        | boolean
        | {
            /** Any JSON of at most 4,096 bytes; null: none. */ state?: unknown;
          };
      /** Refuse a room or pattern unless the grants cover all of it; otherwise only the covered part is delivered. */
      strict?: boolean;
      /** Replay the last N envelopes first. */
      history?: number;
      /** Start with the retained value of each channel, if a rule keeps one. */
      last?: boolean;
      /** Join this group instead: each event goes to one of its members. */
      group?: string;
      /** With "group": maximum number of unacknowledged events (default 16). */
      prefetch?: number;
    };
    result: JoinResult;
  };

  /** Leaves a channel or a room subscription. */
  leave_channel: {
    args: {
      /** Room name, or room:channel. */ room?: string;
      /** Channel name, room:channel, or a pattern: `*` matches one segment, a final `>` the rest. */
      channel?: string;
      /** Leave this group of the channel. */
      group?: string;
    };
    result: {
      /** False: this client was no member. */ left: boolean;
    };
  };

  /** Lists the channels of a room that your grants let you read. */
  list_channels: {
    args: {
      /** Room name, or room:channel. */ room?: string;
      /** At most 500. */
      limit?: number;
      /** The "next" of the previous answer. */
      after?: string;
    };
    result: {
      channels: ChannelSummary[];
      /** Pass as "after" for the next page; null at the end. */
      next: string | null;
    };
  };

  /** Finds clients by name, skill or state, on all nodes, among those that share a channel or room with you. */
  list_clients: {
    args: {
      /** Its subject or screen name, ignoring case. */ name?: string;
      /** Id, name or tag of a skill of its card, ignoring case. */
      skill?: string;
      state?: string;
      /** At most 100. */
      limit?: number;
      /** The "next" of the previous answer. */
      after?: string;
    };
    result: {
      /** With their cards. */ clients: ClientRecord[];
      /** Pass as "after" for the next page; null at the end. */
      next: string | null;
    };
  };

  /** Lists the rooms with the numbers of their channels and members. */
  list_rooms: {
    args: {
      /** At most 500. */ limit?: number;
      /** The "next" of the previous answer. */
      after?: string;
    };
    result: {
      rooms: { room: string; channels: number; members: number; hardcoded: boolean }[];
      /** Pass as "after" for the next page; null at the end. */
      next: string | null;
    };
  };

  /** Blocks a subject on every node at once and closes its connections (4403). */
  'op.access.block': {
    args: {
      /** The `sub` of its tokens. */ subject: string;
      /** The reason, which is sent to the subject. */
      reason: string;
      /** RFC 3339. Default: until it is removed. */
      until?: string;
    };
    result: AccessBlock;
  };

  /** Closes the connections of a subject, or one connection, on any node (4403). The client may reconnect. */
  'op.access.disconnect': {
    args: {
      /** The `sub` of its tokens. */ subject?: string;
      /** Instead of a subject: one connection. */
      client_id?: string;
      /** Told to the client; at most 120 bytes of UTF-8. */
      reason?: string;
    };
    result: {
      /** Connections that were closed. */ disconnected: number;
    };
  };

  /** Lists blocked subjects and revoked tokens. */
  'op.access.list': {
    args: {
      limit?: number;
      /** The "next" of the previous answer. */
      after?: string;
    };
    result: {
      blocks: AccessBlock[];
      revocations: AccessRevocation[];
      /** Pass as "after" for the next page; null at the end. */
      next: string | null;
    };
  };

  /** Revokes one token, or all tokens of a subject that were issued before a time. */
  'op.access.revoke': {
    args: {
      /** The `jti` of the token. */ jti?: string;
      /** The `sub` of its tokens. */
      subject?: string;
      /** With a subject: seconds since 1970, or RFC 3339. */
      issued_before?: number | string;
    };
    result: AccessRevocation;
  };

  /** Unblocks a subject. */
  'op.access.unblock': {
    args: {
      /** The `sub` of its tokens. */ subject: string;
    };
    result: {
      /** False: it was not blocked. */ unblocked: boolean;
    };
  };

  /** Returns the content policy of your tenant; for admins also its patterns, and the decisions by room. */
  'op.casil.get': {
    args: {
      /** For operators: another tenant, or "*" for the policy of all that have none of their own. */ tenant?: string;
    };
    result: CasilSnapshot;
  };

  /** Changes settings of your tenant's content policy. If one of them is invalid, nothing changes. */
  'op.casil.reload': {
    args: {
      /** Whether to inspect at all. */ enabled?: boolean;
      /** Only report, or act. */
      mode?: 'monitor' | 'enforce';
      /** When inspection itself fails. */
      default_decision?: 'allow' | 'block';
      /** Globs of inspected places; empty: everything. */
      scope_include?: string[];
      /** Globs of places that are not inspected; takes precedence. */
      scope_exclude?: string[];
      /** How much of a message is looked at. */
      max_inspect_bytes?: number;
      /** How many patterns there may be. */
      max_patterns?: number;
      /** Payloads larger than this, with metadata, are oversize. */
      max_payload_bytes?: number;
      /** Block messages that probably contain a secret. */
      block_on_probable_secret?: boolean;
      /** Names or dotted paths of fields to redact. */
      redaction_paths?: string[];
      /** Patterns in RE2 syntax to redact. */
      redaction_patterns?: string[];
      /** Redact for subscribers and history too. */
      transport_redaction?: boolean;
      /** Globs of places whose payloads are never shown to operators. */
      never_log_payload_for?: string[];
      metadata_to_logs?: boolean;
      metadata_to_telemetry?: boolean;
      metadata_to_envelope?: boolean;
      /** For operators: another tenant, or "*" for the policy of all that have none of their own. */
      tenant?: string;
      /** Take the tenant's own policy away; without settings. */
      reset?: true;
    };
    result: CasilSnapshot;
  };

  /** Cancels a job. */
  'op.cron.cancel': { args: { job_id: string }; result: { cancelled: true; job_id: string } };

  /** Lists your jobs; for admins all of the tenant. */
  'op.cron.list': {
    args: {
      /** At most 500. */ limit?: number;
      /** The "next" of the previous answer. */
      after?: string;
    };
    result: { jobs: CronJob[]; count: number; next?: string };
  };

  /** Schedules an event: once later, repeatedly, or by a cron expression. */
  'op.cron.schedule': {
    args: {
      /** Room name, or room:channel. */ room?: string;
      /** Channel name, or room:channel. */
      channel?: string;
      /** The payload of the event. */
      payload: JsonObject;
      /** Until the first run (default 1). */
      delay_seconds?: number;
      /** Between runs: 1 or more, for admins 0.1. */
      interval_seconds?: number;
      /** Runs (default 1); 0: until cancelled. */
      repeat_count?: number;
      /** Five fields, or six with seconds first. */
      cron?: string;
      /** IANA name for "cron" (default UTC). */
      timezone?: string;
      /** Outlives your connections, and restarts where storage does (admins). */
      durable?: boolean;
      /** Fire once for runs missed while the server was down. */
      catch_up?: boolean;
    };
    result: CronJob;
  };

  /** Returns the last stored envelopes of a time range, of a channel, a room, or (admin) the whole tenant. */
  'op.history.get': {
    args: {
      /** Room name, or room:channel. */ room?: string;
      /** Channel name, or room:channel. */
      channel?: string;
      /** At most 1000. */
      limit?: number;
      /** RFC 3339 date-time; UTC without an offset. */
      since?: string;
      /** RFC 3339 date-time; UTC without an offset. */
      until?: string;
      /** The "next" of the previous answer. */
      after?: string;
    };
    result: {
      /** Oldest first. */ entries: HistoryEntry[];
      count: number;
      /** Pass as "after" for more of the range; null at the end. */
      next: string | null;
    };
  };

  /** Returns the stored envelopes of a time range in order. Refused if their sequence has a hole. */
  'op.history.replay': {
    args: {
      /** Room name, or room:channel. */ room?: string;
      /** Channel name, or room:channel. */
      channel?: string;
      /** RFC 3339 date-time; UTC without an offset. */
      from_ts: string;
      /** RFC 3339 date-time; UTC without an offset. */
      to_ts: string;
      /** Refuse a sequence with a hole (default true). */
      strict_sequence?: boolean;
      /** At most 5000. */
      limit?: number;
      /** The "next" of the previous answer. */
      after?: string;
    };
    result: {
      /** Oldest first. */ entries: HistoryEntry[];
      count: number;
      /** Pass as "after" for more of the range; null at the end. */
      next: string | null;
      latency_ms: number;
    };
  };

  /** Acquires exclusive keys for a time, all or none. With wait_ms it waits for keys that others hold. */
  'op.lease.acquire': {
    args: {
      /** 1-32 keys. */ keys: string[];
      /** Its duration from now on, unless it is renewed. */
      ttl_seconds: number;
      /** How long to wait (default 0). */
      wait_ms?: number;
      /** Outlives your connections; otherwise it is released with the last one. */
      keep?: boolean;
      /** As in op.store. Default: "lease". */
      namespace?: string;
    };
    result: {
      /** As returned by acquire. */ lease_id: string;
      /** Larger than that of every earlier lease of these keys. The protected resource must refuse smaller ones. */
      token: number;
      expires_at: string;
      /** Sorted, each once. */
      keys: string[];
    };
  };

  /** Lists your leases, and those of others whose keys you may read (store_read). */
  'op.lease.list': {
    args: {
      /** At most 500. */ limit?: number;
      /** The "next" of the previous answer. */
      after?: string;
    };
    result: {
      leases: {
        /** As returned by acquire. */ lease_id: string;
        namespace: string;
        keys: string[];
        /** Larger than that of every earlier lease of these keys. The protected resource must refuse smaller ones. */
        token: number;
        subject: string | null;
        is_own: boolean;
        keep: boolean;
        acquired_at: string;
        expires_at: string;
      }[];
      count: number;
      /** Pass as "after" for more. */
      next?: string;
    };
  };

  /** Ends a lease and frees its keys. */
  'op.lease.release': {
    args: {
      /** As returned by acquire. */ lease_id: string;
    };
    result: {
      released: true;
      /** As returned by acquire. */
      lease_id: string;
    };
  };

  /** Renews a lease from now on, for its original or another duration. */
  'op.lease.renew': {
    args: {
      /** As returned by acquire. */ lease_id: string;
      /** Its duration from now on, unless it is renewed. */
      ttl_seconds?: number;
    };
    result: {
      /** As returned by acquire. */ lease_id: string;
      /** Larger than that of every earlier lease of these keys. The protected resource must refuse smaller ones. */
      token: number;
      expires_at: string;
    };
  };

  /** Deletes signals: all, those of a source, or those of a name. */
  'op.omega.clear_events': {
    args: { substrate_id?: string; signal?: string };
    result: { removed_count: number; remaining_count: number };
  };

  /** Records a signal of a source and sends it to the lab channel. */
  'op.omega.emit_event': { args: { substrate_id: string; signal: string; payload?: JsonObject }; result: OmegaEvent };

  /** Lists the last signals, oldest first. */
  'op.omega.list_events': {
    args: {
      substrate_id?: string;
      signal?: string;
      /** At most 500. */
      limit?: number;
      /** The "next" of the previous answer, for older ones. */
      after?: string;
    };
    result: { events: OmegaEvent[]; count: number; next?: string };
  };

  /** Lists the registered sources. */
  'op.omega.list_substrates': {
    args: {
      /** At most 500. */ limit?: number;
      /** The "next" of the previous answer. */
      after?: string;
    };
    result: { substrates: OmegaSubstrate[]; count: number; next?: string };
  };

  /** Registers a source of signals. */
  'op.omega.register_substrate': {
    args: { name: string; kind: string; metadata?: JsonObject };
    result: OmegaSubstrate;
  };

  /** Returns whether the lane is on, its lab channel, limits and counts. */
  'op.omega.status': {
    args: Record<string, never>;
    result: {
      enabled: boolean;
      room: string;
      channel: string;
      limits: { max_events: number; max_substrates: number };
      counts: { substrates: number; events: number };
      /** As `room`. */
      lab_room: string;
      /** As `channel`. */
      lab_channel: string;
      max_events: number;
      max_substrates: number;
      substrate_count: number;
      event_count: number;
    };
  };

  /** Removes a source and its events. */
  'op.omega.unregister_substrate': {
    args: { substrate_id: string };
    result: { removed: true; removed_events: number };
  };

  /** Explains which rules apply to a channel, and what would happen to an event published there. Sends nothing. */
  'op.rules.explain': {
    args: {
      /** Room name, or room:channel. */ room?: string;
      /** Channel name, or room:channel. */
      channel?: string;
      /** Another principal, described like the claims of a token. */
      as?: {
        subject?: string;
        /** Default: user. */
        role?: Role;
        /** As listed in a token; without it, everything that the role allows. */
        grants?: {
          publish?: string[];
          subscribe?: string[];
          history?: string[];
          presence?: string[];
          private?: string[];
          store_read?: string[];
          store_write?: string[];
          group?: string[];
          admin?: string[];
        };
      };
      payload?: JsonObject;
    };
    result: Explanation;
  };

  /** Returns your tenant's own channel rules, and those of the configuration. */
  'op.rules.get': {
    args: Record<string, never>;
    result: {
      /** 0 before the first rules were set. */ version: number;
      rules: ChannelRule[];
      base: ChannelRule[];
    };
  };

  /** Replaces your tenant's own channel rules, on every node at once. */
  'op.rules.set': {
    args: {
      rules: ChannelRule[];
      /** The version that they replace, as returned by op.rules.get. Default: any. */
      if_version?: number;
    };
    result: {
      /** 0 before the first rules were set. */ version: number;
    };
  };

  /** Deletes a key; with if_version only if its version has not changed. */
  'op.store.delete': {
    args: {
      /** At most 256 bytes. */ key: string;
      /** 1-128 letters, digits, ".", "_", "/", "-". Default: "default". */
      namespace?: string;
      /** Only if the key has this version; 0: only if it does not exist. */
      if_version?: number;
    };
    result: { deleted: boolean };
  };

  /** Reads a key with its version. */
  'op.store.get': {
    args: {
      /** At most 256 bytes. */ key: string;
      /** 1-128 letters, digits, ".", "_", "/", "-". Default: "default". */
      namespace?: string;
    };
    result: { found: boolean; value?: unknown; version?: number; expires_at?: string };
  };

  /** Lists keys in order. Pass "next" of one answer as "after" of the next call. */
  'op.store.list': {
    args: {
      /** 1-128 letters, digits, ".", "_", "/", "-". Default: "default". */ namespace?: string;
      /** Only keys that begin with this. */
      prefix?: string;
      /** At most 500. */
      limit?: number;
      /** Only keys after this one. */
      after?: string;
      /** Also return the values and versions, as "entries". */
      values?: boolean;
    };
    result: {
      keys: string[];
      /** With "values". */
      entries?: { key: string; value: unknown; version: number; expires_at?: string }[];
      count: number;
      /** Pass as "after" for more. */
      next?: string;
    };
  };

  /** Sets a key; with if_version only if its version has not changed. */
  'op.store.set': {
    args: {
      /** At most 256 bytes. */ key: string;
      /** Any JSON. */
      value: unknown;
      /** 1-128 letters, digits, ".", "_", "/", "-". Default: "default". */
      namespace?: string;
      /** Expires after this time. */
      ttl_seconds?: number;
      /** Only if the key has this version; 0: only if it does not exist. */
      if_version?: number;
    };
    result: { namespace: string; key: string; version: number; updated: boolean };
  };

  /** Ends a watch; without a prefix all watches of the namespace. */
  'op.store.unwatch': {
    args: {
      /** 1-128 letters, digits, ".", "_", "/", "-". Default: "default". */ namespace?: string;
      /** Only keys that begin with this. */
      prefix?: string;
    };
    result: { watching: false; removed: boolean };
  };

  /** Sends this connection a system notice for every change under a prefix. */
  'op.store.watch': {
    args: {
      /** 1-128 letters, digits, ".", "_", "/", "-". Default: "default". */ namespace?: string;
      /** Only keys that begin with this. */
      prefix?: string;
    };
    result: { watching: true; namespace: string; prefix: string };
  };

  /** Lists the failed deliveries, oldest first. */
  'op.webhook.dead_letters': {
    args: {
      /** Id of a rule, as returned by register. */ rule_id: string;
      /** At most 500. */
      limit?: number;
      /** The "next" of the previous answer. */
      after?: string;
    };
    result: { dead_letters: DeadLetter[]; count: number; next?: string };
  };

  /** Lists your webhooks with their figures; for admins all of the tenant. */
  'op.webhook.list': {
    args: {
      /** At most 500. */ limit?: number;
      /** The "next" of the previous answer. */
      after?: string;
    };
    result: { rules: WebhookRule[]; count: number; next?: string };
  };

  /** Posts every matching event to a URL, in order, with retries. */
  'op.webhook.register': {
    args: {
      /** The destination: an http or https URL of a public host. */ url: string;
      /** Only events of this room, or of room:channel; without it all rooms (admins). */
      room?: string;
      /** Only events of this channel of the room. */
      channel?: string;
      /** Headers to send along, name to value; at most 32. */
      headers?: Record<string, string>;
      /** How long a request may take; 2 unless given. */
      timeout_seconds?: number;
      /** Signs requests: whsec_ and the base64 of 24 to 64 random bytes. */
      secret?: string;
      /** Outlives your connections, and restarts where storage does (admins). */
      durable?: boolean;
      /** What to report: messages (default), or who joins and leaves, which needs the grant `presence`. */
      on?: ('message' | 'client_joined' | 'client_left' | 'occupied' | 'vacated')[];
    };
    result: WebhookRule;
  };

  /** Delivers dead letters again: all of a rule, or one. */
  'op.webhook.retry': {
    args: {
      /** Id of a rule, as returned by register. */ rule_id: string;
      /** Only this one. */
      delivery_id?: string;
    };
    result: { requeued: number };
  };

  /** Removes a webhook with its waiting events. */
  'op.webhook.unregister': {
    args: {
      /** Id of a rule, as returned by register. */ rule_id: string;
    };
    result: { removed: true; rule_id: string };
  };

  /** Answers at once, and returns "echo". */
  ping: {
    args: {
      /** Any JSON; returned unchanged. */ echo?: unknown;
    };
    result: { pong: true; echo?: unknown; timestamp: string };
  };

  /** Changes the state of this client that presence shows in a channel or room. */
  presence_update: {
    args: {
      /** Room name, or room:channel. */ room?: string;
      /** Channel name, room:channel, or a pattern: `*` matches one segment, a final `>` the rest. */
      channel?: string;
      /** Any JSON of at most 4,096 bytes; null: none. */
      state: unknown;
    };
    result: { updated: true };
  };

  /** Renews the token of this connection; subject and tenant must be the same. New grants apply at once. */
  refresh_token: {
    args: {
      /** The new token. */ token: string;
    };
    result: {
      role: Role;
      expires_at: string | null;
      /** Memberships that the new token does not allow, as room:channel, or of groups as room:channel/group. */
      left: string[];
    };
  };

  /** Returns figures of the server; for admins also the first 500 channels and clients of the tenant. */
  status: { args: Record<string, never>; result: ServerStatus };

  /** Appends to a token stream that you opened. An empty text only keeps it open. */
  'stream.append': {
    args: {
      /** Id of the stream. */ stream_id: string;
      text: string;
    };
    result: {
      /** Its current length, in UTF-16 units. */ offset: number;
    };
  };

  /** Asks the writer of a token stream to stop. The writer decides. */
  'stream.cancel': {
    args: {
      /** Id of the stream. */ stream_id: string;
    };
    result: {
      stream_id: string;
      /** Notified connections of the writer. */
      told: number;
    };
  };

  /** Ends a token stream that you opened, and stores its text as one event. */
  'stream.close': {
    args: {
      /** Id of the stream. */ stream_id: string;
      /** How it ended. */
      status: 'complete' | 'cancelled' | 'failed';
    };
    result: {
      stream_id: string;
      /** The sequence of the event with the whole text; 0 if a rule stores none. */
      sequence: number;
      epoch: string;
      stored: 'none' | 'memory' | 'disk' | 'replicated';
      /** Connections that received its end. */
      delivered: number;
      /** UTF-16 units. */
      length: number;
    };
  };

  /** Lists the open token streams that you may read. */
  'stream.list': {
    args: {
      /** Room name, or room:channel. */ room?: string;
      /** Channel name, or room:channel. */
      channel?: string;
      /** At most 500. */
      limit?: number;
      /** The "next" of the previous answer. */
      after?: string;
    };
    result: {
      streams: StreamSummary[];
      /** Pass as "after" for the next page; null at the end. */
      next: string | null;
    };
  };

  /** Opens a token stream at a channel. Readers receive its text while it grows. Its writer may open it again to continue. */
  'stream.open': {
    args: {
      /** Room name, or room:channel. */ room?: string;
      /** Channel name, or room:channel. */
      channel?: string;
      /** Id of the stream. Default: an unguessable one. */
      id?: string;
      /** After so long without an append it ends as "orphaned" (default 30). */
      ttl_seconds?: number;
    };
    result: {
      stream_id: string;
      room: string;
      channel: string;
      /** Its current length, if it was open already. */
      offset?: number;
    };
  };

  /** Changes the given fields of an explicitly created channel. */
  update_channel: {
    args: {
      /** Room name, or room:channel. */ room?: string;
      /** Channel name, or room:channel. */
      channel?: string;
      /** The purpose of the channel. */
      description?: string;
      /** A custom word for its kind. */
      type?: string;
      /** How many envelopes it keeps, and for how long. Takes precedence over every rule. */
      history?: { size?: number; ttl_seconds?: number };
      /** Keep it while it is idle, also if it was created automatically. */
      retain?: boolean;
    };
    result: ChannelRecord;
  };
}

export type CommandName = keyof Commands;
export type CommandArgs<N extends CommandName> = Commands[N]['args'];
export type CommandResult<N extends CommandName> = Commands[N]['result'];

/** The names of all commands, in their order; aliases are left out. */
export const COMMAND_NAMES: readonly CommandName[] = [
  'announce',
  'channel_info',
  'create_channel',
  'delete_channel',
  'delivery.ack',
  'delivery.extend',
  'delivery.nack',
  'delivery.reject',
  'group.create',
  'group.dead_letters',
  'group.delete',
  'group.info',
  'group.list',
  'group.pause',
  'group.pull',
  'group.resume',
  'group.retry',
  'group.seek',
  'help',
  'history',
  'identify',
  'join_channel',
  'leave_channel',
  'list_channels',
  'list_clients',
  'list_rooms',
  'op.access.block',
  'op.access.disconnect',
  'op.access.list',
  'op.access.revoke',
  'op.access.unblock',
  'op.casil.get',
  'op.casil.reload',
  'op.cron.cancel',
  'op.cron.list',
  'op.cron.schedule',
  'op.history.get',
  'op.history.replay',
  'op.lease.acquire',
  'op.lease.list',
  'op.lease.release',
  'op.lease.renew',
  'op.omega.clear_events',
  'op.omega.emit_event',
  'op.omega.list_events',
  'op.omega.list_substrates',
  'op.omega.register_substrate',
  'op.omega.status',
  'op.omega.unregister_substrate',
  'op.rules.explain',
  'op.rules.get',
  'op.rules.set',
  'op.store.delete',
  'op.store.get',
  'op.store.list',
  'op.store.set',
  'op.store.unwatch',
  'op.store.watch',
  'op.webhook.dead_letters',
  'op.webhook.list',
  'op.webhook.register',
  'op.webhook.retry',
  'op.webhook.unregister',
  'ping',
  'presence_update',
  'refresh_token',
  'status',
  'stream.append',
  'stream.cancel',
  'stream.close',
  'stream.list',
  'stream.open',
  'update_channel',
];
