import { BusError, compilePattern, isChannelPattern, MAIL_ROOM, WILDCARD } from '@arqonbus/protocol';
import { andThen } from '../awaitable.ts';
import type { Awaitable, KeyChange, KeySpace, KeyValueStore, Retention } from '../engine/engine.ts';
import { checkDestination, type HostTest } from '../outbound/destination.ts';
import { signingKey } from '../outbound/signature.ts';
import { type CompiledRule, compileRules, type Merged, mergeRules } from './match.ts';
import { compileSchema, type PayloadCheck } from './payload-schema.ts';
import { type HookSettings, isMailMatch, parseRules, type Rule, type RuleSettings } from './rule.ts';

const SPACE = 'rules';
const KEY = 'rules';
/** UTF-8 bytes of a tenant's rules as JSON. */
const MAX_BYTES = 262_144;
const PAGE = 1_000;
/** Practically unlimited (10 million envelopes, ten years): the limit in bytes is reached first. */
const NO_SIZE = 10_000_000;
const NO_END_MS = 315_360_000_000;
/** The default limit in UTF-8 bytes. */
const MAX_HISTORY_BYTES = 16_777_216;

/** The settings where no rule says otherwise. */
export interface RuleDefaults {
  readonly retention: Retention;
  readonly autoCreateChannels: boolean;
  /** Milliseconds. */
  readonly channelIdleMs: number;
  readonly publishRequiresJoin: boolean;
}

/** The merged settings of one channel, prepared for the publish path. */
export interface ChannelPolicy {
  readonly retention: Retention;
  readonly retainLast: boolean;
  readonly autoCreate: boolean;
  readonly publish: 'granted' | 'members' | 'nobody';
  /** True: forced, false: forbidden, null: as the client wants. */
  readonly presence: boolean | null;
  readonly echo: boolean | null;
  readonly ephemeral: boolean | null;
  /** UTF-8 bytes of a payload; null: only the connection's limit. */
  readonly maxMessageBytes: number | null;
  /** Events per second of one sender; null: no separate limit. */
  readonly ratePerSecond: number | null;
  /** Deduplication window in milliseconds; null: the engine's default. */
  readonly dedupeMs: number | null;
  readonly schema: {
    readonly check: PayloadCheck;
    readonly mode: 'warn' | 'enforce';
    readonly rule: SchemaRule;
  } | null;
  readonly casil: 'off' | 'monitor' | 'enforce' | null;
  readonly idleMs: number;
  readonly maxHops: number | null;
  readonly hook: ChannelHook | null;
}

/** A backend to call before an action. */
export interface ChannelHook {
  readonly settings: HookSettings;
  /** Whether the operator's configuration sets it; its URL may then be any. */
  readonly isOperators: boolean;
  readonly onJoin: boolean;
  readonly onPublish: boolean;
}

interface TenantRules {
  readonly version: number;
  readonly rules: readonly Rule[];
  readonly compiled: readonly CompiledRule[];
  /** Rules with join hooks. */
  readonly joinHooks: readonly CompiledRule[];
  /** Rules for mailboxes. */
  readonly mail: readonly CompiledRule[];
  /** One policy for all channels that match the same rules. */
  readonly policies: Map<string, ChannelPolicy>;
}

/**
 * The channel rules: those of the configuration, and each tenant's own, which take precedence. A tenant's rules are
 * stored in the key-value store and apply on every node as soon as they are set.
 */
export class ChannelRules {
  private readonly store: KeyValueStore;
  private base: readonly CompiledRule[];
  private readonly defaults: RuleDefaults;
  private readonly onFault: (error: unknown) => void;
  private readonly allowed: HostTest;
  private fallback: TenantRules;
  private readonly tenants: Map<string, TenantRules> = new Map();
  /** Called after the rules of a tenant have changed. */
  readonly changed: Set<(tenant: string) => void> = new Set();

