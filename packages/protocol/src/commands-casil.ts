/** The settings of the inspection layer as `op.casil.reload` takes them; every one may be left out. */
export interface CasilSettings {
  enabled: boolean;
  mode: 'monitor' | 'enforce';
  default_decision: 'allow' | 'block';
  scope_include: string[];
  scope_exclude: string[];
  max_inspect_bytes: number;
  max_patterns: number;
  max_payload_bytes: number;
  block_on_probable_secret: boolean;
  redaction_paths: string[];
  redaction_patterns: string[];
  transport_redaction: boolean;
  never_log_payload_for: string[];
  metadata_to_logs: boolean;
  metadata_to_telemetry: boolean;
  metadata_to_envelope: boolean;
}

/** The policy in force for a tenant. `redaction_patterns` and `decisions` are only there for admins. */
export interface CasilSnapshot extends Omit<CasilSettings, 'redaction_patterns'> {
  redaction_patterns?: string[];
  /** Grows with every policy, of whichever tenant, that was put in force on the node. */
  revision: number;
  loaded_at: string;
  /** Whether the tenant has no policy of its own and so has the server's. */
  inherited: boolean;
  /** `op.casil.get`: how often was decided what in the tenant's rooms since the node's start; at most 102 rooms. */
  decisions?: CasilRoomDecisions[];
}

/** Outcomes of one kind in one room; `other rooms` beyond the hundredth, empty for what went to no room. */
export interface CasilRoomDecisions {
  room: string;
  decision: 'ALLOW' | 'ALLOW_WITH_REDACTION' | 'BLOCK';
  reason_code: string;
  count: number;
}

/** `tenant` is for operators: a tenant, or `*` for the policy of all tenants that have none of their own. */
export interface CasilTarget {
  tenant?: string;
}

export interface CasilCommands {
  'op.casil.get': { args: CasilTarget; result: CasilSnapshot };
  /** `reset: true`, alone, takes the tenant's own policy away. */
  'op.casil.reload': { args: Partial<CasilSettings> & CasilTarget & { reset?: true }; result: CasilSnapshot };
}
