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

/** A message being processed by the bus. */
export interface Inspection extends Inspected {
  readonly id: string;
  /** The tenant whose policy applies. */
  readonly tenant: string;
  /** The name of a command. */
  readonly command?: string | undefined;
  /** Overrides for this message: no inspection, or a different mode. A disabled policy stays disabled. */
  readonly mode?: 'off' | 'monitor' | 'enforce' | null | undefined;
}

/** The result of an inspection. */
export interface Passed {
  /** The same object unless the policy redacts delivered messages. */
  readonly payload: JsonObject;
  /** The client's metadata, redacted if necessary; undefined if there is none. */
  readonly metadata?: JsonObject | undefined;
  /** The `metadata.casil` of the envelope; undefined without `metadata_to_envelope`. */
  readonly casil?: CasilMetadata | undefined;
}

/**
 * One decision, for logs, telemetry and metrics. Contains no matched text.
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
  /** Null if it has no room; the token if the name itself matched. */
  readonly room: string | null;
  readonly channel: string | null;
  readonly senderId: string;
  readonly messageId: string;
  readonly verdict: Verdict;
  /** Duration of the inspection. */
  readonly seconds: number;
  /** Whether this made the sender a repeat offender: five blocks within a minute. */
  readonly isRepeatViolation: boolean;
  /** The settings of the policy, which say what to report: `metadata_to_logs`, `metadata_to_telemetry`. */
  readonly settings: Readonly<CasilSettings>;
}

export interface CasilOptions {
  /**
   * Called for every decision in scope, before a blocked message is refused. Must not block; anything it throws becomes
   * a process warning.
   */
  readonly onDecision?: ((decision: CasilDecision) => void) | undefined;
  /** Milliseconds since 1970; default: the system clock. */
  readonly now?: (() => number) | undefined;
}

const SENTENCES: Readonly<Record<string, string>> = {
  CASIL_POLICY_BLOCKED_SECRET:
    'The content policy blocked this: it seems to hold a secret. Take it out and send again.',
  CASIL_POLICY_OVERSIZE: 'The content policy blocked this: payload and metadata are larger than it allows.',
  CASIL_INTERNAL_ERROR: 'The content policy could not inspect this, and blocks what it cannot inspect.',
};

/**
 * Content inspection for a bus: pass it to `createBus` as a hook, or call {@link Casil.inspect} yourself.
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
 * The policies of all tenants, and their statistics. Created by {@link casil}.
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

  /**
   * Whether messages of the tenant are inspected. Called for every message; a single check while no policy is enabled.
   */
  enabledFor(tenant: string): boolean {
    return this.#policies.enabledFor(tenant);
  }

  /**
   * What may be delivered of a message: all of it, or the redacted version.
   *
   * @throws BusError with the reason as its code if the policy blocks the message
   */
  inspect(inspection: Inspection, sender: { readonly id: string }): Passed {
    const { payload, metadata, tenant, room } = inspection;
    // Messages of the server itself contain no client content.
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

  /** The outcome for a message, without side effects: nothing is counted, reported or refused. Null: out of scope. */
  judge(inspection: Inspection): { decision: Decision; reason_code: string; rules: readonly string[] } | null {
    const { policy: inForce } = this.#policies.of(inspection.tenant);
    if (!inForce.settings.enabled || inspection.mode === 'off') return null;
    const verdict = inspect(inMode(inForce, inspection.mode ?? inForce.settings.mode), inspection);
    if (!verdict.inScope) return null;
    return { decision: verdict.decision, reason_code: verdict.reasonCode, rules: verdict.rules };
  }

  /** What logs, telemetry and HTTP may show of a payload; the payload itself if the tenant's policy is disabled. */
  shown(inspection: Inspection): JsonObject {
    return this.observe(inspection).payload;
  }

  /** The same for payload and metadata. */
  observe(inspection: Omit<Inspection, 'id'>): Examined {
    const { policy } = this.#policies.of(inspection.tenant);
    if (policy.settings.enabled) return redactForObservability(policy, inspection);
    return { payload: inspection.payload, metadata: inspection.metadata };
  }

  /** The policy in force for a tenant, as an argument for {@link explain}; `*` is the default policy. */
  policyOf(tenant: string): Policy {
    return this.#policies.of(tenant).policy;
  }

  /** The policy in force, as returned by `op.casil.get`; its patterns are only for admins. */
  snapshot(tenant: string, includePatterns: boolean): CasilSnapshot {
    return this.#snapshotOf(tenant, this.#policies.of(tenant), includePatterns);
  }

  /**
   * Changes a tenant's policy, which is then its own; with `*`, the default policy. The given settings replace those in
   * force; if any is invalid, nothing changes. Patterns are compiled in another thread.
   *
   * @throws BusError VALIDATION_ERROR with every error; LIMIT_EXCEEDED, see {@link TENANT_LIMITS}
   */
  async reload(
    tenant: string,
    changes: Partial<Readonly<CasilSettings>>,
    options: ReloadOptions = { limited: false },
  ): Promise<CasilSnapshot> {
    return this.#snapshotOf(tenant, await this.#policies.reload(tenant, changes, options), true);
  }

  /** Removes a tenant's own policy: the default applies again. */
  async reset(tenant: string): Promise<CasilSnapshot> {
    return this.#snapshotOf(tenant, await this.#policies.reset(tenant), true);
  }

  /** Counts of decisions in the process, without tenants and rooms. */
  decisions(): DecisionCount[] {
    return this.#tally.decisions();
  }

  /** The counts of one tenant by room, for its admins. */
  roomDecisions(tenant: string): RoomDecisionCount[] {
    return this.#tally.roomDecisions(tenant);
  }

  /** Forgets a disconnected sender. */
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
      // A failed report does not affect the message.
      process.emitWarning(error instanceof Error ? error : String(error));
    }
  }
}

/** Copies of policies in the other mode, which share everything else. */
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
