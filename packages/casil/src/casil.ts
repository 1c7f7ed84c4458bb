import {
  BusError,
  type CasilMetadata,
  type CasilSettings,
  type CasilSnapshot,
  type ErrorCode,
  type JsonObject,
  SERVER,
} from '@arqonbus/protocol';
import type { Examined } from './examination.ts';
import {
  casilMetadata,
  type Decision,
  type Inspected,
  inspect,
  redactForObservability,
  type Verdict,
} from './inspect.ts';
import { Offenders } from './offenders.ts';
import { EVERY_TENANT, Policies, type PolicyInForce, type ReloadOptions } from './policies.ts';
import { compilePolicy, type Policy } from './policy.ts';
import { REDACTED } from './redaction.ts';
import { DEFAULT_CASIL_SETTINGS, settingsError } from './settings.ts';
import { type DecisionCount, type RoomDecisionCount, Tally } from './tally.ts';

/** One message on its way through the bus. */
export interface Inspection extends Inspected {
  readonly id: string;
  /** Whose policy holds. */
  readonly tenant: string;
  /** The name of a command. */
  readonly command?: string | undefined;
  /** For this message alone: no inspection, or another mode than the policy's. A policy that is off stays off. */
  readonly mode?: 'off' | 'monitor' | 'enforce' | null | undefined;
}

/** What may travel on. */
export interface Passed {
  /** The very same object unless the policy redacts for transport. */
  readonly payload: JsonObject;
  /** What is left of the client's metadata; undefined when it set none. */
  readonly metadata?: JsonObject | undefined;
  /** What the envelope carries as `metadata.casil`; undefined unless the policy says `metadata_to_envelope`. */
  readonly casil?: CasilMetadata | undefined;
}

/**
 * One decision, for logs, telemetry and metrics. Holds nothing of what was matched.
 *
 * ```ts
 * const onDecision = ({ verdict, room }: CasilDecision): void => console.log(verdict.decision, verdict.rules, room);
 * const guard = casil({ mode: 'enforce' }, { onDecision });
 * const message = { id: 'arq_1', type: 'event', tenant: 'default', room: 'ops', channel: 'log' } as const;
 * guard.inspect({ ...message, payload: { api_key: 'f00dfeed' } }, { id: 'ada' }); // ALLOW_WITH_REDACTION [ 'key:apikey' ] ops
 * ```
 */
export interface CasilDecision {
  readonly tenant: string;
  readonly type: Inspected['type'];
  /** Null when it went to no room; the token when the name itself matched. */
  readonly room: string | null;
  readonly channel: string | null;
  readonly senderId: string;
  readonly messageId: string;
  readonly verdict: Verdict;
  /** How long the inspection took. */
  readonly seconds: number;
  /** Whether the sender has become a repeat offender by it: five blocks within a minute. */
  readonly isRepeatViolation: boolean;
  /** The policy's, which says what is to be told: `metadata_to_logs`, `metadata_to_telemetry`. */
  readonly settings: Readonly<CasilSettings>;
}

export interface CasilOptions {
  /** Told of every decision in scope, before a blocked message is refused. Must not wait; what it throws is a warning of the process. */
  readonly onDecision?: ((decision: CasilDecision) => void) | undefined;
  /** Milliseconds since 1970; the clock of the machine unless given. */
  readonly now?: (() => number) | undefined;
}

const SENTENCES: Readonly<Record<string, string>> = {
  CASIL_POLICY_BLOCKED_SECRET:
    'The content policy blocked this: it seems to hold a secret. Take it out and send again.',
  CASIL_POLICY_OVERSIZE: 'The content policy blocked this: payload and metadata are larger than it allows.',
  CASIL_INTERNAL_ERROR: 'The content policy could not inspect this, and blocks what it cannot inspect.',
};

