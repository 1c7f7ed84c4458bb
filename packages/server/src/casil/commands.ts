import { type AnyCommand, type Bus, command, hasRole, may, type Principal } from '@arqonbus/bus';
import { type Casil, EVERY_TENANT } from '@arqonbus/casil';
import { BusError, type CasilRoomDecisions, type CasilSnapshot, WILDCARD } from '@arqonbus/protocol';
import { z } from 'zod';

const LIST = z.array(z.string().max(1_024)).max(1_000);
const TENANT = z
  .string()
  .min(1)
  .max(256)
  .describe('For operators: another tenant, or "*" for the policy of all that have none of their own.')
  .exactOptional();

const SETTINGS = {
  enabled: z.boolean().describe('Whether to inspect at all.').exactOptional(),
  mode: z.enum(['monitor', 'enforce']).describe('Only tell, or act.').exactOptional(),
  default_decision: z.enum(['allow', 'block']).describe('When inspection itself fails.').exactOptional(),
  scope_include: LIST.describe('Globs of what is inspected; empty: everything.').exactOptional(),
  scope_exclude: LIST.describe('Globs of what is not; wins over the other.').exactOptional(),
  max_inspect_bytes: z.number().int().describe('How much of a message is looked at.').exactOptional(),
  max_patterns: z.number().int().describe('How many patterns there may be.').exactOptional(),
  max_payload_bytes: z
    .number()
    .int()
    .describe('Payloads larger than this, with metadata, are oversize.')
    .exactOptional(),
  block_on_probable_secret: z.boolean().describe('Block what seems to hold a secret.').exactOptional(),
  redaction_paths: LIST.describe('Names or dotted paths of fields to redact.').exactOptional(),
  redaction_patterns: LIST.describe('Patterns in RE2 syntax to redact.').exactOptional(),
  transport_redaction: z.boolean().describe('Redact for subscribers and history too.').exactOptional(),
  never_log_payload_for: LIST.describe('Globs of what is never shown to operators.').exactOptional(),
  metadata_to_logs: z.boolean().exactOptional(),
  metadata_to_telemetry: z.boolean().exactOptional(),
  metadata_to_envelope: z.boolean().exactOptional(),
};

const RELOAD = z
  .strictObject({
    ...SETTINGS,
    tenant: TENANT,
    reset: z.literal(true).describe("Take the tenant's own policy away; without settings.").exactOptional(),
  })
  // All of it: a policy must not stand in the way of its own repair, nor redact the patterns that replace it.
  .meta({ secret: true });

/**
 * op.casil.get, op.casil.reload: the content policies in force.
 *
 * @param singleTenant without authentication there is one tenant, whose policy is that of the server
 */
export function casilCommands(bus: Bus, guard: Casil, singleTenant: boolean): AnyCommand[] {
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
        'Shows the content policy in force for your tenant; to admins also its patterns, and what was decided in each room.',
      args: z.strictObject({ tenant: TENANT }),
      run: ({ sender: { principal } }, { tenant }): CasilSnapshot => {
        const target = targetOf(principal, tenant);
        const snapshot = guard.snapshot(target, hasRole(principal, 'admin'));
        if (!hasRole(principal, 'admin')) return snapshot;
        const counted = tenant ?? principal.tenant;
        return counted === EVERY_TENANT
          ? snapshot
          : { ...snapshot, decisions: decisionsFor(guard, principal, counted) };
      },
    }),
    command({
      name: 'op.casil.reload',
      role: 'admin',
      description: "Changes settings of your tenant's content policy; when one of them is wrong, nothing changes.",
      args: RELOAD,
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

/** What was decided in the rooms that the admin's grants cover. */
function decisionsFor(guard: Casil, principal: Principal, tenant: string): CasilRoomDecisions[] {
  return guard
    .roomDecisions(tenant)
    .filter(({ room }) => may(principal, 'subscribe', room, WILDCARD))
    .map(({ room, decision, reason, count }) => ({ room, decision, reason_code: reason, count }));
}
