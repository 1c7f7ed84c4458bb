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
import type { ChannelPolicy } from './rules/rules.ts';

/** Receivers that are named to operators. */
const MAX_NAMED = 100;

/**
 * Tells why a publication would be allowed or refused, and who would get it; nothing is sent (RULES 1).
 *
 * @param as somebody else than the caller, who is taken for a client
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
  const { rules, origins } = bus.rules.merged(principal.tenant, room, name);
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
    effective: effectiveOf(policy),
    origins: Object.fromEntries(Object.entries(origins).map(([field, { rule }]) => [field, rule.match])),
    may: {
      publish: may('publish'),
      subscribe: may('subscribe'),
      history: may('history'),
      presence: may('presence'),
    },
    publish: outcomeOf(outcome, policy),
    receivers: receiversOf(bus, caller.principal, channel),
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

/** All that holds, as a rule would say it. */
function effectiveOf(policy: ChannelPolicy): RuleSettings {
  const { retention, schema, hook } = policy;
  const given = {
    history: {
      size: retention.size,
      ttl_seconds: retention.ttlMs / 1_000,
      ...(retention.bytes === undefined ? {} : { bytes: retention.bytes }),
    },
    auto_create: policy.autoCreate,
    publish: policy.publish,
    idle_seconds: policy.idleMs / 1_000,
    ephemeral: policy.ephemeral,
    max_message_bytes: policy.maxMessageBytes,
    rate_per_second: policy.ratePerSecond,
    casil: policy.casil,
    schema: schema === null ? null : schema.rule,
    hook: hook === null ? null : (hideSecrets([{ match: '*:*', hook: hook.settings }])[0]?.hook ?? null),
  };
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== null)) as RuleSettings;
}

/** Connections of this node that an event would be handed to now. */
function receiversOf(bus: Core, { operator }: Principal, channel: Channel | undefined): Explanation['receivers'] {
  const audience: readonly Session[] = channel === undefined ? [] : bus.hub.audienceOf(channel);
  const names = audience.slice(0, MAX_NAMED).map(({ id, principal: { subject } }) => subject ?? id);
  return { connections: audience.length, ...(operator ? { names } : {}) };
}

/** As whom a principal would send: through a connection of its subject on this node, if there is one. */
function senderOf(bus: Core, caller: Sender, principal: Principal): Sender {
  const identity = principal.subject === null ? caller.identity : subjectIdentity(principal.subject);
  const [session = null] = bus.rooms.tenant(principal.tenant).identities.get(identity) ?? [];
  return { ...caller, principal, identity, session: principal.subject === null ? null : session };
}