/**
 * Content inspection for a bus: give it to `createBus` as a hook, or call {@link Casil.inspect} yourself.
 *
 * ```ts
 * const guard = casil({ mode: 'enforce', transport_redaction: true });
 * const message = { id: 'arq_1', type: 'event', tenant: 'default', room: 'ops', channel: 'log' } as const;
 * const passed = guard.inspect({ ...message, payload: { note: 'use password=hunter2' } }, { id: 'ada' });
 * console.log(passed.payload.note); // use password=***REDACTED***
 * ```
 *
 * @param settings over {@link DEFAULT_CASIL_SETTINGS}; giving any means `enabled: true` unless they say otherwise
 * @throws BusError VALIDATION_ERROR that lists everything that is wrong with the settings
 */
export function casil(settings?: Partial<Readonly<CasilSettings>>, options: CasilOptions = {}): Casil {
  const enabled = settings !== undefined;
  const compiled = compilePolicy({ ...DEFAULT_CASIL_SETTINGS, enabled, ...settings });
  if (!compiled.ok) throw settingsError('The CASIL settings are at fault.', compiled.faults);
  return new Casil(compiled.policy, options);
}

/**
 * The policies of all tenants, and what has come of them. Made by {@link casil}.
 *
 * ```ts
 * const guard = casil({ mode: 'monitor' });
 * await guard.reload('acme', { mode: 'enforce' }, { limited: true });
 * console.log(guard.snapshot('acme', true).mode, guard.snapshot('default', true).mode); // enforce monitor
 * ```
 */
export class Casil {
  readonly #policies: Policies;
  readonly #tally = new Tally();
  readonly #offenders = new Offenders();
  readonly #now: () => number;
  readonly #onDecision: ((decision: CasilDecision) => void) | undefined;

  /** @internal */
  constructor(policy: Policy, { onDecision, now = Date.now }: CasilOptions) {
    this.#now = now;
    this.#onDecision = onDecision;
    this.#policies = new Policies(policy, now);
  }

  /** Whether anything of the tenant's is inspected. Asked for every message: one check while no policy is enabled. */
  enabledFor(tenant: string): boolean {
    return this.#policies.enabledFor(tenant);
  }

  /**
   * What may travel on of a message: all of it, or what the policy leaves.
   *
   * @throws BusError with the reason as its code when the policy blocks the message
   */
  inspect(inspection: Inspection, sender: { readonly id: string }): Passed {
    const { payload, metadata, tenant, room } = inspection;
    // What the server says of itself holds no client's content.
    if (sender.id === SERVER) return { payload, metadata };
    const { policy: inForce } = this.#policies.of(tenant);
    if (!inForce.settings.enabled || inspection.mode === 'off') return { payload, metadata };
    const policy = inMode(inForce, inspection.mode ?? inForce.settings.mode);
    const began = this.#onDecision === undefined ? 0 : performance.now();
    const verdict = inspect(policy, inspection);
    this.#tally.count(verdict, tenant, room);
    if (!verdict.inScope) return { payload, metadata };
    const isBlocked = verdict.decision === 'BLOCK';
    const isRepeatViolation = isBlocked && this.#offenders.blocked(sender.id, this.#now());
    if (this.#onDecision !== undefined) {
      const seconds = (performance.now() - began) / 1_000;
      this.#tell(decisionOn(inspection, sender.id, verdict, { seconds, isRepeatViolation, settings: policy.settings }));
    }
    if (isBlocked) throw blocked(verdict, inspection);
    const passed = { payload: verdict.payload, metadata: verdict.metadata };
    return policy.settings.metadata_to_envelope ? { ...passed, casil: casilMetadata(verdict) } : passed;
  }

  /** What would come of a message, which leaves no trace: nothing is counted, told or refused. Null: out of scope. */
  judge(inspection: Inspection): { decision: Decision; reason_code: string; rules: readonly string[] } | null {
    const { policy: inForce } = this.#policies.of(inspection.tenant);
    if (!inForce.settings.enabled || inspection.mode === 'off') return null;
    const verdict = inspect(inMode(inForce, inspection.mode ?? inForce.settings.mode), inspection);
    if (!verdict.inScope) return null;
    return { decision: verdict.decision, reason_code: verdict.reasonCode, rules: verdict.rules };
  }

  /** What logs, telemetry and HTTP may show of a payload; while the tenant's policy is off, the payload itself. */
  shown(inspection: Inspection): JsonObject {
    return this.observe(inspection).payload;
  }

