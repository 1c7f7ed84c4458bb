import { bytesOf, enforced, examine, type Flag, type Inspected, inspect, type Verdict } from './inspect.ts';
import type { Policy } from './policy.ts';
import { matchingGlobs } from './scope.ts';
import { SECRET_RULES } from './secrets.ts';

/** One place in the message where a rule matched. Never contains the matched text. */
export interface Match {
  /** As in {@link Verdict.rules}. */
  readonly rule: string;
  /** A description of what the rule finds. */
  readonly description: string;
  /**
   * The place: `$.user.keys[0].value` in the payload, `metadata.note`, `room`, `channel`, `to`, `id` or `request_id`.
   * Names that are not identifiers are in brackets; a name that matched itself is shown as the token.
   */
  readonly path: string;
}

/** The reasons for a verdict, in the order of inspection. */
export interface Explanation {
  readonly scope: {
    readonly inScope: boolean;
    /** The matching globs of `scope_include`; an empty setting includes everything. */
    readonly includedBy: readonly string[];
    readonly includesAll: boolean;
    readonly excludedBy: readonly string[];
    readonly neverLogged: boolean;
  };
  readonly kind: Verdict['kind'];
  readonly size: {
    /** UTF-8 bytes of serialized payload and metadata; undefined if they cannot be serialized. */
    readonly bytes: number | undefined;
    readonly maxPayloadBytes: number;
    readonly oversize: boolean;
    readonly maxInspectBytes: number;
    readonly partiallyInspected: boolean;
  };
  readonly flags: readonly Flag[];
  /** In the order of the message. Empty if it is out of scope. */
  readonly matches: readonly Match[];
  /** The decision of `enforce`; in `monitor`, what it would be. */
  readonly enforced: { readonly decision: Verdict['decision']; readonly reasonCode: Verdict['reasonCode'] };
  readonly mode: 'monitor' | 'enforce';
  /** False: the layer is disabled, and this is what it would do. */
  readonly enabled: boolean;
  readonly verdict: Verdict;
  /** Whether subscribers and history get something different from what was sent. */
  readonly transportRedacted: boolean;
  /** Why the payload could not be inspected. */
  readonly failure?: string;
}

const DESCRIPTIONS: ReadonlyMap<string, string> = new Map(SECRET_RULES.map(({ id, description }) => [id, description]));
const IDENTIFIER = /^[A-Za-z_$][A-Za-z0-9_$]*$/;

/**
 * Explains the outcome of a policy for a message, step by step, without counting or reporting it. Never throws.
 *
 * ```ts
 * const compiled = compilePolicy({ ...DEFAULT_CASIL_SETTINGS, mode: 'enforce' });
 * if (compiled.ok) {
 *   const { matches } = explain(compiled.policy, { type: 'event', room: 'ops', channel: 'log', payload: { pwd: 'q8Zr2LpX7' } });
 *   console.log(matches[0]?.rule, matches[0]?.path); // key:pwd $.pwd
 * }
 * ```
 */
export function explain(policy: Policy, subject: Inspected): Explanation {
  const { settings } = policy;
  const { room, channel } = subject;
  const verdict = inspect(policy, subject);
  const bytes = sizeOf(subject);
  const matches: Match[] = [];
  let failure: string | undefined;
  let outcome: [Verdict['decision'], Verdict['reasonCode']] = [verdict.decision, verdict.reasonCode];
  if (verdict.inScope) {
    try {
      const findings = examine(policy, subject, (rule, path) => {
        const match = { rule, description: describe(policy, rule), path: format(path) };
        if (!matches.some((known) => known.rule === rule && known.path === match.path)) matches.push(match);
      });
      outcome = enforced(policy, findings);
    } catch (error) {
      failure = (error as Error).message;
      outcome = [settings.default_decision === 'allow' ? 'ALLOW' : 'BLOCK', 'CASIL_INTERNAL_ERROR'];
    }
  }
  return {
    scope: {
      inScope: verdict.inScope,
      includedBy: matchingGlobs(settings.scope_include, room, channel),
      includesAll: settings.scope_include.length === 0,
      excludedBy: matchingGlobs(settings.scope_exclude, room, channel),
      neverLogged: policy.neverLog(room, channel),
    },
    kind: verdict.kind,
    size: {
      bytes,
      maxPayloadBytes: settings.max_payload_bytes,
      oversize: bytes !== undefined && bytes > settings.max_payload_bytes,
      maxInspectBytes: settings.max_inspect_bytes,
      partiallyInspected: bytes !== undefined && bytes > settings.max_inspect_bytes,
    },
    flags: verdict.flags,
    matches,
    enforced: { decision: outcome[0], reasonCode: outcome[1] },
    mode: settings.mode,
    enabled: settings.enabled,
    verdict,
    transportRedacted: verdict.payload !== subject.payload || verdict.metadata !== subject.metadata,
    ...(failure === undefined ? {} : { failure }),
  };
}

/** A description of a rule id. */
function describe(policy: Policy, rule: string): string {
  const colon = rule.indexOf(':');
  const name = rule.slice(colon + 1);
  switch (rule.slice(0, colon)) {
    case 'secret':
      return DESCRIPTIONS.get(name) ?? name;
    case 'key':
      return `A field whose name ends in "${name}" and whose value can be a credential`;
    case 'pattern':
      return `The pattern ${policy.settings.redaction_patterns[Number(name)]}`;
    default:
      return `The redaction path ${name}`;
  }
}

function sizeOf(subject: Inspected): number | undefined {
  try {
    return bytesOf(subject);
  } catch {
    return undefined;
  }
}

function format([part, ...path]: readonly (string | number)[]): string {
  const root = part === 'payload' ? '$' : part;
  return `${root}${path.map((step) => (typeof step === 'number' ? `[${step}]` : IDENTIFIER.test(step) ? `.${step}` : `[${JSON.stringify(step)}]`)).join('')}`;
}
