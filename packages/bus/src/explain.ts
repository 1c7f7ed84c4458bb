import { type Address, BusError, type Explanation, type JsonObject, newId } from '@arqonbus/protocol';
import { andThen, attempt } from './awaitable.ts';
import type { Sender, Session } from './connection/session.ts';
import type { Core } from './core.ts';
import { subjectIdentity } from './direct.ts';
import type { Awaitable } from './engine/engine.ts';
import type { Action, Principal } from './principal.ts';
import type { Rehearsed } from './publish.ts';
import type { Channel } from './rooms.ts';
import { hideSecrets, type RuleSettings } from './rules/rule.ts';
import type { ChannelHook, ChannelPolicy } from './rules/rules.ts';

/** Most receivers of one kind that are named. */
const MAX_NAMED = 100;
/** The engines' default deduplication window. */
const DEDUPE_MS = 120_000;

/**
 * Explains why a publication would be allowed or refused, and who would receive it, without sending it (RULES 1).
 *
 * @param as another principal to publish as, instead of the caller; it is treated as a client
 */
export function explain(
  bus: Core,
  caller: Sender,
  address: Address,
  payload: JsonObject,
  as: Principal | null,
): Awaitable<Explanation> {
  const sender = as === null ? caller : senderOf(bus, caller, as);
  const isConnection = as !== null || caller.session !== null;
  const { principal } = sender;
  const { room, channel: name } = address;
  const { rules, origins, settled } = bus.rules.merged(principal.tenant, room, name);
  const channel = bus.rooms.tenant(principal.tenant).find(room, name);
  const policy = channel === undefined ? bus.rooms.policyAt(principal.tenant, room, name) : bus.rooms.policy(channel);
  const may = (action: Action): boolean => bus.access.may(principal, action, room, name);
  const message = { id: newId(), type: 'event', room, channel: name, payload } as const;
  const published = attempt<Rehearsed | BusError>(
    () => bus.publisher.rehearse(sender, message, isConnection),
    (error) => {
      if (error instanceof BusError) return error;
      throw error;
    },
  );
  return andThen(published, (outcome) => ({
    rules: rules.map(({ rule, from }) => ({ match: rule.match, from })),
    effective: effectiveOf(policy, settled.keep_for_groups === true, bus.options.maxHops),
    origins: Object.fromEntries(Object.entries(origins).map(([field, { rule }]) => [field, rule.match])),
    may: {
      publish: may('publish'),
      subscribe: may('subscribe'),
      history: may('history'),
      presence: may('presence'),
    },
    publish: outcomeOf(outcome, policy),
    hooks: hooksOf(bus, principal, address, policy),
    receivers: receiversOf(bus, caller.principal, address, channel),
  }));
}

function outcomeOf(outcome: Rehearsed | BusError, { schema }: ChannelPolicy): Explanation['publish'] {
  if (outcome instanceof BusError) {
    return { allowed: false, error_code: outcome.code, reason: outcome.message };
  }
  const { casil, mismatch } = outcome;
  const told = {
    ...(casil === null ? {} : { casil: { ...casil, rules: [...casil.rules] } }),
    ...(schema === null ? {} : { schema: mismatch === null ? { ok: true } : { ok: false, ...mismatch } }),
  };
  if (casil?.decision !== 'BLOCK') return { allowed: true, ...told };
  return {
    allowed: false,
    error_code: casil.reason_code,
    reason: 'The content policy blocks this payload.',
    ...told,
  };
}

/** All effective settings in the form of a rule, without those left to the client. */
function effectiveOf(policy: ChannelPolicy, keepsForGroups: boolean, maxHops: number): RuleSettings {
  const { retention, schema, hook } = policy;
  const given = {
    history: {
      size: retention.size,
      ttl_seconds: retention.ttlMs / 1_000,
      ...(retention.bytes === undefined ? {} : { bytes: retention.bytes }),
    },
    retain_last: policy.retainLast,
    auto_create: policy.autoCreate,
    publish: policy.publish,
    presence: policy.presence,
    echo: policy.echo,
    ephemeral: policy.ephemeral,
    max_message_bytes: policy.maxMessageBytes,
    rate_per_second: policy.ratePerSecond,
    dedupe_seconds: (policy.dedupeMs ?? DEDUPE_MS) / 1_000,
    casil: policy.casil,
    schema: schema === null ? null : schema.rule,
    idle_seconds: policy.idleMs / 1_000,
    keep_for_groups: keepsForGroups,
    max_hops: policy.maxHops ?? maxHops,
    hook: hook === null ? null : (hideSecrets([{ match: '*:*', hook: hook.settings }])[0]?.hook ?? null),
  };
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== null)) as RuleSettings;
}

/** The backends called when the principal connects, joins here and publishes here, in this order. */
function hooksOf(
  bus: Core,
  { tenant }: Principal,
  { room, channel }: Address,
  { hook }: ChannelPolicy,
): Explanation['hooks'] {
  const { connectBackend } = bus.http;
  const asked: Explanation['hooks'] = [];
  if (connectBackend !== null) {
    asked.push({ on: 'connect', host: connectBackend.host, on_failure: connectBackend.onFailure });
  }
  const told = (on: 'join' | 'publish', { settings }: ChannelHook): Explanation['hooks'][number] => ({
    on,
    host: new URL(settings.url).host,
    on_failure: settings.on_failure ?? 'deny',
  });
  for (const one of bus.rules.joinHooks(tenant, room, channel)) asked.push(told('join', one));
  if (hook?.onPublish === true) asked.push(told('publish', hook));
  return asked;
}

/** Connections of this node that would receive an event now, and its groups and webhooks. */
function receiversOf(
  bus: Core,
  { tenant, operator }: Principal,
  { room, channel: name }: Address,
  channel: Channel | undefined,
): Explanation['receivers'] {
  const audience: readonly Session[] = channel === undefined ? [] : bus.hub.audienceOf(channel);
  const names = audience.slice(0, MAX_NAMED).map(({ id, principal: { subject } }) => subject ?? id);
  const groups = bus.groups.readersOf(tenant, room, name).map(({ isInternal, group, group_id, ...source }) => ({
    ...(isInternal === true ? { webhook: group_id } : { group }),
    source: `${source.room}:${source.channel}`,
  }));
  return { connections: audience.length, ...(operator ? { names } : {}), groups: groups.slice(0, MAX_NAMED) };
}

/** The sender for a principal: with a connection of its subject on this node, if there is one. */
function senderOf(bus: Core, caller: Sender, principal: Principal): Sender {
  const identity = principal.subject === null ? caller.identity : subjectIdentity(principal.subject);
  const [session = null] = bus.rooms.tenant(principal.tenant).identities.of(identity);
  return { ...caller, principal, identity, session: principal.subject === null ? null : session };
}
