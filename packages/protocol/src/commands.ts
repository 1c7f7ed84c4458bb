// Made from the declarations of the commands by `npm run docs`; do not edit.
import type { ClientType, Envelope, JsonObject, Role, SenderRecord } from './envelope.ts';

export interface MemberRecord {
  client_id: string;
  client_type: ClientType;
  screen_name: string | null;
  sender: SenderRecord;
  /** Empty when only another node knows it. */
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
  /** Made by a join or an event, not by create_channel. */
  auto_created: boolean;
  description: string | null;
  history: { size: number; ttl_seconds: number };
  /** Whether the channel outlives its members although nobody made it by hand. */
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
  /** Who made it: this one and admins may end it. */
  owner: string;
  created_at: string;
  paused: boolean;
}

/** A group, its settings and where it stands. */
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
  /** Who made it: this one and admins may end it. */
  owner: string;
  created_at: string;
  paused: boolean;
  /** Everything up to there is settled; for a room or a pattern, in its room-wide stream. */
  position: Position;
  /** The same by channel. */
  positions: Record<string, Position>;
  /** Events that nobody has: unread ones, and those that wait for another attempt. */
  pending: number;
  /** Events that members have and have not answered for. */
  unacked: number;
  /** Age of the oldest event that is not settled. */
  oldest_ms: number | null;
  /** On all nodes. */
  members: number;
  dead_letters: number;
  handled: number;
  /** Those that became dead letters. */
  rejected: number;
  /** Those whose time was over before somebody took them. */
  expired: number;
  /** Those that retention took before the group had read them. */
  lost: number;
}

/** What a client has seen of a stream; an empty epoch: nothing is known. */
export interface Position {
  sequence: number;
  epoch: string;
}

export interface CommandDescription {
  name: string;
  aliases: string[];
  description: string;
  /** The least role that may call it. */
  role: Role;
  /** JSON Schema (2020-12) of `args`. */
  args: JsonObject;
  /** JSON Schema of the answer; only when one command was asked for. */
  result?: JsonObject;
}

/** What an agent is and can do. */
export interface AgentCard {
  /** Found by id, name or tag. */
  skills?: { id: string; name: string; description?: string; tags?: string[]; [key: string]: unknown }[];
  [key: string]: unknown;
}

/** What others may know of a connected client. */
export interface ClientRecord {
  client_id: string;
  client_type: ClientType;
  screen_name: string | null;
  avatar: string | null;
  personality: string | null;
  /** What receivers are told of it. */
  sender: SenderRecord;
  /** Room name to the channels joined there; `*` is a room subscription. */
  rooms: Record<string, string[]>;
  connected_at: string;
  last_activity: string;
  node: string;
  /** What it told of itself; only where clients are looked for. */
  card?: AgentCard;
  /** As it told; `lapsed` when it did not say so again in time. */
  state?: string;
  note?: string;
}

export interface JoinResult {
  room: string;
  channel: string;
  /** `matching`: all channels that match the pattern; `granted`: of the room what the grants cover. */
  scope?: 'matching' | 'granted';
  /** The last sequence before live traffic; a room or pattern tells the room-wide stream's. */
  sequence: number;
  /** Empty while the storage is away: nothing is known of the stream. */
  epoch: string;
  members: number;
  /** The group that was joined, whose members are counted. */
  group?: string;
  /** Only with `since`: whether every missed envelope follows. False: reload. */
  recovered?: boolean;
  /** Where the channel and the room-wide stream (`*`) stand; of a room, all of its channels. */
  positions?: Record<string, Position>;
  /** Only with `presence`: who is there. */
  presence?: PresenceSnapshot;
}

/** Who is there; the notices that follow keep it true. */
export interface PresenceSnapshot {
  /** The next notice has one more. */ version: number;
  /** At most 500. */
  members: PresenceMember[];
  /** How many there are, on all nodes. */
  count: number;
  /** There are more than are told by name: notices give the number alone. */
  counts_only?: true;
}

export interface PresenceMember {
  client_id: string;
  sender: SenderRecord;
  /** What it told of itself with the join or `presence_update`; null: nothing. */
  state: unknown;
  joined_at: string;
  /** What it told of itself with `identify`; `lapsed` when it did not say so again in time. */
  agent?: { state?: string; note?: string };
  /** In a room's presence: where in the room; `*` is a room subscription. */
  channel?: string;
}

export interface ChannelSummary {
  room: string;
  channel: string;
  /** How many clients are members, in the whole cluster. */
  members: number;
  /** Empty when only another node knows it. */
  created_at: string;
  type: string;
  /** Built in: cannot be deleted. */
  hardcoded: boolean;
  /** The last that was given; in `status` it and what is kept are left out. */
  sequence?: number;
  /** Events that are kept; left out while the storage is away. */
  events?: number;
  /** UTF-8 bytes of these, as `history.bytes` of a rule counts them; left out likewise. */
  bytes?: number;
}

