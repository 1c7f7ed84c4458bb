import type { ErrorCode, ErrorDetails } from './errors.ts';

export const PROTOCOL_VERSION = '1.0';
/** The WebSocket subprotocol a server selects when a client offers it. */
export const SUBPROTOCOL = 'arqonbus.v1';
/** `from` of everything that the server itself says. */
export const SERVER = 'arqonbus';

export const CLIENT_TYPES = ['human', 'ai-agent', 'dashboard', 'service'] as const;
export type ClientType = (typeof CLIENT_TYPES)[number];

export type JsonValue = string | number | boolean | null | JsonValue[] | { [key: string]: JsonValue };
export type JsonObject = Record<string, unknown>;

export type EnvelopeType =
  | 'event'
  | 'private'
  | 'command'
  | 'command_response'
  | 'ack'
  | 'system'
  | 'telemetry'
  | 'error';
/** The types a client may send (PROTOCOL section 3). */
export type InboundType = 'event' | 'private' | 'command' | 'telemetry';

/** What CASIL found, when the policy writes it into envelopes (`metadata.casil`). */
export interface CasilMetadata {
  kind: 'data' | 'control' | 'telemetry' | 'system';
  risk_level: 'low' | 'medium' | 'high';
  flags: string[];
  reason_code: string;
  decision: 'ALLOW' | 'ALLOW_WITH_REDACTION' | 'BLOCK';
  would_be?: 'ALLOW' | 'ALLOW_WITH_REDACTION' | 'BLOCK';
}

/** Who sent an envelope, as the server knows it: nothing in it is the sender's own claim but the name and the type. */
export interface SenderRecord {
  /** The token's `sub`, or who an HTTP caller or a program publishes as. */
  subject?: string;
  /** The screen name; a token's `name` fixes it. */
  name?: string;
  type: ClientType;
  role: Role;
}

export interface Metadata {
  /** Place in the channel's total order, from 1, within `epoch`. Absent on degraded (live-only) traffic. */
  sequence?: number;
  /** The incarnation of the channel's stream that `sequence` counts in. */
  epoch?: string;
  client_timestamp?: string;
  sender?: SenderRecord;
  /** RFC 3339: after it the envelope is neither delivered, replayed nor listed. */
  expires_at?: string;
  casil?: CasilMetadata;
  replayed?: boolean;
  cron_job_id?: string;
  iteration?: number;
  vector_clock?: Record<string, number>;
  causal_parent_id?: string;
  traceparent?: string;
  [key: string]: unknown;
}

/** One frame of the wire, as a receiver sees it (PROTOCOL section 2). */
export interface Envelope<P = JsonObject> {
  version: '1.0';
  id: string;
  type: EnvelopeType;
  room?: string;
  channel?: string;
  from: string;
  to?: string | string[];
  timestamp: string;
  payload: P;
  command?: string;
  args?: JsonObject;
  request_id?: string;
  status?: 'success' | 'error';
  error?: string;
  error_code?: ErrorCode;
  ack?: boolean;
  metadata?: Metadata;
}

/** Where a stream has to stand so that an event is stored: at a sequence (0: it is empty), or at the event with this id. */
export type Expected = { readonly sequence: number; readonly epoch?: string } | { readonly last_id: string };

/** How an event or private message is to be treated: `options` of its envelope (docs/protocol.md, "Options"). */
export interface MessageOptions {
  /** Neither delivered, replayed nor listed after so many seconds; it keeps its sequence. */
  readonly ttl_seconds?: number;
  /** Stored only if the stream stands there, else `CONFLICT` with where it does. */
  readonly expect?: Expected;
  /** Live only: it has no sequence and no history keeps it. */
  readonly ephemeral?: boolean;
  /** Takes the channel's retained value away; the event itself is an event like others. */
  readonly clear?: boolean;
  /** RFC 3339: published then, as if its sender did; a time that has passed is now. */
  readonly deliver_at?: string;
  readonly delay_seconds?: number;
  /** Asks to be told when it was handled: `true` of a private message, of an event the name of the group. */
  readonly receipt?: true | string;
  /** Asks for an answer within the time, of one member of a group. */
  readonly request?: { readonly timeout_ms: number; readonly group?: string };
}

/** A client's envelope after validation: aliases resolved, defaults filled in, server-owned metadata dropped. */
export interface Inbound {
  readonly id: string;
  readonly type: InboundType;
  readonly room: string | undefined;
  readonly channel: string | undefined;
  /** Client ids and `sub:SUBJECT`; undefined when none was named. */
  readonly to: readonly string[] | undefined;
  readonly payload: JsonObject;
  /** Only on `command`. */
  readonly command: string;
  readonly args: JsonObject;
  readonly ack: boolean;
  readonly requestId: string | undefined;
  /** What of the sender's metadata travels on, with `client_timestamp`; undefined when nothing does. */
  readonly metadata: Metadata | undefined;
  /** Of an event or private message; undefined when it has none. */
  readonly options: MessageOptions | undefined;
  /** How many unknown top-level fields were dropped. */
  readonly dropped: number;
}

/** Why a frame was not accepted. `command` is set when the frame was a command: it is owed a `command_response`. */
export interface Refusal {
  readonly code: ErrorCode;
  readonly message: string;
  readonly details: ErrorDetails;
  readonly requestId: string | undefined;
  readonly command: string | undefined;
}

export const ROLES = ['guest', 'user', 'admin'] as const;
export type Role = (typeof ROLES)[number];