  /**
   * Throws VALIDATION_ERROR for an invalid rule of the configuration.
   *
   * @param allowed special hosts that hooks in tenants' own rules may address
   */
  constructor(
    store: KeyValueStore,
    base: readonly unknown[],
    defaults: RuleDefaults,
    onFault: (error: unknown) => void,
    allowed: HostTest = () => false,
  ) {
    this.store = store;
    this.defaults = defaults;
    this.onFault = onFault;
    this.allowed = allowed;
    this.base = baseRules(base);
    this.fallback = this.make(0, []);
  }

  /**
   * Applies new configuration rules or defaults at once, for these tenants and all others. Throws VALIDATION_ERROR for
   * invalid rules, and then changes nothing.
   */
  rebase(base: readonly unknown[], tenants: Iterable<string>): void {
    this.base = baseRules(base);
    this.fallback = this.make(0, []);
    for (const [tenant, { version, rules }] of this.tenants) this.tenants.set(tenant, this.make(version, rules));
    for (const tenant of tenants) for (const listener of this.changed) listener(tenant);
  }

  /** Follows changes by other nodes; returns a function that stops it. */
  start(): () => void {
    return this.store.watch(SPACE, (change) => this.follow(change));
  }

  /** Loads the stored rules; called again after a storage outage. */
  async load(): Promise<void> {
    const tenants = await this.store.tenants(SPACE);
    for (let at = 0; at < tenants.length; at += PAGE) {
      await Promise.all(
        tenants.slice(at, at + PAGE).map(async (tenant) => {
          const entry = await this.store.get(spaceOf(tenant), KEY);
          if (entry !== null) this.adopt(tenant, entry.value, entry.version);
        }),
      );
    }
  }

  /** The rules of the configuration, as written. */
  get baseRules(): readonly Rule[] {
    return this.base.map(({ rule }) => rule);
  }

  /** A tenant's own rules and their version, which is 0 before they are first set. */
  own(tenant: string): { readonly version: number; readonly rules: readonly Rule[] } {
    const { version, rules } = this.of(tenant);
    return { version, rules };
  }

  /**
   * Replaces a tenant's own rules, on every node; returns their version. Throws VALIDATION_ERROR for invalid rules, and
   * CONFLICT when `ifVersion` is given and is no longer the current version.
   */
  set(tenant: string, given: unknown, ifVersion?: number): Awaitable<number> {
    const rules = checked(given);
    requireDestinations(rules, this.allowed);
    const text = JSON.stringify(rules);
    if (Buffer.byteLength(text) > MAX_BYTES) {
      throw new BusError('VALIDATION_ERROR', `The rules of a tenant are at most ${MAX_BYTES} bytes; use fewer.`, {
        field: 'rules',
        limit: MAX_BYTES,
      });
    }
    return andThen(
      this.store.set(spaceOf(tenant), KEY, text, ifVersion === undefined ? {} : { ifVersion }),
      (outcome) => {
        if (outcome.ok) {
          this.put(tenant, this.make(outcome.version, rules));
          return outcome.version;
        }
        const version = outcome.reason === 'conflict' ? outcome.version : 0;
        throw new BusError('CONFLICT', 'Somebody else has set the rules meanwhile; read them and set yours again.', {
          version,
          if_version: ifVersion,
        });
      },
    );
  }

  /** The policy of a channel, whether or not it exists. */
  policy(tenant: string, room: string, channel: string): ChannelPolicy {
    const known = this.of(tenant);
    if (known.compiled.length === 0) return this.share(known, '', () => this.policyOf(NOTHING));
    let key = '';
    for (const [index, rule] of known.compiled.entries()) if (rule.matches(room, channel)) key += `${index} `;
    return this.share(known, key, () => this.policyOf(mergeRules(known.compiled, room, channel)));
  }

  /** The merged settings of a channel, with the rules they come from. */
  merged(tenant: string, room: string, channel: string): Merged {
    return mergeRules(this.of(tenant).compiled, room, channel);
  }

