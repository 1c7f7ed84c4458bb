import type { CasilMetadata, JsonObject } from '@arqonbus/protocol';
import type { Inspected } from './content.ts';
import { Examination, type Examined, withoutSecrets } from './examination.ts';
import { fitsFor, payloadBytes } from './payload-size.ts';
import type { Policy } from './policy.ts';
import { REDACTED } from './redaction.ts';

export type { Inspected } from './content.ts';

export type Decision = CasilMetadata['decision'];
export type Flag = 'contains_probable_secret' | 'oversize_payload' | 'partially_inspected';
export type ReasonCode =
  | 'CASIL_POLICY_ALLOWED'
  | 'CASIL_POLICY_REDACTED'
  | 'CASIL_POLICY_BLOCKED_SECRET'
  | 'CASIL_POLICY_OVERSIZE'
  | 'CASIL_MONITOR_MODE'
  | 'CASIL_OUT_OF_SCOPE'
  | 'CASIL_INTERNAL_ERROR';

/** The outcome of one inspection. */
export interface Verdict {
  readonly decision: Decision;
  readonly reasonCode: ReasonCode;
  readonly kind: CasilMetadata['kind'];
  readonly riskLevel: CasilMetadata['risk_level'];
  readonly flags: readonly Flag[];
  /** In `monitor`, what `enforce` would have decided, unless that is to allow. */
  readonly wouldBe?: Decision;
  /** Ids of the matching rules, never the matched text: `secret:RULE`, `key:NAME`, `pattern:INDEX`, `path:PATH`. */
  readonly rules: readonly string[];
  /** Whether room, channel or recipients matched: then they must not be shown to observers. */
  readonly addressMatched: boolean;
  /** For delivery and history: the same object if nothing was redacted for them. */
  readonly payload: JsonObject;
  /** The same for the metadata; undefined if the client sent none. */
  readonly metadata: JsonObject | undefined;
  readonly inScope: boolean;
}

/** The findings, independent of the mode. */
export interface Findings {
  readonly flags: readonly Flag[];
  readonly rules: readonly string[];
  readonly secret: boolean;
  readonly oversize: boolean;
  readonly addressMatched: boolean;
  /** Whether there is anything to redact. */
  readonly redacts: boolean;
  readonly redacted: Examined;
}

const NO_FLAGS: readonly Flag[] = Object.freeze([]);
const NO_RULES: readonly string[] = Object.freeze([]);

/** Inspects one message. Never throws and never changes the message; equal messages get equal verdicts. */
export function inspect(policy: Policy, subject: Inspected): Verdict {
  try {
    if (!policy.scope(subject.room, subject.channel)) return allow(subject, 'CASIL_OUT_OF_SCOPE', false);
    return judge(policy, subject, examine(policy, subject));
  } catch {
    return failed(policy, subject);
  }
}

/**
 * What logs, telemetry and HTTP may show of a message: redacted if in scope, hidden entirely if the policy says so, and
 * without uninspected parts. Never throws; content that cannot be inspected is hidden.
 */
export function redactForObservability(policy: Policy, subject: Inspected): Examined {
  try {
    const { room, channel, payload, metadata, secretPaths = NO_RULES } = subject;
    if (policy.neverLog(room, channel)) return hidden(subject);
    if (!policy.scope(room, channel)) return { payload: withoutSecrets(payload, secretPaths), metadata };
    const partial = isPartial(policy, subject);
    return new Examination(policy, { partial, forObservers: true }).run(subject);
  } catch {
    return hidden(subject);
  }
}

/**
 * The verdict in the form used by envelopes, telemetry and logs.
 *
 * ```ts
 * const compiled = compilePolicy({ ...DEFAULT_CASIL_SETTINGS, mode: 'enforce' });
 * if (compiled.ok) {
 *   const subject = { type: 'event', room: 'ops', channel: 'log', payload: { text: 'hello' } } as const;
 *   console.log(casilMetadata(explain(compiled.policy, subject).verdict).reason_code); // CASIL_POLICY_ALLOWED
 * }
 * ```
 */
export function casilMetadata(verdict: Verdict): CasilMetadata {
  return {
    kind: verdict.kind,
    risk_level: verdict.riskLevel,
    flags: [...verdict.flags],
    reason_code: verdict.reasonCode,
    decision: verdict.decision,
    ...(verdict.wouldBe === undefined ? {} : { would_be: verdict.wouldBe }),
  };
}

