import type { CasilSettings, CasilSnapshot, JsonObject } from '@arqonbus/protocol';
import { type Inspected, inspect, redactForObservability, type Verdict } from './inspect.ts';
import { Offenders } from './offenders.ts';
import { compilePolicy, type Policy, type PolicyFault } from './policy.ts';
import { Tally } from './tally.ts';

export interface Clock {
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

export type Opened = { ok: true; layer: CasilLayer } | { ok: false; faults: PolicyFault[] };
export type Reloaded = { ok: true; snapshot: CasilSnapshot } | { ok: false; faults: PolicyFault[] };

const REAL_CLOCK: Clock = { now: () => Date.now() };

/** The policy in force and what has come of it. All else in this folder is without state. */
export class CasilLayer {
  /** Whether to inspect at all. The one thing that is asked for every message while the layer is off. */
  enabled: boolean;
  /** Verdicts so far, for metrics. */
  readonly tally: Tally = new Tally();
  #policy: Policy;
  #revision = 1;
  #loadedAt: number;
  readonly #clock: Clock;
  readonly #offenders = new Offenders();

  private constructor(policy: Policy, clock: Clock) {
    this.#policy = policy;
    this.#clock = clock;
    this.#loadedAt = clock.now();
    this.enabled = policy.settings.enabled;
  }

  /** A layer with these settings, or all that is wrong with them. */
  static open(settings: Readonly<CasilSettings>, clock: Clock = REAL_CLOCK): Opened {
    const compiled = compilePolicy(settings);
    return compiled.ok ? { ok: true, layer: new CasilLayer(compiled.policy, clock) } : compiled;
  }

  get policy(): Policy {
    return this.#policy;
  }

  /** Grows by one with every policy that was swapped in; the first one is 1. */
  get revision(): number {
    return this.#revision;
  }

  /** Inspects and counts. Only worth calling while {@link enabled}. */
  inspect(subject: Inspected): Verdict {
    const verdict = inspect(this.#policy, subject);
    this.tally.count(verdict, subject.room);
    return verdict;
  }

  /** What logs, telemetry and HTTP may show of a payload; while the layer is off, the payload itself. */
  redactForObservability(subject: Inspected): JsonObject {
    return this.enabled ? redactForObservability(this.#policy, subject) : subject.payload;
  }

  /**
   * Changes the policy: the settings given replace those in force, the whole is checked, and only when nothing is wrong
   * it takes over, at once and for all that is inspected from then on. Else everything stays as it is.
   */
  reload(changes: Partial<Readonly<CasilSettings>>): Reloaded {
    const compiled = compilePolicy({ ...this.#policy.settings, ...changes });
    if (!compiled.ok) return compiled;
    this.#policy = compiled.policy;
    this.#revision++;
    this.#loadedAt = this.#clock.now();
    this.enabled = compiled.policy.settings.enabled;
    return { ok: true, snapshot: this.snapshot(true) };
  }

  /** The policy in force as `op.casil.get` shows it; patterns are for admins. */
  snapshot(includePatterns: boolean): CasilSnapshot {
    const { redaction_patterns: patterns, ...settings } = structuredClone(this.#policy.settings) as CasilSettings;
    return {
      ...settings,
      ...(includePatterns ? { redaction_patterns: patterns } : {}),
      revision: this.#revision,
      loaded_at: new Date(this.#loadedAt).toISOString(),
    };
  }

  /**
   * Notes that a message of the client was blocked. True when the client has become a repeat offender by it: five
   * blocks in a minute; then not again before it has kept below that.
   */
  blocked(clientId: string): boolean {
    return this.#offenders.blocked(clientId, this.#clock.now());
  }

  /** Forgets a client that has disconnected. */
  forget(clientId: string): void {
    this.#offenders.forget(clientId);
  }
}