  /** The history settings of a mailbox, by its channel in the mailbox room. */
  mailbox(tenant: string, channel: string): NonNullable<RuleSettings['history']> {
    const { mail } = this.of(tenant);
    return mail.length === 0 ? NO_BOUNDS : (mergeRules(mail, MAIL_ROOM, channel).settled.history ?? NO_BOUNDS);
  }

  /**
   * The hooks for joining a place: for a channel its own; for a room or a pattern those of all rules that may apply to
   * its channels, without duplicates.
   */
  joinHooks(tenant: string, room: string, channel: string): readonly ChannelHook[] {
    const known = this.of(tenant);
    if (known.joinHooks.length === 0) return NONE;
    if (room !== WILDCARD && channel !== WILDCARD && !isChannelPattern(channel)) {
      const { hook } = this.policy(tenant, room, channel);
      return hook?.onJoin === true ? [hook] : NONE;
    }
    const byUrl = new Map<string, ChannelHook>();
    for (const one of known.joinHooks) {
      const { hook } = one.rule;
      if (hook !== undefined && mayMeet(one, room, channel)) byUrl.set(hook.url, hookOf(hook, one));
    }
    return [...byUrl.values()];
  }

  private share(known: TenantRules, key: string, make: () => ChannelPolicy): ChannelPolicy {
    let policy = known.policies.get(key);
    if (policy === undefined) {
      policy = make();
      known.policies.set(key, policy);
    }
    return policy;
  }

  private of(tenant: string): TenantRules {
    return this.tenants.get(tenant) ?? this.fallback;
  }

  private make(version: number, rules: readonly Rule[]): TenantRules {
    const compiled = [...this.base, ...compileRules(rules, 'store')];
    const joinHooks = compiled.filter(({ rule }) => rule.hook?.on.includes('join') === true);
    const mail = compiled.filter(({ rule }) => isMailMatch(rule.match));
    return { version, rules, compiled, joinHooks, mail, policies: new Map() };
  }

  private put(tenant: string, rules: TenantRules): void {
    // A node's own change also arrives as a store notification; an older one may arrive late.
    if (this.of(tenant).version >= rules.version && this.tenants.has(tenant)) return;
    this.tenants.set(tenant, rules);
    for (const listener of this.changed) listener(tenant);
  }

  private adopt(tenant: string, value: string, version: number): void {
    try {
      this.put(tenant, this.make(version, checked(JSON.parse(value))));
    } catch (error) {
      // A newer node may have set rules that this one cannot read; the previous ones stay in force.
      this.onFault(
        new Error(`The rules of the tenant ${tenant} cannot be read; those before them hold on.`, { cause: error }),
      );
    }
  }

  private follow({ at, value, version }: KeyChange): void {
    if (value !== null) this.adopt(at.tenant, value, version);
  }

  private policyOf({ settled, origins }: Pick<Merged, 'settled' | 'origins'>): ChannelPolicy {
    const { retention, autoCreateChannels, channelIdleMs, publishRequiresJoin } = this.defaults;
    const { history = {}, schema } = settled;
    // Unread events of a group must not be removed by count or age; the limit in bytes still applies.
    const isUnbounded = settled.keep_for_groups === true;
    const bytes = history.bytes ?? retention.bytes ?? (isUnbounded ? MAX_HISTORY_BYTES : undefined);
    return {
      retention: {
        size: isUnbounded ? NO_SIZE : (history.size ?? retention.size),
        ttlMs: isUnbounded
          ? NO_END_MS
          : history.ttl_seconds === undefined
            ? retention.ttlMs
            : history.ttl_seconds * 1_000,
        ...(bytes === undefined ? {} : { bytes }),
        ...(settled.retain_last === true ? { keepLast: true } : {}),
      },
      retainLast: settled.retain_last ?? false,
      autoCreate: settled.auto_create ?? autoCreateChannels,
      publish: settled.publish ?? (publishRequiresJoin ? 'members' : 'granted'),
      presence: settled.presence ?? null,
      echo: settled.echo ?? null,
      ephemeral: settled.ephemeral ?? null,
      maxMessageBytes: settled.max_message_bytes ?? null,
      ratePerSecond: settled.rate_per_second ?? null,
      dedupeMs: settled.dedupe_seconds === undefined ? null : settled.dedupe_seconds * 1_000,
      schema: schema === undefined ? null : { check: checkOf(schema), mode: schema.mode, rule: schema },
      casil: settled.casil ?? null,
      idleMs: settled.idle_seconds === undefined ? channelIdleMs : settled.idle_seconds * 1_000,
      maxHops: settled.max_hops ?? null,
      hook: settled.hook === undefined ? null : hookOf(settled.hook, origins.hook),
    };
  }
}