/** A subject that is kept out. */
export interface AccessBlock {
  /** The `sub` of its tokens. */ subject: string;
  reason: string;
  /** Null: until it is taken back. */
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

/** The policy in force for a tenant. */
export interface CasilSnapshot {
  /** Whether to inspect at all. */ enabled: boolean;
  /** Only tell, or act. */
  mode: 'monitor' | 'enforce';
  /** When inspection itself fails. */
  default_decision: 'allow' | 'block';
  /** Globs of what is inspected; empty: everything. */
  scope_include: string[];
  /** Globs of what is not; wins over the other. */
  scope_exclude: string[];
  /** How much of a message is looked at. */
  max_inspect_bytes: number;
  /** How many patterns there may be. */
  max_patterns: number;
  /** Payloads larger than this, with metadata, are oversize. */
  max_payload_bytes: number;
  /** Block what seems to hold a secret. */
  block_on_probable_secret: boolean;
  /** Names or dotted paths of fields to redact. */
  redaction_paths: string[];
  /** Patterns in RE2 syntax to redact; for admins. */
  redaction_patterns?: string[];
  /** Redact for subscribers and history too. */
  transport_redaction: boolean;
  /** Globs of what is never shown to operators. */
  never_log_payload_for: string[];
  metadata_to_logs: boolean;
  metadata_to_telemetry: boolean;
  metadata_to_envelope: boolean;
  /** Grows with every policy, of whichever tenant, that was put in force on the node. */
  revision: number;
  loaded_at: string;
  /** Whether the tenant has no policy of its own and so has the server's. */
  inherited: boolean;
  /** What was decided in each room since the start; for admins. */
  decisions?: CasilRoomDecisions[];
}

/** Outcomes of one kind in one room. */
export interface CasilRoomDecisions {
  /** `other rooms` beyond the hundredth; empty for what went to no room. */ room: string;
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

/** What would come of a publication. */
export interface Explanation {
  /** Those that match, the least specific first. */ rules: { match: string; from: 'file' | 'store' }[];
  /** What holds there: by rules, by the channel itself or by the configuration. */
  effective: {
    /** How much is kept. */
    history?: {
      /** Envelopes. */ size?: number;
      /** UTF-8 bytes of all together. */
      bytes?: number;
      ttl_seconds?: number;
    };
    /** Keep the last event without time limit, for joins with `last`. */
    retain_last?: boolean;
    /** Whether a join or an event makes the channel. */
    auto_create?: boolean;
    /** Who may publish: whom the grants allow, members only, or only the server and its HTTP keys. */
    publish?: 'granted' | 'members' | 'nobody';
    /** Forced on, or forbidden. */
    presence?: boolean;
    /** Forced on, or forbidden. */
    echo?: boolean;
    /** Live only: forced on, or forbidden. */
    ephemeral?: boolean;
    /** UTF-8 bytes of a payload. */
    max_message_bytes?: number;
    /** Events of one sender in one channel. */
    rate_per_second?: number;
    /** How long an id counts as sent. */
    dedupe_seconds?: number;
    /** What payloads of the channel look like. */
    schema?: {
      /** A JSON Schema (2020-12) of the payload. */ schema: JsonObject | boolean;
      /** Tell only, or refuse with SCHEMA_MISMATCH. */
      mode: 'warn' | 'enforce';
    };
    /** Another mode of content inspection. */
    casil?: 'off' | 'monitor' | 'enforce';
    /** Rest after so long without members and traffic. */
    idle_seconds?: number;
    /** Neither count nor age bounds what is kept, bytes alone do: groups may come late. */
    keep_for_groups?: boolean;
    /** Longest chain of causes. */
    max_hops?: number;
    /** Asks a backend before the fact. */
    hook?: {
      /** What the backend is asked about. */ on: ('join' | 'publish')[];
      /** Where the question is posted. */
      url: string;
      /** 500 unless given. */
      timeout_ms?: number;
      /** What holds when it does not answer; deny unless given. */
      on_failure?: 'deny' | 'allow';
      /** How long a join keeps its answer; 0 unless given. */
      cache_seconds?: number;
      /** Signs the question. */
      secret?: string;
    };
  };
  /** By field, the `match` of the rule that it comes from. */
  origins: Record<string, string>;
  /** What role and grants allow. */
  may: { publish: boolean; subscribe: boolean; history: boolean; presence: boolean };
  publish: {
    allowed: boolean;
    error_code?: string;
    reason?: string;
    casil?: {
      decision: 'ALLOW' | 'ALLOW_WITH_REDACTION' | 'BLOCK';
      reason_code: string;
      /** Ids of what matched, never the text. */
      rules: string[];
    };
    schema?: { ok: boolean; path?: string; expected?: string };
  };
  /** Backends that are asked before somebody connects, reads there, publishes there. */
  hooks: { on: 'connect' | 'join' | 'publish'; host: string; on_failure: 'deny' | 'allow' }[];
  receivers: {
    /** Of the node that was asked. */ connections: number;
    /** For operators: subjects or client ids, at most 100. */
    names?: string[];
    /** Groups and webhooks that read the channel, at most 100. */
    groups: {
      group?: string;
      /** Id of its rule. */
      webhook?: string;
      /** What it reads, as room:channel. */
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
    /** UTF-8 bytes of all together. */
    bytes?: number;
    ttl_seconds?: number;
  };
  /** Keep the last event without time limit, for joins with `last`. */
  retain_last?: boolean;
  /** Whether a join or an event makes the channel. */
  auto_create?: boolean;
  /** Who may publish: whom the grants allow, members only, or only the server and its HTTP keys. */
  publish?: 'granted' | 'members' | 'nobody';
  /** Forced on, or forbidden. */
  presence?: boolean;
  /** Forced on, or forbidden. */
  echo?: boolean;
  /** Live only: forced on, or forbidden. */
  ephemeral?: boolean;
  /** UTF-8 bytes of a payload. */
  max_message_bytes?: number;
  /** Events of one sender in one channel. */
  rate_per_second?: number;
  /** How long an id counts as sent. */
  dedupe_seconds?: number;
  /** What payloads of the channel look like. */
  schema?: {
    /** A JSON Schema (2020-12) of the payload. */ schema: JsonObject | boolean;
    /** Tell only, or refuse with SCHEMA_MISMATCH. */
    mode: 'warn' | 'enforce';
  };
  /** Another mode of content inspection. */
  casil?: 'off' | 'monitor' | 'enforce';
  /** Rest after so long without members and traffic. */
  idle_seconds?: number;
  /** Neither count nor age bounds what is kept, bytes alone do: groups may come late. */
  keep_for_groups?: boolean;
  /** Longest chain of causes. */
  max_hops?: number;
  /** Asks a backend before the fact. */
  hook?: {
    /** What the backend is asked about. */ on: ('join' | 'publish')[];
    /** Where the question is posted. */
    url: string;
    /** 500 unless given. */
    timeout_ms?: number;
    /** What holds when it does not answer; deny unless given. */
    on_failure?: 'deny' | 'allow';
    /** How long a join keeps its answer; 0 unless given. */
    cache_seconds?: number;
    /** Signs the question. */
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
  /** The first membership; null when none was asked for. */
  room: string | null;
  channel: string | null;
  server: { name: string; version: string; protocol: string; node: string; http?: string };
  /** What the server can do beyond the first parts of the protocol. */
  features: string[];
  limits: { max_message_bytes: number; ping_interval_ms: number };
  /** Over SSE: what this client posts its envelopes to. A secret of its own. */
  session?: string;
}

/** The server is about to stop. */
export interface ShutdownNotice {
  event: 'shutdown';
  /** How long this client should wait before it connects again. */
  reconnect_after_ms: number;
}

/** The connection ends with its token, unless that is renewed. */
export interface TokenExpiringNotice {
  event: 'token_expiring';
  expires_at: string;
  expires_in_ms: number;
}

/** An administrator’s word to all who are there. */
export interface AnnouncementNotice {
  event: 'announcement';
  announcement_id: string;
  /** What the administrator said. */
  announcement: JsonObject;
}

/** An administrator made this client a member. */
export interface JoinedNotice {
  event: 'joined';
  room: string;
  channel: string;
  sequence: number;
  epoch: string;
  /** As a join answers them. */
  positions?: Record<string, Position>;
}

/** This client was taken out of a channel or room. */
export interface MembershipRevokedNotice {
  event: 'membership_revoked';
  room: string;
  channel: string;
  /** The group that it was taken out of. */
  group?: string;
  reason: string;
}

/** History does not hold all that was sent here. */
export interface HistoryGapNotice {
  event: 'history_gap';
  room: string;
  channel: string;
  /** The last sequence before the gap, when it is known. */
  after_sequence?: number;
}

/** History dropped events before a group had read them. */
export interface GroupLostNotice {
  event: 'group_lost';
  room: string;
  channel: string;
  group: string;
  /** How many; 0 when nobody knows. */
  lost: number;
}

/** To those who subscribe to the room. */
export interface ChannelCreatedNotice {
  event: 'channel_created';
  room: string;
  channel: string;
  created_by: string;
}

/** To those who subscribe to the room. */
export interface ChannelDeletedNotice {
  event: 'channel_deleted';
  room: string;
  channel: string;
}

/** Who came, changed and went; to members that asked for presence. */
export interface PresenceNotice {
  event: 'presence';
  room: string;
  /** `*`: the presence of the whole room, whose records name their channel. */
  channel: string;
  /** One more than in the notice before, or than in the answer to the join. */
  version: number;
  /** How many there are now. */
  members: number;
  joined: PresenceMember[];
  updated: PresenceUpdate[];
  left: PresenceDeparture[];
  /** There are too many to be told by name; the lists are empty. */
  counts_only?: true;
  /** `joined` is the whole set, in place of what was known; the version counts on from here. */
  reset?: true;
}

export interface PresenceUpdate {
  client_id: string;
  sender: SenderRecord;
  /** What it told of itself with the join or `presence_update`; null: nothing. */
  state: unknown;
  joined_at: string;
  /** What it told of itself with `identify`; `lapsed` when it did not say so again in time. */
  agent?: { state?: string; note?: string };
  /** In a room's presence: where in the room; `*` is a room subscription. */
  channel?: string;
  /** It came back on another connection, in place of this client. */
  previous_id?: string;
}

export interface PresenceDeparture {
  client_id: string;
  sender: SenderRecord;
  /** What it told of itself with the join or `presence_update`; null: nothing. */
  state: unknown;
  joined_at: string;
  /** What it told of itself with `identify`; `lapsed` when it did not say so again in time. */
  agent?: { state?: string; note?: string };
  /** In a room's presence: where in the room; `*` is a room subscription. */
  channel?: string;
  /** It said so; its line broke and it did not come back in time; its node died. */
  cause: 'left' | 'lost' | 'node_lost';
}

/** To whoever writes a token stream: a reader asks it to stop. */
export interface StreamCancelNotice {
  event: 'stream_cancel';
  stream_id: string;
  room: string;
  channel: string;
  /** Who asks for it. */
  by: SenderRecord;
}

/** A key changed that this connection watches. */
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
  /** Sends a notice to the clients in a room, or to all; an operator’s "*" goes to all tenants. */
  announce: {
    args: {
      /** Room name; "*", or none, for everybody. */ room?: string;
      /** What is announced. */
      payload: JsonObject;
    };
    result: {
      announcement_id: string;
      /** Those of this node that were told. */
      connections: number;
    };
  };

  /** Tells what a channel is, who is in it and where its stream stands. */
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
      /** Made by a join or an event, not by create_channel. */
      auto_created: boolean;
      description: string | null;
      history: { size: number; ttl_seconds: number };
      /** Whether the channel outlives its members although nobody made it by hand. */
      retain: boolean;
      /** The first 500. */
      members: MemberRecord[];
      /** Members, on all nodes. */
      count: number;
      /** Where the stream stands. */
      sequence: number;
      epoch: string;
      /** Events that are kept; left out while the storage is away. */
      events?: number;
      /** UTF-8 bytes of these, as `history.bytes` of a rule counts them; left out likewise. */
      bytes?: number;
      /** JSON Schema that a rule sets for what is published there. */
      schema?: JsonObject;
    };
  };

