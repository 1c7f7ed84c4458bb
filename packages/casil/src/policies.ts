import { BusError, type CasilSettings, WILDCARD } from '@arqonbus/protocol';
import { sizeOf } from './automaton/build.ts';
import { CompileLimitError, type CompileResult, compileInThread } from './compile-thread.ts';
import { assemblePolicy, isCompilable, type Policy, patternFaults, textInspector } from './policy.ts';
import { hasSecretDetector, installSecretDetector } from './secrets.ts';
import { checkSettings, type PolicyFault, settingsError } from './settings.ts';

/**
 * Used as a tenant name: the default policy, for all tenants without their own.
 *
 * ```ts
 * const guard = casil({ mode: 'monitor' });
 * await guard.reload(EVERY_TENANT, { mode: 'enforce' });
 * console.log(guard.snapshot('acme', true).mode); // enforce
 * ```
 */
export const EVERY_TENANT: typeof WILDCARD = WILDCARD;

/** Limits of tenants' own policies, so that no tenant can exhaust shared memory or time. */
export interface TenantLimits {
  /** Tenants with their own policy, in the process. */
  readonly policies: number;
  /** Entries of any list of settings. */
  readonly listEntries: number;
  /** Length of a policy's settings as JSON. */
  readonly settingsCharacters: number;
  /** Bytes of the tables of a policy's patterns. */
  readonly patternBytes: number;
  /** The same for all tenants' policies together. */
  readonly allPatternBytes: number;
  /** Field names cached by a policy. */
  readonly namesRemembered: number;
  /** Queued changes of one policy. */
  readonly waiting: number;
  /** Time limit for compiling a set of patterns, in milliseconds, for any caller. */
  readonly compileMs: number;
}

/**
 * The limits of tenants' own policies. Changes without `limited` are only subject to the number of policies, to the
 * total size of the tables, and to the last two.
 *
 * ```ts
 * console.log(TENANT_LIMITS.listEntries, TENANT_LIMITS.compileMs); // 100 10000
 * ```
 */
export const TENANT_LIMITS: TenantLimits = Object.freeze({
  policies: 1_000,
  listEntries: 100,
  settingsCharacters: 65_536,
  patternBytes: 4 * 1_048_576,
  allPatternBytes: 64 * 1_048_576,
  namesRemembered: 256,
  waiting: 4,
  compileMs: 10_000,
});

/** A policy in force. */
export interface PolicyInForce {
  readonly policy: Policy;
  /** Incremented with every policy that takes effect in the process. */
  readonly revision: number;
  /** Milliseconds since 1970. */
  readonly loadedAt: number;
  /** Bytes of its own patterns' tables; 0 if it shares those of another policy. */
  readonly patternBytes: number;
}

export interface ReloadOptions {
  /** Whether {@link TENANT_LIMITS} apply: not for operators. */
  readonly limited: boolean;
}

/** The policies of one process: the default, and tenants' own ones. */
export class Policies {
  readonly #now: () => number;
  #default: PolicyInForce;
  readonly #own = new Map<string, PolicyInForce>();
  #anyEnabled = false;
  #revision = 0;
  /** Changes run one at a time, so that none is lost and at most one thread compiles. */
  #queue: Promise<unknown> = Promise.resolve();
  readonly #waiting = new Map<string, number>();

  constructor(policy: Policy, now: () => number) {
    this.#now = now;
    this.#default = this.#inForce(policy, 0);
    this.#noteEnabled();
  }

  /** Whether the tenant's messages are inspected. A single check while no policy is enabled. */
  enabledFor(tenant: string): boolean {
    return this.#anyEnabled && this.of(tenant).policy.settings.enabled;
  }

  /** The tenant's own policy, or the default; {@link EVERY_TENANT} is the default. */
  of(tenant: string): PolicyInForce {
    return this.#own.get(tenant) ?? this.#default;
  }

  hasOwn(tenant: string): boolean {
    return this.#own.has(tenant);
  }