  /** The same of payload and metadata. */
  observe(inspection: Omit<Inspection, 'id'>): Examined {
    const { policy } = this.#policies.of(inspection.tenant);
    if (policy.settings.enabled) return redactForObservability(policy, inspection);
    return { payload: inspection.payload, metadata: inspection.metadata };
  }

  /** The policy in force for a tenant, as {@link explain} takes it; `*` is the default of all that have no own. */
  policyOf(tenant: string): Policy {
    return this.#policies.of(tenant).policy;
  }

  /** The policy in force as `op.casil.get` shows it; its patterns are for admins. */
  snapshot(tenant: string, includePatterns: boolean): CasilSnapshot {
    return this.#snapshotOf(tenant, this.#policies.of(tenant), includePatterns);
  }

  /**
   * Changes a tenant's policy, which from then on is its own; with `*` the default of all that have no own. The settings
   * given replace those in force; when any is wrong, nothing changes. Patterns are compiled in another thread.
   *
   * @throws BusError VALIDATION_ERROR with every fault; LIMIT_EXCEEDED, see {@link TENANT_LIMITS}
   */
  async reload(
    tenant: string,
    changes: Partial<Readonly<CasilSettings>>,
    options: ReloadOptions = { limited: false },
  ): Promise<CasilSnapshot> {
    return this.#snapshotOf(tenant, await this.#policies.reload(tenant, changes, options), true);
  }

  /** Takes a tenant's own policy away: it has the default again. */
  async reset(tenant: string): Promise<CasilSnapshot> {
    return this.#snapshotOf(tenant, await this.#policies.reset(tenant), true);
  }

  /** How often was decided what in the process; names no tenant and no room. */
  decisions(): DecisionCount[] {
    return this.#tally.decisions();
  }

  /** The same of one tenant by room, for its admins. */
  roomDecisions(tenant: string): RoomDecisionCount[] {
    return this.#tally.roomDecisions(tenant);
  }

  /** Forgets a sender that has disconnected. */
  forget(senderId: string): void {
    this.#offenders.forget(senderId);
  }

  #snapshotOf(tenant: string, inForce: PolicyInForce, includePatterns: boolean): CasilSnapshot {
    const { redaction_patterns: patterns, ...settings } = structuredClone(inForce.policy.settings) as CasilSettings;
    return {
      ...settings,
      ...(includePatterns ? { redaction_patterns: patterns } : {}),
      revision: inForce.revision,
      loaded_at: new Date(inForce.loadedAt).toISOString(),
      inherited: tenant !== EVERY_TENANT && !this.#policies.hasOwn(tenant),
    };
  }

  #tell(decision: CasilDecision): void {
    try {
      this.#onDecision?.(decision);
    } catch (error) {
      // Whoever reports decides nothing: the message goes its way.
      process.emitWarning(error instanceof Error ? error : String(error));
    }
  }
}

/** Policies in the other mode than their own, which share everything with them but that. */
const OTHER_MODE: WeakMap<Policy, Policy> = new WeakMap();

function inMode(policy: Policy, mode: 'monitor' | 'enforce'): Policy {
  if (policy.settings.mode === mode) return policy;
  let other = OTHER_MODE.get(policy);
  if (other === undefined) {
    other = { ...policy, settings: Object.freeze({ ...policy.settings, mode }) };
    OTHER_MODE.set(policy, other);
  }
  return other;
}

function decisionOn(
  { tenant, type, room, channel, id: messageId }: Inspection,
  senderId: string,
  verdict: Verdict,
  rest: Pick<CasilDecision, 'seconds' | 'isRepeatViolation' | 'settings'>,
): CasilDecision {
  const told = (name = ''): string | null => (name === '' ? null : verdict.addressMatched ? REDACTED : name);
  return { tenant, type, room: told(room), channel: told(channel), senderId, messageId, verdict, ...rest };
}

function blocked({ reasonCode }: Verdict, { room, channel }: Inspection): BusError {
  const sentence = SENTENCES[reasonCode] ?? 'The content policy blocked this.';
  const place = { room: room ?? null, channel: channel ?? null };
  return new BusError(reasonCode as ErrorCode, sentence, { reason: reasonCode, ...place });
}
