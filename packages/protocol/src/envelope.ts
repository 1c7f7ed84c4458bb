import type { ErrorCode, ErrorDetails } from './errors.ts';

export const PROTOCOL_VERSION = '1.0';
/** The WebSocket subprotocol a server selects when a client offers it. */
export const SUBPROTOCOL = 'arqonbus.v1';
/** `from` of all envelopes from the server itself. */
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

/** The result of CASIL, if the policy adds it to envelopes (`metadata.casil`). */
export interface CasilMetadata {
  kind: 'data' | 'control' | 'telemetry' | 'system';
  risk_level: 'low' | 'medium' | 'high';
  flags: string[];
  reason_code: string;
  decision: 'ALLOW' | 'ALLOW_WITH_REDACTION' | 'BLOCK';
  would_be?: 'ALLOW' | 'ALLOW_WITH_REDACTION' | 'BLOCK';
}

/** The sender of an envelope, as verified by the server; only the name and the type are the sender's own claims. */
export interface SenderRecord {
  /** The token's `sub`, or the subject under which an HTTP caller or a program publishes. */
  subject?: string;
  /** The screen name; a token's `name` fixes it. */
  name?: string;
  type: ClientType;
  role: Role;
}

export interface Metadata {
  /** Position in the channel's total order, from 1, within `epoch`. Absent on degraded (live-only) traffic. */
  sequence?: number;
  /** The lifetime of the channel's stream in which `sequence` counts. */
  epoch?: string;
  client_timestamp?: string;
  sender?: SenderRecord;
  /** RFC 3339. After this time the envelope is not delivered, replayed or listed. */
  expires_at?: string;
  casil?: CasilMetadata;
  replayed?: boolean;
  cron_job_id?: string;
  iteration?: number;
  vector_clock?: Record<string, number>;
  causal_parent_id?: string;
  /** The length of the chain of messages that caused this one; absent on the first of them. */
  hops?: number;
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

/** The required position of a stream to store an event: a sequence (0: it is empty), or the event with this id. */
export type Expected = { readonly sequence: number; readonly epoch?: string } | { readonly last_id: string };

/** How an event or private message is handled: `options` of its envelope (docs/protocol.md, "Options"). */
export interface MessageOptions {
  /** After this many seconds it is not delivered, replayed or listed. It keeps its sequence. */
  readonly ttl_seconds?: number;
  /** Stored only if the stream is at this position, else `CONFLICT` with its position. */
  readonly expect?: Expected;
  /** Live only: without a sequence, and not in the history. */
  readonly ephemeral?: boolean;
  /** Removes the channel's retained value. The event itself is delivered as usual. */
  readonly clear?: boolean;
  /** RFC 3339. Published at this time, on behalf of its sender. A time in the past means now. */
  readonly deliver_at?: string;
  readonly delay_seconds?: number;
  /** Requests a receipt: `true` for a private message, the name of the group for an event. */
  readonly receipt?: true | string;
  /** Requests an answer within this time, from one member of a group. */
  readonly request?: { readonly timeout_ms: number; readonly group?: string };
}

/** A client's envelope after validation: aliases resolved, defaults filled in, server-owned metadata dropped. */
export interface Inbound {
  readonly id: string;
  readonly type: InboundType;
  readonly room: string | undefined;
  readonly channel: string | undefined;
  /** Client ids and `sub:SUBJECT`; undefined without recipients. */
  readonly to: readonly string[] | undefined;
  readonly payload: JsonObject;
  /** Only on `command`. */
  readonly command: string;
  readonly args: JsonObject;
  readonly ack: boolean;
  readonly requestId: string | undefined;
  /** The sender's metadata to pass on, with `client_timestamp`; undefined if there is none. */
  readonly metadata: Metadata | undefined;
  /** Of an event or private message; undefined if it has none. */
  readonly options: MessageOptions | undefined;
  /** The number of dropped unknown top-level fields. */
  readonly dropped: number;
}

/** Why a frame was not accepted. `command` is set if the frame was a command, which must get a `command_response`. */
export interface Refusal {
  readonly code: ErrorCode;
  readonly message: string;
  readonly details: ErrorDetails;
  readonly requestId: string | undefined;
  readonly command: string | undefined;
}

export const ROLES = ['guest', 'user', 'admin'] as const;
export type Role = (typeof ROLES)[number];
