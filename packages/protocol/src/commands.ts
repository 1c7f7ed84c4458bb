import type { CasilCommands } from './commands-casil.ts';
import type { OperatorCommands } from './commands-operators.ts';
import type { ClientRecord, ClientType, Envelope, JsonObject, Role } from './envelope.ts';

/** A position in a stream: what a client has seen (PROTOCOL section 6, resume). */
export interface Position {
  sequence: number;
  epoch: string;
}

export interface ChannelSummary {
  room: string;
  channel: string;
  /** How many clients are members, in the whole cluster. */
  members: number;
  created_at: string;
  type: string;
  hardcoded: boolean;
}

export interface ChannelRecord {
  room: string;
  channel: string;
  created_at: string;
  created_by: string;
  type: string;
  hardcoded: boolean;
  auto_created: boolean;
  description: string | null;
  history: { size: number; ttl_seconds: number };
  /** Whether the channel outlives its members although nobody made it by hand. */
  retain: boolean;
}

export interface MemberRecord {
  client_id: string;
  client_type: ClientType;
  screen_name: string | null;
  joined_at: string;
}

export interface ServerStatus {
  server: { name: string; version: string; protocol: string; uptime_seconds: number; node: string };
  connections: { total: number; active: number };
  rooms: { active: number };
  channels: { active: number };
  messages: { total: number; rate_per_minute: number };
  storage: { backend: string; healthy: boolean };
  channels_detail?: ChannelSummary[];
  clients?: ClientRecord[];
}

export interface CommandDescription {
  name: string;
  aliases: string[];
  description: string;
  role: Role;
  /** JSON Schema (2020-12) of `args`. */
  args: JsonObject;
}

export interface HistoryEntry {
  envelope: Envelope;
  stored_at: string;
  storage_metadata: { backend: string; sequence: number; epoch: string };
}

export interface JoinResult {
  room: string;
  channel: string;
  /** The last sequence before live traffic; a room subscription tells the room-wide stream's. */
  sequence: number;
  epoch: string;
  members: number;
  /** Only with `since`: whether every missed envelope follows. False: reload. */
  recovered?: boolean;
  /** Where the channel and the room-wide stream (`*`) stand; for a room subscription, all of its channels. */
  positions?: Record<string, Position>;
}

/** One page of a list: at most `limit` (500) after the `next` of the answer before. */
export interface ListArgs {
  limit?: number;
  after?: string;
}

export interface CoreCommands {
  ping: { args: { echo?: unknown }; result: { pong: true; echo?: unknown; timestamp: string } };
  help: { args: { command?: string }; result: { commands: CommandDescription[] } };
  identify: {
    args: { client_type?: ClientType; screen_name?: string; avatar?: string; personality?: string };
    result: ClientRecord;
  };
  status: { args: Record<string, never>; result: ServerStatus };
  refresh_token: { args: { token: string }; result: { role: Role; expires_at: string | null; left: string[] } };
  list_rooms: {
    args: ListArgs;
    result: { rooms: { room: string; channels: number; members: number; hardcoded: boolean }[]; next: string | null };
  };
  list_channels: { args: { room: string } & ListArgs; result: { channels: ChannelSummary[]; next: string | null } };
  channel_info: {
    args: { room: string; channel?: string };
    result: ChannelRecord & Position & { members: MemberRecord[] };
  };
  create_channel: {
    args: {
      room: string;
      channel?: string;
      description?: string;
      type?: string;
      history?: { size?: number; ttl_seconds?: number };
      retain?: boolean;
    };
    result: ChannelRecord;
  };
  delete_channel: {
    args: { room: string; channel?: string };
    result: { deleted: true; room: string; channel: string };
  };
  join_channel: {
    args: {
      room: string;
      channel?: string;
      /** One position, or a map from channel (`*`: the room-wide stream) to position. */
      since?: Position | Record<string, Position>;
      echo?: boolean;
      presence?: boolean;
      history?: number;
    };
    result: JoinResult;
  };
  leave_channel: { args: { room: string; channel?: string }; result: { left: boolean } };
  history: {
    args: { room: string; channel?: string; limit?: number; before?: number; after?: number };
    /** `previous`: pass as `before` for older ones; `next`: pass as `after` for newer ones; null at the end. */
    result: { messages: Envelope[]; next: number | null; previous: number | null };
  };
  'op.history.get': {
    args: { room?: string; channel?: string; limit?: number; since?: string; until?: string; after?: string };
    result: { entries: HistoryEntry[]; count: number; next: string | null };
  };
  'op.history.replay': {
    args: {
      room?: string;
      channel?: string;
      from_ts: string;
      to_ts: string;
      strict_sequence?: boolean;
      limit?: number;
      after?: string;
    };
    result: { entries: HistoryEntry[]; count: number; next: string | null; latency_ms: number };
  };
}

/** Every command of the protocol: its arguments and the `payload` of its successful answer (PROTOCOL section 7). */
export interface Commands extends CoreCommands, OperatorCommands, CasilCommands {}

export type CommandName = keyof Commands;
export type CommandArgs<N extends CommandName> = Commands[N]['args'];
export type CommandResult<N extends CommandName> = Commands[N]['result'];

export type * from './commands-casil.ts';
export type * from './commands-operators.ts';