  /** Makes a channel that stays until it is deleted, or takes over one that made itself. */
  create_channel: {
    args: {
      /** Room name, or room:channel. */ room?: string;
      /** Channel name, or room:channel. */
      channel?: string;
      /** What the channel is for. */
      description?: string;
      /** A word of your own for its kind. */
      type?: string;
      /** How many envelopes it keeps, and for how long; it comes before every rule. */
      history?: { size?: number; ttl_seconds?: number };
      /** Keep it when it is idle, also if it was made by itself before. */
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

  /** Events of a group are handled; answered once that is stored. */
  'delivery.ack': {
    args: {
      /** "token" of each delivery's metadata. */ tokens: string[];
    };
    result: {
      /** Tokens that held their lease. */ done: string[];
      /** Tokens whose lease was over: they did nothing. */
      lost: string[];
    };
  };

  /** The leases on events of a group last their whole time from now on. */
  'delivery.extend': {
    args: {
      /** "token" of each delivery's metadata. */ tokens: string[];
    };
    result: {
      /** Tokens that held their lease. */ done: string[];
      /** Tokens whose lease was over: they did nothing. */
      lost: string[];
    };
  };

  /** Events of a group could not be handled: they are handed out again later. */
  'delivery.nack': {
    args: {
      /** "token" of each delivery's metadata. */ tokens: string[];
      /** The wait until then; the group's backoff when missing. */
      delay_seconds?: number;
      /** What a dead letter of it will tell. */
      reason?: string;
    };
    result: {
      /** Tokens that held their lease. */ done: string[];
      /** Tokens whose lease was over: they did nothing. */
      lost: string[];
    };
  };

  /** Events of a group can never be handled: they become dead letters at once. */
  'delivery.reject': {
    args: {
      /** "token" of each delivery's metadata. */ tokens: string[];
      /** What the dead letter tells. */
      reason: string;
    };
    result: {
      /** Tokens that held their lease. */ done: string[];
      /** Tokens whose lease was over: they did nothing. */
      lost: string[];
    };
  };

  /** Makes a group on a channel, a room or a pattern; one with the same settings is simply answered. */
  'group.create': {
    args: {
      /** Room name, or room:channel. */ room?: string;
      /** Channel name, room:channel, or a pattern: `*` stands for one segment, a last `>` for the rest. */
      channel?: string;
      /** Name of the group on its source. */
      group: string;
      /** With what comes from now on (default), all that is kept, after a sequence, or from a time on. */
      start?:
        | 'new'
        | 'all'
        | { sequence: number; epoch: string }
        | {
            /** RFC 3339 date-time; UTC when it has no offset. */ time: string;
          };
      /** How long a member has for one event before it is handed out again (default 30). */
      ack_wait_seconds?: number;
      /** Hand-outs of one event, after which it is a dead letter (default 5). */
      max_attempts?: number;
      /** The wait before the second, third, … attempt; the last for all further ones (default 1, 5, 30). */
      backoff_seconds?: number[];
      /** Events out or waiting for another attempt, beyond which the group reads no further (default 256). */
      max_unacked?: number;
      /** Where dead letters are published, as room:channel (default: the same room, the channel and ".dead"). */
      dead_letter?: string;
      /** Path of a value; events that share it stay in order with one member. */
      key?: string;
      /** Delete the group when nobody was a member or asked for anything for so long. */
      expires_seconds?: number;
    };
    result: GroupSummary;
  };

  /** Lists the events that had all their attempts or were rejected, oldest first. */
  'group.dead_letters': {
    args: {
      /** Room name, or room:channel. */ room?: string;
      /** Channel name, room:channel, or a pattern: `*` stands for one segment, a last `>` for the rest. */
      channel?: string;
      /** Name of the group on its source. */
      group: string;
      /** At most 500. */
      limit?: number;
      /** "next" of the answer before. */
      after?: string;
    };
    result: {
      /** Each with what became of it in metadata.dead. */ messages: Envelope[];
      /** Pass as "after" for the next page; null at the end. */
      next: string | null;
    };
  };

  /** Deletes a group with its position and its dead letters; for whoever made it, and admins. */
  'group.delete': {
    args: {
      /** Room name, or room:channel. */ room?: string;
      /** Channel name, room:channel, or a pattern: `*` stands for one segment, a last `>` for the rest. */
      channel?: string;
      /** Name of the group on its source. */
      group: string;
    };
    result: { deleted: true };
  };

  /** Tells the settings of a group and where it stands. */
  'group.info': {
    args: {
      /** Room name, or room:channel. */ room?: string;
      /** Channel name, room:channel, or a pattern: `*` stands for one segment, a last `>` for the rest. */
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
      /** Channel name, room:channel, or a pattern: `*` stands for one segment, a last `>` for the rest. */
      channel?: string;
      /** At most 500. */
      limit?: number;
      /** "next" of the answer before. */
      after?: string;
    };
    result: {
      groups: GroupSummary[];
      /** Pass as "after" for the next page; null at the end. */
      next: string | null;
    };
  };

  /** Hands out nothing more of a group until it is resumed; for whoever made it, and admins. */
  'group.pause': {
    args: {
      /** Room name, or room:channel. */ room?: string;
      /** Channel name, room:channel, or a pattern: `*` stands for one segment, a last `>` for the rest. */
      channel?: string;
      /** Name of the group on its source. */
      group: string;
    };
    result: { paused: boolean };
  };

  /** Takes events of a group without being a member; the leases are yours. */
  'group.pull': {
    args: {
      /** Room name, or room:channel. */ room?: string;
      /** Channel name, room:channel, or a pattern: `*` stands for one segment, a last `>` for the rest. */
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
      /** What waits after these. */
      pending: number;
    };
  };

  /** Goes on with a group that was paused; for whoever made it, and admins. */
  'group.resume': {
    args: {
      /** Room name, or room:channel. */ room?: string;
      /** Channel name, room:channel, or a pattern: `*` stands for one segment, a last `>` for the rest. */
      channel?: string;
      /** Name of the group on its source. */
      group: string;
    };
    result: { paused: boolean };
  };

  /** Hands dead letters of a group out again, with their first attempt. */
  'group.retry': {
    args: {
      /** Room name, or room:channel. */ room?: string;
      /** Channel name, room:channel, or a pattern: `*` stands for one segment, a last `>` for the rest. */
      channel?: string;
      /** Name of the group on its source. */
      group: string;
      /** Ids of messages; all when missing. */
      ids?: string[];
    };
    result: { retried: number };
  };

  /** Lets a group go on from another place; for whoever made it, and admins. */
  'group.seek': {
    args: {
      /** Room name, or room:channel. */ room?: string;
      /** Channel name, room:channel, or a pattern: `*` stands for one segment, a last `>` for the rest. */
      channel?: string;
      /** Name of the group on its source. */
      group: string;
      /** The next event handed out is the one after it. */
      sequence?: number;
      /** RFC 3339 date-time; UTC when it has no offset. */
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

  /** Messages of a channel, or with a room alone of all its channels, merged by time; waits for the first. */
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
            /** RFC 3339 date-time; UTC when it has no offset. */ time: string;
          }
        | Record<string, Position>;
      /** How long to wait for the first message when there is none. */
      wait_ms?: number;
    };
    result: {
      /** Oldest first. */ messages: Envelope[];
      /** Pass as "since" to read on; of a room, a position by channel. */
      position: Position | Record<string, Position>;
      /** Only with "since": false when some of what was missed is no longer kept. */
      recovered?: boolean;
      /** Pass as "after" for newer ones; null at the end. */
      next: number | Record<string, number> | null;
      /** Pass as "before" for older ones; null at the beginning. */
      previous: number | Record<string, number> | null;
    };
  };

  /** Changes how this client is known to others. */
  identify: {
    args: {
      /** What kind of client this is. */ client_type?: 'human' | 'ai-agent' | 'dashboard' | 'service';
      /** Name shown to others. */
      screen_name?: string;
      /** URL or text of a picture. */
      avatar?: string;
      /** How an agent describes itself. */
      personality?: string;
      /** What an agent is and can do, at most 8,192 bytes; null: nothing. */
      card?: AgentCard | null;
      /** `idle`, `busy`, or a word of your own; null: none. */
      state?: string | null;
      /** What it is busy with, say; null: nothing. */
      note?: string | null;
      /** How long the state holds unless it is told again; then it is `lapsed`. */
      ttl_seconds?: number;
    };
    result: ClientRecord;
  };

  /** Joins a channel, the channels that match a pattern, or with a room alone (or "*") all of it; resumes after "since". */
  join_channel: {
    args: {
      /** Room name, or room:channel. */ room?: string;
      /** Channel name, room:channel, or a pattern: `*` stands for one segment, a last `>` for the rest. */
      channel?: string;
      since?: Position | Record<string, Position>;
      /** Also receive what this client sends. */
      echo?: boolean;
      /** Be told who is there and of every change; with "state" also what others are told of this client. */
      presence?:
        | boolean
        | {
            /** Any JSON of at most 4,096 bytes; null: nothing. */ state?: unknown;
          };
      /** Refuse a room or pattern unless the grants cover all of it; else what they cover is delivered. */
      strict?: boolean;
      /** Replay the last N envelopes first. */
      history?: number;
      /** First of all the value that each channel retains, if a rule has it kept. */
      last?: boolean;
      /** Take part in this group instead: each event goes to one of its members. */
      group?: string;
      /** With "group": events taken before the first is answered for (default 16). */
      prefetch?: number;
    };
    result: JoinResult;
  };

  /** Leaves a channel or a room subscription. */
  leave_channel: {
    args: {
      /** Room name, or room:channel. */ room?: string;
      /** Channel name, room:channel, or a pattern: `*` stands for one segment, a last `>` for the rest. */
      channel?: string;
      /** Leave this group of it. */
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
      /** "next" of the answer before. */
      after?: string;
    };
    result: {
      channels: ChannelSummary[];
      /** Pass as "after" for the next page; null at the end. */
      next: string | null;
    };
  };

  /** Finds clients by name, skill or state, on all nodes; those that share a place with you. */
  list_clients: {
    args: {
      /** Its subject or screen name, in any case. */ name?: string;
      /** Id, name or tag of a skill of its card, in any case. */
      skill?: string;
      state?: string;
      /** At most 100. */
      limit?: number;
      /** "next" of the answer before. */
      after?: string;
    };
    result: {
      /** With their cards. */ clients: ClientRecord[];
      /** Pass as "after" for the next page; null at the end. */
      next: string | null;
    };
  };

  /** Lists the rooms with their channels and members counted. */
  list_rooms: {
    args: {
      /** At most 500. */ limit?: number;
      /** "next" of the answer before. */
      after?: string;
    };
    result: {
      rooms: { room: string; channels: number; members: number; hardcoded: boolean }[];
      /** Pass as "after" for the next page; null at the end. */
      next: string | null;
    };
  };

  /** Keeps a subject out, on every node at once; its connections are closed (4403). */
  'op.access.block': {
    args: {
      /** The `sub` of its tokens. */ subject: string;
      /** Told to the subject. */
      reason: string;
      /** RFC 3339; until it is taken back unless given. */
      until?: string;
    };
    result: AccessBlock;
  };

  /** Closes the connections of a subject, or one connection, on whatever node (4403); it may come back. */
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

  /** Lists who and what is kept out. */
  'op.access.list': {
    args: {
      limit?: number;
      /** "next" of the answer before. */
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

  /** Lets a blocked subject in again. */
  'op.access.unblock': {
    args: {
      /** The `sub` of its tokens. */ subject: string;
    };
    result: {
      /** False: it was not blocked. */ unblocked: boolean;
    };
  };

  /** Shows the content policy in force for your tenant; to admins also its patterns, and what was decided in each room. */
  'op.casil.get': {
    args: {
      /** For operators: another tenant, or "*" for the policy of all that have none of their own. */ tenant?: string;
    };
    result: CasilSnapshot;
  };

  /** Changes settings of your tenant's content policy; when one of them is wrong, nothing changes. */
  'op.casil.reload': {
    args: {
      /** Whether to inspect at all. */ enabled?: boolean;
      /** Only tell, or act. */
      mode?: 'monitor' | 'enforce';
      /** When inspection itself fails. */
      default_decision?: 'allow' | 'block';
      /** Globs of what is inspected; empty: everything. */
      scope_include?: string[];
      /** Globs of what is not; wins over the other. */
      scope_exclude?: string[];
      /** How much of a message is looked at. */
      max_inspect_bytes?: number;
      /** How many patterns there may be. */
      max_patterns?: number;
      /** Payloads larger than this, with metadata, are oversize. */
      max_payload_bytes?: number;
      /** Block what seems to hold a secret. */
      block_on_probable_secret?: boolean;
      /** Names or dotted paths of fields to redact. */
      redaction_paths?: string[];
      /** Patterns in RE2 syntax to redact. */
      redaction_patterns?: string[];
      /** Redact for subscribers and history too. */
      transport_redaction?: boolean;
      /** Globs of what is never shown to operators. */
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

  /** Ends a job. */
  'op.cron.cancel': { args: { job_id: string }; result: { cancelled: true; job_id: string } };

  /** Lists your jobs; for admins all of the tenant. */
  'op.cron.list': {
    args: {
      /** At most 500. */ limit?: number;
      /** The "next" of the answer before. */
      after?: string;
    };
    result: { jobs: CronJob[]; count: number; next?: string };
  };

  /** Publishes an event later, repeatedly, or as a cron expression says. */
  'op.cron.schedule': {
    args: {
      /** Room name, or room:channel. */ room?: string;
      /** Channel name, or room:channel. */
      channel?: string;
      /** What the event carries. */
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
      /** Fire once for what was missed while down. */
      catch_up?: boolean;
    };
    result: CronJob;
  };

  /** The last stored envelopes of a time range, of a channel, a room, or (admin) the whole tenant. */
  'op.history.get': {
    args: {
      /** Room name, or room:channel. */ room?: string;
      /** Channel name, or room:channel. */
      channel?: string;
      /** At most 1000. */
      limit?: number;
      /** RFC 3339 date-time; UTC when it has no offset. */
      since?: string;
      /** RFC 3339 date-time; UTC when it has no offset. */
      until?: string;
      /** "next" of the answer before. */
      after?: string;
    };
    result: {
      /** Oldest first. */ entries: HistoryEntry[];
      count: number;
      /** Pass as "after" for more of the range; null at the end. */
      next: string | null;
    };
  };

  /** Stored envelopes of a time range in their order, refused when their sequence has a hole. */
  'op.history.replay': {
    args: {
      /** Room name, or room:channel. */ room?: string;
      /** Channel name, or room:channel. */
      channel?: string;
      /** RFC 3339 date-time; UTC when it has no offset. */
      from_ts: string;
      /** RFC 3339 date-time; UTC when it has no offset. */
      to_ts: string;
      /** Refuse a sequence with a hole (default true). */
      strict_sequence?: boolean;
      /** At most 5000. */
      limit?: number;
      /** "next" of the answer before. */
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

  /** Takes keys for a time, all or none; with wait_ms it waits for those that others have. */
  'op.lease.acquire': {
    args: {
      /** 1-32 keys. */ keys: string[];
      /** How long it lasts from now on, unless it is renewed. */
      ttl_seconds: number;
      /** How long to wait (default 0). */
      wait_ms?: number;
      /** Outlives your connections; else it is released with the last one. */
      keep?: boolean;
      /** As in op.store; "lease" when missing. */
      namespace?: string;
    };
    result: {
      /** As acquire answered it. */ lease_id: string;
      /** Larger than that of every earlier lease of these keys: what they guard refuses smaller ones. */
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
      /** The "next" of the answer before. */
      after?: string;
    };
    result: {
      leases: {
        /** As acquire answered it. */ lease_id: string;
        namespace: string;
        keys: string[];
        /** Larger than that of every earlier lease of these keys: what they guard refuses smaller ones. */
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

  /** Ends a lease: its keys are free. */
  'op.lease.release': {
    args: {
      /** As acquire answered it. */ lease_id: string;
    };
    result: {
      released: true;
      /** As acquire answered it. */
      lease_id: string;
    };
  };

  /** Lets a lease last from now on as long as it was taken for, or for another time. */
  'op.lease.renew': {
    args: {
      /** As acquire answered it. */ lease_id: string;
      /** How long it lasts from now on, unless it is renewed. */
      ttl_seconds?: number;
    };
    result: {
      /** As acquire answered it. */ lease_id: string;
      /** Larger than that of every earlier lease of these keys: what they guard refuses smaller ones. */
      token: number;
      expires_at: string;
    };
  };

  /** Forgets signals: all, those of a source, or those of a name. */
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
      /** The "next" of the answer before: older ones. */
      after?: string;
    };
    result: { events: OmegaEvent[]; count: number; next?: string };
  };

  /** Lists the registered sources. */
  'op.omega.list_substrates': {
    args: {
      /** At most 500. */ limit?: number;
      /** The "next" of the answer before. */
      after?: string;
    };
    result: { substrates: OmegaSubstrate[]; count: number; next?: string };
  };

  /** Registers a source of signals. */
  'op.omega.register_substrate': {
    args: { name: string; kind: string; metadata?: JsonObject };
    result: OmegaSubstrate;
  };

  /** Tells whether the lane is on, where its lab is, its limits and counts. */
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

  /** Tells which rules apply to a channel, and what would come of publishing there; sends nothing. */
  'op.rules.explain': {
    args: {
      /** Room name, or room:channel. */ room?: string;
      /** Channel name, or room:channel. */
      channel?: string;
      /** Somebody else than you, as a token would describe them. */
      as?: {
        subject?: string;
        /** user unless given. */
        role?: Role;
        /** As a token lists them; without it, all that the role allows. */
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

  /** Tells your tenant's own channel rules, and those of the configuration under them. */
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
      /** The version that they replace, as op.rules.get told it; without it they replace any. */
      if_version?: number;
    };
    result: {
      /** 0 before the first rules were set. */ version: number;
    };
  };

  /** Deletes a key; with if_version only if nobody else changed it. */
  'op.store.delete': {
    args: {
      /** At most 256 bytes. */ key: string;
      /** 1-128 letters, digits, ".", "_", "/", "-"; "default" when missing. */
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
      /** 1-128 letters, digits, ".", "_", "/", "-"; "default" when missing. */
      namespace?: string;
    };
    result: { found: boolean; value?: unknown; version?: number; expires_at?: string };
  };

  /** Lists keys in their order; "next" of one answer is "after" of the next call. */
  'op.store.list': {
    args: {
      /** 1-128 letters, digits, ".", "_", "/", "-"; "default" when missing. */ namespace?: string;
      /** Only keys that begin with this. */
      prefix?: string;
      /** At most 500. */
      limit?: number;
      /** Only keys after this one. */
      after?: string;
      /** Answer the values and versions too, as "entries". */
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

  /** Sets a key; with if_version only if nobody else changed it. */
  'op.store.set': {
    args: {
      /** At most 256 bytes. */ key: string;
      /** Any JSON. */
      value: unknown;
      /** 1-128 letters, digits, ".", "_", "/", "-"; "default" when missing. */
      namespace?: string;
      /** Forget it after this time. */
      ttl_seconds?: number;
      /** Only if the key has this version; 0: only if it does not exist. */
      if_version?: number;
    };
    result: { namespace: string; key: string; version: number; updated: boolean };
  };

  /** Ends a watch; without a prefix all watches of the namespace. */
  'op.store.unwatch': {
    args: {
      /** 1-128 letters, digits, ".", "_", "/", "-"; "default" when missing. */ namespace?: string;
      /** Only keys that begin with this. */
      prefix?: string;
    };
    result: { watching: false; removed: boolean };
  };

  /** Sends this connection a system notice for every change under a prefix. */
  'op.store.watch': {
    args: {
      /** 1-128 letters, digits, ".", "_", "/", "-"; "default" when missing. */ namespace?: string;
      /** Only keys that begin with this. */
      prefix?: string;
    };
    result: { watching: true; namespace: string; prefix: string };
  };

  /** Shows the deliveries that were given up, oldest first. */
  'op.webhook.dead_letters': {
    args: {
      /** Id of a rule, as register answered it. */ rule_id: string;
      /** At most 500. */
      limit?: number;
      /** The "next" of the answer before. */
      after?: string;
    };
    result: { dead_letters: DeadLetter[]; count: number; next?: string };
  };

  /** Lists your webhooks with their figures; for admins all of the tenant. */
  'op.webhook.list': {
    args: {
      /** At most 500. */ limit?: number;
      /** The "next" of the answer before. */
      after?: string;
    };
    result: { rules: WebhookRule[]; count: number; next?: string };
  };

  /** Posts every matching event to a URL, in order, with retries. */
  'op.webhook.register': {
    args: {
      /** Where events are posted: an http or https URL of a public host. */ url: string;
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
      /** What to tell of: messages (unless given), or who joins and leaves, which needs the right to presence. */
      on?: ('message' | 'client_joined' | 'client_left' | 'occupied' | 'vacated')[];
    };
    result: WebhookRule;
  };

  /** Delivers dead letters again: all of a rule, or one. */
  'op.webhook.retry': {
    args: {
      /** Id of a rule, as register answered it. */ rule_id: string;
      /** Only this one. */
      delivery_id?: string;
    };
    result: { requeued: number };
  };

  /** Removes a webhook with all that waits for it. */
  'op.webhook.unregister': {
    args: {
      /** Id of a rule, as register answered it. */ rule_id: string;
    };
    result: { removed: true; rule_id: string };
  };

  /** Answers at once, with what was sent as "echo". */
  ping: {
    args: {
      /** Any JSON; comes back as sent. */ echo?: unknown;
    };
    result: { pong: true; echo?: unknown; timestamp: string };
  };

  /** Changes what the members of a channel or room that watch presence are told of this client. */
  presence_update: {
    args: {
      /** Room name, or room:channel. */ room?: string;
      /** Channel name, room:channel, or a pattern: `*` stands for one segment, a last `>` for the rest. */
      channel?: string;
      /** Any JSON of at most 4,096 bytes; null: nothing. */
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

  /** Figures of the server; for admins also the first 500 channels and clients of the tenant. */
  status: { args: Record<string, never>; result: ServerStatus };

  /** Appends to a token stream that you opened. An empty text only says that the writer is there. */
  'stream.append': {
    args: {
      /** Id of the stream. */ stream_id: string;
      text: string;
    };
    result: {
      /** How long it is now, in UTF-16 units. */ offset: number;
    };
  };

  /** Asks the writer of a token stream to stop; it decides. */
  'stream.cancel': {
    args: {
      /** Id of the stream. */ stream_id: string;
    };
    result: {
      stream_id: string;
      /** Connections of the writer that were told. */
      told: number;
    };
  };

  /** Ends a token stream that you opened: its text is stored as one event. */
  'stream.close': {
    args: {
      /** Id of the stream. */ stream_id: string;
      /** How it ended. */
      status: 'complete' | 'cancelled' | 'failed';
    };
    result: {
      stream_id: string;
      /** Of the event with the whole text; 0 where a rule keeps none. */
      sequence: number;
      epoch: string;
      stored: 'none' | 'memory' | 'disk' | 'replicated';
      /** Connections that its end was handed to. */
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
      /** "next" of the answer before. */
      after?: string;
    };
    result: {
      streams: StreamSummary[];
      /** Pass as "after" for the next page; null at the end. */
      next: string | null;
    };
  };

  /** Opens a token stream at a channel; readers are shown its text while it grows. Its writer may open it again to go on. */
  'stream.open': {
    args: {
      /** Room name, or room:channel. */ room?: string;
      /** Channel name, or room:channel. */
      channel?: string;
      /** Id of the stream; one that nobody can guess when missing. */
      id?: string;
      /** After so long without an append it ends as "orphaned" (default 30). */
      ttl_seconds?: number;
    };
    result: {
      stream_id: string;
      room: string;
      channel: string;
      /** How long it is, where it was open already. */
      offset?: number;
    };
  };

  /** Changes what is given of a channel that somebody made; the rest stays. */
  update_channel: {
    args: {
      /** Room name, or room:channel. */ room?: string;
      /** Channel name, or room:channel. */
      channel?: string;
      /** What the channel is for. */
      description?: string;
      /** A word of your own for its kind. */
      type?: string;
      /** How many envelopes it keeps, and for how long; it comes before every rule. */
      history?: { size?: number; ttl_seconds?: number };
      /** Keep it when it is idle, also if it was made by itself before. */
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