  /**
   * Changes a policy: the given settings replace those in force for the tenant, and the result is validated; only
   * without errors it takes effect, at once for all further messages. Otherwise nothing changes.
   *
   * @throws BusError VALIDATION_ERROR with every error; LIMIT_EXCEEDED if there are too many policies or changes
   */
  reload(tenant: string, changes: Partial<Readonly<CasilSettings>>, options: ReloadOptions): Promise<PolicyInForce> {
    return this.#inTurn(tenant, async () => {
      const before = this.of(tenant);
      const candidate = { ...before.policy.settings, ...changes };
      const { limited } = options;
      const isOwn = tenant !== EVERY_TENANT;
      const faults = this.#check(candidate, before.policy.settings, limited);
      const isSame = sameList(candidate.redaction_patterns, before.policy.settings.redaction_patterns);
      const compiled = await compile(candidate, isSame, faults);
      const built = compiled?.patterns;
      const patternBytes = isSame ? before.patternBytes : built?.ok === true ? sizeOf(built.automata) : 0;
      if (limited && patternBytes > TENANT_LIMITS.patternBytes) faults.push(tooLarge(patternBytes));
      if (faults.length > 0) throw settingsError('The policy was not changed.', faults);
      if (isOwn) this.#makeRoom(tenant, patternBytes);
      if (compiled?.secrets !== undefined) installSecretDetector(compiled.secrets);
      const text = isSame ? before.policy.text : textInspector(built);
      const policy = assemblePolicy(candidate, text, isOwn ? TENANT_LIMITS.namesRemembered : undefined);
      // Shared tables are not charged to the tenant.
      const inForce = this.#inForce(policy, isSame && !this.hasOwn(tenant) ? 0 : patternBytes);
      if (isOwn) this.#own.set(tenant, inForce);
      else this.#default = inForce;
      this.#noteEnabled();
      return inForce;
    });
  }

  /** Removes the tenant's own policy: the default applies again. */
  reset(tenant: string): Promise<PolicyInForce> {
    return this.#inTurn(tenant, () => {
      this.#own.delete(tenant);
      this.#noteEnabled();
      return this.#default;
    });
  }

  #inForce(policy: Policy, patternBytes: number): PolicyInForce {
    this.#revision++;
    return { policy, revision: this.#revision, loadedAt: this.#now(), patternBytes };
  }

  #noteEnabled(): void {
    this.#anyEnabled = [this.#default, ...this.#own.values()].some(({ policy }) => policy.settings.enabled);
  }

  async #inTurn<T>(tenant: string, change: () => T | Promise<T>): Promise<T> {
    const waiting = this.#waiting.get(tenant) ?? 0;
    if (waiting >= TENANT_LIMITS.waiting) {
      throw new BusError('LIMIT_EXCEEDED', 'Earlier changes of this policy are still being checked; try again later.', {
        limit: TENANT_LIMITS.waiting,
      });
    }
    this.#waiting.set(tenant, waiting + 1);
    const turn = this.#queue.then(change);
    this.#queue = turn.catch(() => {});
    try {
      return await turn;
    } finally {
      const left = (this.#waiting.get(tenant) ?? 1) - 1;
      if (left === 0) this.#waiting.delete(tenant);
      else this.#waiting.set(tenant, left);
    }
  }

  #check(candidate: CasilSettings, before: Readonly<CasilSettings>, limited: boolean): PolicyFault[] {
    if (!limited) return checkSettings(candidate, before);
    const faults = checkSettings(candidate, before, TENANT_LIMITS.listEntries);
    const most = this.#default.policy.settings;
    for (const setting of ['max_inspect_bytes', 'max_patterns'] as const) {
      if (candidate[setting] <= most[setting] || candidate[setting] === before[setting]) continue;
      faults.push({ setting, message: `${setting} must not be above the server's own, ${most[setting]}.` });
    }
    if (JSON.stringify(candidate).length > TENANT_LIMITS.settingsCharacters) {
      const message = `The settings are longer than ${TENANT_LIMITS.settingsCharacters} characters together; shorten the lists.`;
      faults.push({ setting: 'redaction_patterns', message });
    }
    return faults;
  }

  /** Throws LIMIT_EXCEEDED if the tenant's policy would exceed the number or the total size of policies. */
  #makeRoom(tenant: string, patternBytes: number): void {
    const others = [...this.#own].filter(([other]) => other !== tenant).map(([, inForce]) => inForce);
    const bytes = others.reduce((sum, other) => sum + other.patternBytes, patternBytes);
    if (others.length < TENANT_LIMITS.policies && bytes <= TENANT_LIMITS.allPatternBytes) return;
    throw new BusError(
      'LIMIT_EXCEEDED',
      'The server holds as many policies of tenants as it can; have the operator reset one that is no longer needed.',
      { policies: others.length, limit: TENANT_LIMITS.policies },
    );
  }
}

/** Compiles what is new and adds errors to `faults`. Undefined if there is nothing to compile. */
async function compile(
  candidate: Readonly<CasilSettings>,
  isSame: boolean,
  faults: PolicyFault[],
): Promise<CompileResult | undefined> {
  const patterns = isSame || !isCompilable(candidate) ? [] : candidate.redaction_patterns;
  const secrets = candidate.enabled === true && !hasSecretDetector();
  if (patterns.length === 0 && !secrets) return undefined;
  try {
    const result = await compileInThread({ patterns, secrets }, TENANT_LIMITS.compileMs);
    if (!result.patterns.ok) faults.push(...patternFaults(candidate, result.patterns.faults));
    return result;
  } catch (error) {
    if (!(error instanceof CompileLimitError)) throw error;
    const message = `redaction_patterns ${error.message}; use fewer or simpler ones.`;
    faults.push({ setting: 'redaction_patterns', message });
  }
}

function tooLarge(bytes: number): PolicyFault {
  const message = `redaction_patterns need ${bytes} bytes of tables; ${TENANT_LIMITS.patternBytes} are allowed.`;
  return { setting: 'redaction_patterns', message };
}

function sameList(one: readonly string[], other: readonly string[]): boolean {
  if (one === other) return true;
  return Array.isArray(one) && one.length === other.length && one.every((entry, i) => entry === other[i]);
}
