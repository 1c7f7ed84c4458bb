import {
  type CasilMetadata,
  type JsonObject,
  type Metadata,
  type MetadataParts,
  splitMetadata,
} from '@arqonbus/protocol';
import type { Sender } from './connection/session.ts';

/** What a content policy looks at: all that travels of one message, and where it goes. */
export interface Inspection {
  /** `profile`: how a client wants to be known, at its handshake or by `identify`. */
  readonly type: 'event' | 'private' | 'command' | 'telemetry' | 'profile';
  readonly id: string;
  /** The id of the envelope that this one answers. */
  readonly requestId?: string | undefined;
  readonly tenant: string;
  readonly room: string | undefined;
  readonly channel: string | undefined;
  /** Of a private message. */
  readonly to?: readonly string[] | undefined;
  readonly payload: JsonObject;
  /** What the client itself wrote into the metadata, without the server's keys. */
  readonly metadata?: JsonObject | undefined;
  /** Name of the command, on commands. */
  readonly command?: string | undefined;
  /** What a rule says of inspecting this: not at all, or in another mode than the policy's. */
  readonly mode?: 'off' | 'monitor' | 'enforce' | null | undefined;
  /** Dotted paths of the arguments that are meant to hold secrets (`token`, `rules.*.secret`); the empty path is all. */
  readonly secretPaths?: readonly string[] | undefined;
}

/** What a content policy leaves of a message. */
export interface Inspected {
  readonly payload: JsonObject;
  /** What is left of the client's metadata. */
  readonly metadata?: JsonObject | undefined;
  /** What the envelope tells of the inspection. */
  readonly casil?: CasilMetadata | undefined;
}

/** What a content policy would do. Holds nothing of what was matched. */
export interface Judgement {
  readonly decision: CasilMetadata['decision'];
  readonly reason_code: string;
  /** Ids of the rules that matched. */
  readonly rules: readonly string[];
}

export interface Inspector {
  /** Whether anything of a tenant is inspected. Asked once a message; false costs nothing more. */
  enabledFor(tenant: string): boolean;
  /** What may travel on; throws the policy's BusError to block. */
  inspect(inspection: Inspection, sender: Sender): Inspected;
  /** What would come of inspecting, without a trace of it; null where nothing is inspected. */
  judge?(inspection: Inspection): Judgement | null;
  /** What those who look after the server may be shown of a payload. */
  shown(inspection: Inspection): JsonObject;
}

/** The content policy of a bus that has none. */
export const NO_INSPECTION: Inspector = {
  enabledFor: () => false,
  inspect: ({ payload, metadata }) => ({ payload, metadata }),
  shown: ({ payload }) => payload,
};

const NO_METADATA: MetadataParts = { own: undefined, server: undefined };

/** Inspects what is about to travel, where {@link Inspector.enabledFor} says so; it comes back as it may travel. */
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