const NONE: readonly ChannelHook[] = [];
const NO_BOUNDS: NonNullable<RuleSettings['history']> = {};
const NOTHING: Pick<Merged, 'settled' | 'origins'> = { settled: {}, origins: {} };
/** One object per rule, so that what is derived from it can be cached. */
const HOOKS: WeakMap<HookSettings, ChannelHook> = new WeakMap();

function hookOf(settings: HookSettings, from: CompiledRule | undefined): ChannelHook {
  let hook = HOOKS.get(settings);
  if (hook === undefined) {
    hook = {
      settings,
      isOperators: from?.from === 'file',
      onJoin: settings.on.includes('join'),
      onPublish: settings.on.includes('publish'),
    };
    HOOKS.set(settings, hook);
  }
  return hook;
}

/** Whether a rule may match a channel of this room or pattern; two patterns are assumed to overlap. */
function mayMeet({ rule: { match } }: CompiledRule, room: string, channel: string): boolean {
  const [ofRoom = '', ofChannel = ''] = match.split(':');
  const isRoom = room === WILDCARD || ofRoom === WILDCARD || compilePattern(ofRoom)(room);
  if (!isRoom || channel === WILDCARD || ofChannel === WILDCARD || isChannelPattern(ofChannel)) return isRoom;
  return compilePattern(channel)(ofChannel);
}

/** Throws VALIDATION_ERROR for a tenant's hook that addresses a special host. */
function requireDestinations(rules: readonly Rule[], allowed: HostTest): void {
  for (const [index, { hook }] of rules.entries()) {
    if (hook !== undefined) at(`rules.${index}.hook.url`, () => checkDestination(hook.url, allowed));
  }
}

/** Adds the field to an error. */
function at(field: string, check: () => unknown): void {
  try {
    check();
  } catch (error) {
    if (!(error instanceof BusError)) throw error;
    throw new BusError('VALIDATION_ERROR', `${field}: ${error.message}`, { ...error.details, field });
  }
}

type SchemaRule = NonNullable<Rule['schema']>;

/** A rule's schema is compiled once, for all its channels. */
const CHECKS: WeakMap<SchemaRule, PayloadCheck> = new WeakMap();

function checkOf(rule: SchemaRule): PayloadCheck {
  let check = CHECKS.get(rule);
  if (check === undefined) {
    check = compileSchema(rule.schema);
    CHECKS.set(rule, check);
  }
  return check;
}

/** Parses rules and validates their schemas, URLs and secrets before they take effect. */
function checked(given: unknown): Rule[] {
  const rules = parseRules(given);
  for (const [index, { schema, hook }] of rules.entries()) {
    if (schema !== undefined) at(`rules.${index}.schema.schema`, () => checkOf(schema));
    if (hook === undefined) continue;
    at(`rules.${index}.hook.url`, () => checkDestination(hook.url, () => true));
    const { secret } = hook;
    if (secret !== undefined) at(`rules.${index}.hook.secret`, () => signingKey(secret));
  }
  return rules;
}

/** Throws VALIDATION_ERROR for invalid rules of the configuration. */
export function checkRules(given: readonly unknown[]): void {
  checked(given);
}

function baseRules(given: readonly unknown[]): readonly CompiledRule[] {
  return compileRules(checked(given), 'file');
}

function spaceOf(tenant: string): KeySpace {
  return { tenant, space: SPACE, namespace: '' };
}
