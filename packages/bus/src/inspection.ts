import {
  type CasilMetadata,
  type JsonObject,
  type Metadata,
  type MetadataParts,
  splitMetadata,
} from '@arqonbus/protocol';
import type { Sender } from './connection/session.ts';

/** The input of a content policy: a message's content and where it goes. */
export interface Inspection {
  /** `profile`: a client's profile, from its handshake or `identify`. */
  readonly type: 'event' | 'private' | 'command' | 'telemetry' | 'profile';
  readonly id: string;
  /** The id of the envelope that this one answers. */
  readonly requestId?: string | undefined;
  readonly tenant: string;
  readonly room: string | undefined;
  readonly channel: string | undefined;
  /** Recipients of a private message. */
  readonly to?: readonly string[] | undefined;
  readonly payload: JsonObject;
  /** The client's own metadata, without the server's keys. */
  readonly metadata?: JsonObject | undefined;
  /** Name of the command, on commands. */
  readonly command?: string | undefined;
  /** Inspection mode set by a rule: off, or other than the policy's. */
  readonly mode?: 'off' | 'monitor' | 'enforce' | null | undefined;
  /** Dotted paths of the arguments that hold secrets (`token`, `rules.*.secret`); the empty path is all. */
  readonly secretPaths?: readonly string[] | undefined;
}

/** A message after inspection by a content policy. */
export interface Inspected {
  readonly payload: JsonObject;
  /** The client's metadata after inspection. */
  readonly metadata?: JsonObject | undefined;
  /** The inspection result for the envelope. */
  readonly casil?: CasilMetadata | undefined;
}

/** What a content policy would do. Contains nothing of the matched text. */
export interface Judgement {
  readonly decision: CasilMetadata['decision'];
  readonly reason_code: string;
  /** Ids of the rules that matched. */
  readonly rules: readonly string[];
}

export interface Inspector {
  /** Whether a tenant has any inspection. Called once per message; false costs nothing more. */
  enabledFor(tenant: string): boolean;
  /** Returns the content to send; throws the policy's BusError to block. */
  inspect(inspection: Inspection, sender: Sender): Inspected;
  /** The result of an inspection, without side effects; null where nothing is inspected. */
  judge?(inspection: Inspection): Judgement | null;
  /** What administrators may see of a payload. */
  shown(inspection: Inspection): JsonObject;
}

/** The content policy of a bus without one. */
export const NO_INSPECTION: Inspector = {
  enabledFor: () => false,
  inspect: ({ payload, metadata }) => ({ payload, metadata }),
  shown: ({ payload }) => payload,
};

const NO_METADATA: MetadataParts = { own: undefined, server: undefined };

/** Inspects a message, where {@link Inspector.enabledFor} allows; returns the content to send. */
export function inspectMessage(
  inspector: Inspector,
  inspection: Omit<Inspection, 'tenant' | 'metadata'>,
  metadata: Metadata | undefined,
  sender: Sender,
): { payload: JsonObject; metadata: Metadata | undefined } {
  const { tenant } = sender.principal;
  const { own, server } = metadata === undefined ? NO_METADATA : splitMetadata(metadata);
  const left = inspector.inspect({ tenant, metadata: own, ...inspection }, sender);
  if (left.casil === undefined && left.metadata === own) return { payload: left.payload, metadata };
  const casil = left.casil === undefined ? {} : { casil: left.casil };
  return { payload: left.payload, metadata: { ...left.metadata, ...server, ...casil } };
}