/** Examines the message. Throws if it cannot: nested too deeply, or not serializable. */
export function examine(
  policy: Policy,
  subject: Inspected,
  onMatch?: (rule: string, place: readonly (string | number)[]) => void,
): Findings {
  const { max_inspect_bytes: most, max_payload_bytes: largest } = policy.settings;
  const { payload, metadata } = subject;
  const bytes = fitsFor(Math.min(most, largest), payload, metadata) ? 0 : bytesOf(subject);
  const partial = bytes > most;
  const oversize = bytes > largest;
  const examination = new Examination(policy, { partial, forObservers: false, ...(onMatch && { onMatch }) });
  const redacted = examination.run(subject);
  const { secret, rules, address: addressMatched } = examination;
  const redacts = redacted.payload !== payload || redacted.metadata !== metadata;
  return { flags: flagsOf(secret, oversize, partial), rules, secret, oversize, addressMatched, redacts, redacted };
}

/** UTF-8 bytes of serialized payload and metadata. A payload that is entirely secret is not counted. */
export function bytesOf({ payload, metadata, secretPaths }: Inspected): number {
  const counted = secretPaths?.includes('') === true ? 0 : payloadBytes(payload);
  return counted + (metadata === undefined ? 0 : payloadBytes(metadata));
}

/** The decision of `enforce` for some findings. */
export function enforced(policy: Policy, { secret, oversize, redacts }: Findings): [Decision, ReasonCode] {
  if (oversize) return ['BLOCK', 'CASIL_POLICY_OVERSIZE'];
  if (secret && policy.settings.block_on_probable_secret) return ['BLOCK', 'CASIL_POLICY_BLOCKED_SECRET'];
  if (redacts) return ['ALLOW_WITH_REDACTION', 'CASIL_POLICY_REDACTED'];
  return ['ALLOW', 'CASIL_POLICY_ALLOWED'];
}

function judge(policy: Policy, subject: Inspected, findings: Findings): Verdict {
  const [decision, reasonCode] = enforced(policy, findings);
  const { flags, rules, secret, oversize, addressMatched, redacted } = findings;
  if (decision === 'ALLOW' && flags.length === 0) return allow(subject, 'CASIL_POLICY_ALLOWED', true);
  const { payload, metadata } = subject;
  const found = {
    kind: kindOf(subject.type),
    riskLevel: secret ? 'high' : oversize ? 'medium' : 'low',
    flags,
    rules,
    addressMatched,
    inScope: true,
  } as const;
  const { mode, transport_redaction: transport } = policy.settings;
  if (mode === 'monitor' && decision !== 'ALLOW') {
    return { decision: 'ALLOW', reasonCode: 'CASIL_MONITOR_MODE', wouldBe: decision, payload, metadata, ...found };
  }
  const redacts = mode === 'enforce' && transport && decision === 'ALLOW_WITH_REDACTION';
  return { decision, reasonCode, ...(redacts ? redacted : { payload, metadata }), ...found };
}

function allow(subject: Inspected, reasonCode: ReasonCode, inScope: boolean): Verdict {
  return {
    decision: 'ALLOW',
    reasonCode,
    kind: kindOf(subject.type),
    riskLevel: 'low',
    flags: NO_FLAGS,
    rules: NO_RULES,
    addressMatched: false,
    payload: subject.payload,
    metadata: subject.metadata,
    inScope,
  };
}

/** The verdict for a message that could not be inspected. Even then `monitor` blocks nothing. */
function failed(policy: Policy, subject: Inspected): Verdict {
  const verdict = allow(subject, 'CASIL_INTERNAL_ERROR', true);
  if (policy.settings.default_decision === 'allow') return verdict;
  return policy.settings.mode === 'enforce' ? { ...verdict, decision: 'BLOCK' } : { ...verdict, wouldBe: 'BLOCK' };
}

function kindOf(type: string): CasilMetadata['kind'] {
  switch (type) {
    case 'event':
    case 'private':
      return 'data';
    case 'command':
      return 'control';
    case 'telemetry':
      return 'telemetry';
    default:
      return 'system';
  }
}

function flagsOf(secret: boolean, oversize: boolean, partial: boolean): readonly Flag[] {
  if (!secret && !oversize && !partial) return NO_FLAGS;
  const flags: Flag[] = [];
  if (secret) flags.push('contains_probable_secret');
  if (oversize) flags.push('oversize_payload');
  if (partial) flags.push('partially_inspected');
  return flags;
}

function isPartial(policy: Policy, subject: Inspected): boolean {
  const most = policy.settings.max_inspect_bytes;
  return !fitsFor(most, subject.payload, subject.metadata) && bytesOf(subject) > most;
}

function hidden({ metadata }: Inspected): Examined {
  const nothing = { redacted: REDACTED };
  return { payload: nothing, metadata: metadata && nothing };
}
