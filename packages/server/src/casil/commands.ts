import { type AnyCommand, type Core, command, hasRole, type Principal } from '@arqonbus/bus';
import { type Casil, EVERY_TENANT } from '@arqonbus/casil';
import { BusError, type CasilRoomDecisions, type CasilSnapshot, TIMESTAMP, WILDCARD } from '@arqonbus/protocol';
import { z } from 'zod';

const LIST = z.array(z.string().max(1_024)).max(1_000);
const TENANT = z
  .string()
  .min(1)
  .max(256)
  .describe('For operators: another tenant, or "*" for the policy of all that have none of their own.')
  .exactOptional();

const BYTES = { minimum: 1, maximum: 67_108_864 };
const PATTERNS = { minimum: 0, maximum: 1_000 };

const SETTINGS = {
  enabled: z.boolean().describe('Whether to inspect at all.').exactOptional(),
  mode: z.enum(['monitor', 'enforce']).describe('Only report, or act.').exactOptional(),
  default_decision: z.enum(['allow', 'block']).describe('When inspection itself fails.').exactOptional(),
  scope_include: LIST.describe('Globs of inspected places; empty: everything.').exactOptional(),
  scope_exclude: LIST.describe('Globs of places that are not inspected; takes precedence.').exactOptional(),
  // The limits are documentation: the policy validates its settings together and reports all errors.
  max_inspect_bytes: z.number().int().meta(BYTES).describe('How much of a message is looked at.').exactOptional(),
  max_patterns: z.number().int().meta(PATTERNS).describe('How many patterns there may be.').exactOptional(),
  max_payload_bytes: z
    .number()
    .int()
    .meta(BYTES)
    .describe('Payloads larger than this, with metadata, are oversize.')
    .exactOptional(),
  block_on_probable_secret: z.boolean().describe('Block messages that probably contain a secret.').exactOptional(),
  redaction_paths: LIST.describe('Names or dotted paths of fields to redact.').exactOptional(),
  redaction_patterns: LIST.describe('Patterns in RE2 syntax to redact.').exactOptional(),
  transport_redaction: z.boolean().describe('Redact for subscribers and history too.').exactOptional(),
  never_log_payload_for: LIST.describe('Globs of places whose payloads are never shown to operators.').exactOptional(),
  metadata_to_logs: z.boolean().exactOptional(),
  metadata_to_telemetry: z.boolean().exactOptional(),
  metadata_to_envelope: z.boolean().exactOptional(),
};

/** The same settings, all required. */
type Settings = { [Name in keyof typeof SETTINGS]: ReturnType<(typeof SETTINGS)[Name]['unwrap']> };

const DECISION: z.ZodType<CasilRoomDecisions> = z
  .strictObject({
    room: z.string().describe('`other rooms` beyond the hundredth; empty for messages without a room.'),
    decision: z.enum(['ALLOW', 'ALLOW_WITH_REDACTION', 'BLOCK']),
    reason_code: z.string(),
    count: z.int().min(1),
  })
  .meta({ id: 'CasilRoomDecisions', description: 'The number of outcomes of one kind in one room.' });

const SNAPSHOT: z.ZodType<CasilSnapshot> = z
  .strictObject({
    ...(Object.fromEntries(Object.entries(SETTINGS).map(([name, field]) => [name, field.unwrap()])) as Settings),
    redaction_patterns: SETTINGS.redaction_patterns.describe('Patterns in RE2 syntax to redact; for admins.'),
    revision: z.int().min(1).describe('Grows with every policy of any tenant that is applied on the node.'),
    loaded_at: z.string().regex(TIMESTAMP),
    inherited: z.boolean().describe("Whether the tenant has no policy of its own and so has the server's."),
    decisions: z.array(DECISION).describe('What was decided in each room since the start; for admins.').exactOptional(),
  })
  .meta({ id: 'CasilSnapshot', description: 'The current policy of a tenant.' });

const RELOAD = z
  .strictObject({
    ...SETTINGS,
    tenant: TENANT,
    reset: z.literal(true).describe("Take the tenant's own policy away; without settings.").exactOptional(),
  })
  // The whole payload: a policy must not block its own repair or redact the patterns that replace it.
  .meta({ secret: true });

/**
 * op.casil.get, op.casil.reload: the content policies in force.
 *
 * @param singleTenant without authentication there is one tenant, which uses the server's policy
 */
export function casilCommands(bus: Core, guard: Casil, singleTenant: boolean): AnyCommand[] {
  const targetOf = (principal: Principal, tenant: string | undefined): string => {
    if (tenant === undefined) return singleTenant ? EVERY_TENANT : principal.tenant;
    if (principal.operator || tenant === principal.tenant) return tenant;
    throw new BusError('AUTHORIZATION_ERROR', 'Only operators may name another tenant; leave "tenant" out.', {
      field: 'tenant',
    });
  };
  return [
    command({
      name: 'op.casil.get',
      role: 'guest',
      description:
        'Returns the content policy of your tenant; for admins also its patterns, and the decisions by room.',
      args: z.strictObject({ tenant: TENANT }),
      result: SNAPSHOT,
      run: ({ sender: { principal } }, { tenant }): CasilSnapshot => {
        const target = targetOf(principal, tenant);
        const snapshot = guard.snapshot(target, hasRole(principal, 'admin'));
        if (!hasRole(principal, 'admin')) return snapshot;
        const counted = tenant ?? principal.tenant;
        return counted === EVERY_TENANT
          ? snapshot
          : { ...snapshot, decisions: decisionsFor(bus, guard, principal, counted) };
      },
    }),
    command({
      name: 'op.casil.reload',
      role: 'admin',
      isTenantWide: true,
      description: "Changes settings of your tenant's content policy. If one of them is invalid, nothing changes.",
      args: RELOAD,
      result: SNAPSHOT,
      run: async ({ sender }, { tenant, reset, ...changes }): Promise<CasilSnapshot> => {
        const { principal } = sender;
        const target = targetOf(principal, tenant);
        const snapshot =
          reset === true
            ? await resetPolicy(guard, target, changes)
            : await guard.reload(target, changes, { limited: !principal.operator });
        const { revision, mode, enabled } = snapshot;
        const whose = target !== EVERY_TENANT ? target : singleTenant ? principal.tenant : null;
        bus.events.emit('casil_policy_reloaded', whose, {
          revision,
          mode,
          enabled,
          tenant: target,
          client_id: sender.id,
        });
        return snapshot;
      },
    }),
  ];
}

async function resetPolicy(guard: Casil, tenant: string, changes: object): Promise<CasilSnapshot> {
  if (tenant === EVERY_TENANT || Object.keys(changes).length > 0) {
    throw new BusError('VALIDATION_ERROR', '"reset" goes with the tenant whose own policy ends, and with no setting.', {
      field: 'reset',
    });
  }
  return guard.reset(tenant);
}

/** Decisions in the rooms that the admin's grants cover. */
function decisionsFor(bus: Core, guard: Casil, principal: Principal, tenant: string): CasilRoomDecisions[] {
  return guard
    .roomDecisions(tenant)
    .filter(({ room }) => bus.access.may(principal, 'subscribe', room, WILDCARD))
    .map(({ room, decision, reason, count }) => ({ room, decision, reason_code: reason, count }));
}
