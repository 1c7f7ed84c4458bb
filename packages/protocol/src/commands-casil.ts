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

/** The policy in force. `redaction_patterns` is only there for admins. */
export interface CasilSnapshot extends Omit<CasilSettings, 'redaction_patterns'> {
  redaction_patterns?: string[];
  /** Grows by one with every policy that was swapped in. */
  revision: number;
  loaded_at: string;
}

export interface CasilCommands {
  'op.casil.get': { args: Record<string, never>; result: CasilSnapshot };
  'op.casil.reload': { args: Partial<CasilSettings>; result: CasilSnapshot };
}
