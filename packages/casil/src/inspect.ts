import type { CasilMetadata, JsonObject } from '@arqonbus/protocol';
import { credentialArguments } from './credentials.ts';
import { Examination } from './examination.ts';
import { fitsFor, payloadBytes } from './payload-size.ts';
import type { Policy } from './policy.ts';
import { REDACTED } from './redaction.ts';

/** What is inspected: the content of one envelope and where it goes. */
export interface Inspected {
  readonly type: 'event' | 'private' | 'command' | 'telemetry';
  /** Undefined when it goes to no room, as a private message can. */
  readonly room: string | undefined;
  /** `*` when it goes to all channels of the room. */
  readonly channel: string | undefined;
  /** The payload; of a command its arguments. */
  readonly payload: JsonObject;
  /** The name of a command: some have arguments that are meant to hold credentials. */
  readonly command?: string | undefined;
}

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
  /** In `monitor`, what `enforce` would have decided, unless it would have allowed. */
  readonly wouldBe?: Decision;
  /**
   * Ids of the rules that matched, never what they matched: `secret:RULE`, `key:NAME`, `pattern:INDEX`, `path:PATH`.
   */
  readonly rules: readonly string[];
  /** For transport and history: the very same object when nothing was redacted for them. */
  readonly payload: JsonObject;
  readonly inScope: boolean;
}

/** What was found, before the mode has its say. */
export interface Findings {
  readonly flags: readonly Flag[];
  readonly rules: readonly string[];
  readonly secret: boolean;
  readonly oversize: boolean;
  readonly redacted: JsonObject;
}

const NO_FLAGS: readonly Flag[] = Object.freeze([]);
const NO_RULES: readonly string[] = Object.freeze([]);

/** Inspects one envelope. Never throws and never changes the payload; the same subject always gets the same verdict. */
export function inspect(policy: Policy, subject: Inspected): Verdict {
  try {
    if (!policy.scope(subject.room, subject.channel)) return allow(subject, 'CASIL_OUT_OF_SCOPE', false);
    return judge(policy, subject, examine(policy, subject));
  } catch {
    return failed(policy, subject);
  }
}

/**
 * What logs, telemetry and HTTP may show of a payload: redacted where the policy applies, replaced as a whole where it
 * says so, and without what was not inspected. Never throws; what cannot be inspected is not shown.
 */
export function redactForObservability(policy: Policy, subject: Inspected): JsonObject {
  try {
    if (policy.neverLog(subject.room, subject.channel)) return hidden();
    const exempt = credentialArguments(subject.command);
    if (exempt?.has('*')) return hidden();
    const shown = exempt === undefined ? subject.payload : withoutCredentials(subject.payload, exempt);
    if (!policy.scope(subject.room, subject.channel)) return shown;
    const partial = isPartial(policy, shown);
    return new Examination(policy, { partial, hideRest: true, exempt }).run(shown);
  } catch {
    return hidden();
  }
}

/** The verdict as envelopes, telemetry and logs carry it. */
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

/** Looks into the payload. Throws when it cannot: too deep, or not to be serialized. */
export function examine(
  policy: Policy,
  subject: Inspected,
  onMatch?: (rule: string, path: readonly (string | number)[]) => void,
): Findings {
  const { max_inspect_bytes: most, max_payload_bytes: largest } = policy.settings;
  const { payload } = subject;
  const small = fitsFor(payload, Math.min(most, largest));
  const bytes = small ? 0 : payloadBytes(payload);
  const partial = bytes > most;
  const oversize = bytes > largest;
  const exempt = credentialArguments(subject.command);
  const examination = new Examination(policy, { partial, hideRest: false, exempt, ...(onMatch && { onMatch }) });
  const redacted = examination.run(payload);
  const { secret, rules } = examination;
  return { flags: flagsOf(secret, oversize, partial), rules, secret, oversize, redacted };
}

/** What `enforce` makes of findings. */
export function enforced(policy: Policy, { secret, oversize, rules }: Findings): [Decision, ReasonCode] {
  if (oversize) return ['BLOCK', 'CASIL_POLICY_OVERSIZE'];
  if (secret && policy.settings.block_on_probable_secret) return ['BLOCK', 'CASIL_POLICY_BLOCKED_SECRET'];
  if (rules.length > 0) return ['ALLOW_WITH_REDACTION', 'CASIL_POLICY_REDACTED'];
  return ['ALLOW', 'CASIL_POLICY_ALLOWED'];
}

function judge(policy: Policy, subject: Inspected, findings: Findings): Verdict {
  const [decision, reasonCode] = enforced(policy, findings);
  const { flags, rules, secret, oversize, redacted } = findings;
  if (decision === 'ALLOW' && flags.length === 0) return allow(subject, 'CASIL_POLICY_ALLOWED', true);
  const found = {
    kind: kindOf(subject.type),
    riskLevel: secret ? 'high' : oversize ? 'medium' : 'low',
    flags,
    rules,
    inScope: true,
  } as const;
  const { mode, transport_redaction: transport } = policy.settings;
  if (mode === 'monitor' && decision !== 'ALLOW') {
    const reason = 'CASIL_MONITOR_MODE';
    return { decision: 'ALLOW', reasonCode: reason, wouldBe: decision, payload: subject.payload, ...found };
  }
  const redacts = mode === 'enforce' && transport && decision === 'ALLOW_WITH_REDACTION';
  return { decision, reasonCode, payload: redacts ? redacted : subject.payload, ...found };
}

function allow(subject: Inspected, reasonCode: ReasonCode, inScope: boolean): Verdict {
  return {
    decision: 'ALLOW',
    reasonCode,
    kind: kindOf(subject.type),
    riskLevel: 'low',
    flags: NO_FLAGS,
    rules: NO_RULES,
    payload: subject.payload,
    inScope,
  };
}

/** The verdict on what could not be inspected. Even then `monitor` stops nothing. */
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

function isPartial(policy: Policy, payload: JsonObject): boolean {
  const most = policy.settings.max_inspect_bytes;
  return !fitsFor(payload, most) && payloadBytes(payload) > most;
}

function withoutCredentials(payload: JsonObject, exempt: ReadonlySet<string>): JsonObject {
  return Object.fromEntries(Object.entries(payload).map(([key, value]) => [key, exempt.has(key) ? REDACTED : value]));
}

function hidden(): JsonObject {
  return { redacted: REDACTED };
}
