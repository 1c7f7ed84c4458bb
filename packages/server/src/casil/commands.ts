import { type AnyCommand, type Core, command, hasRole } from '@arqonbus/bus';
import type { CasilLayer } from '@arqonbus/casil';
import { BusError, type CasilSettings, type CasilSnapshot, TIMESTAMP } from '@arqonbus/protocol';
import { z } from 'zod';

const LIST = z.array(z.string().max(1_024)).max(1_000);

const BYTES = { minimum: 1, maximum: 67_108_864 };
const PATTERNS = { minimum: 0, maximum: 1_000 };

const SETTINGS = z.strictObject({
  enabled: z.boolean().describe('Whether to inspect at all.').exactOptional(),
  mode: z.enum(['monitor', 'enforce']).describe('Only tell, or act.').exactOptional(),
  default_decision: z.enum(['allow', 'block']).describe('When inspection itself fails.').exactOptional(),
  scope_include: LIST.describe('Globs of what is inspected; empty: everything.').exactOptional(),
  scope_exclude: LIST.describe('Globs of what is not; wins over the other.').exactOptional(),
  // The bounds are for documents: the policy judges its settings together, and tells all that is wrong with them.
  max_inspect_bytes: z.number().int().meta(BYTES).describe('How much of a payload is looked at.').exactOptional(),
  max_patterns: z.number().int().meta(PATTERNS).describe('How many patterns there may be.').exactOptional(),
  max_payload_bytes: z.number().int().meta(BYTES).describe('Larger payloads are oversize.').exactOptional(),
  block_on_probable_secret: z.boolean().describe('Block what seems to hold a secret.').exactOptional(),
  redaction_paths: LIST.describe('Names or dotted paths of fields to redact.').exactOptional(),
  redaction_patterns: LIST.describe('Patterns in RE2 syntax to redact.').exactOptional(),
  transport_redaction: z.boolean().describe('Redact for subscribers and history too.').exactOptional(),
  never_log_payload_for: LIST.describe('Globs of what is never shown to operators.').exactOptional(),
  metadata_to_logs: z.boolean().exactOptional(),
  metadata_to_telemetry: z.boolean().exactOptional(),
  metadata_to_envelope: z.boolean().exactOptional(),
});

const { shape } = SETTINGS;
/** The same settings when every one is there. */
type Settings = { [Name in keyof typeof shape]: ReturnType<(typeof shape)[Name]['unwrap']> };

const SNAPSHOT: z.ZodType<CasilSnapshot> = z
  .strictObject({
    ...(Object.fromEntries(Object.entries(shape).map(([name, field]) => [name, field.unwrap()])) as Settings),
    redaction_patterns: shape.redaction_patterns.describe('Patterns in RE2 syntax to redact; for admins.'),
    revision: z.int().min(1).describe('Grows by one with every policy that was swapped in.'),
    loaded_at: z.string().regex(TIMESTAMP),
  })
  .meta({ id: 'CasilSnapshot', description: 'The policy in force.' });

/** op.casil.get, op.casil.reload: the content policy in force. */
export function casilCommands(bus: Core, layer: CasilLayer): AnyCommand[] {
  return [
    command({
      name: 'op.casil.get',
      role: 'guest',
      description: 'Shows the content policy in force; its patterns to admins only.',
      args: z.strictObject({}),
      result: SNAPSHOT,
      run: ({ sender }): CasilSnapshot => layer.snapshot(hasRole(sender.principal, 'admin')),
    }),
    command({
      name: 'op.casil.reload',
      role: 'admin',
      description: 'Changes settings of the content policy; when one of them is wrong, nothing changes.',
      args: SETTINGS,
      result: SNAPSHOT,
      run: ({ sender }, changes): CasilSnapshot => {
        const snapshot = reloadPolicy(layer, changes);
        bus.events.emit('casil_policy_reloaded', sender.principal.tenant, {
          revision: snapshot.revision,
          mode: snapshot.mode,
          enabled: snapshot.enabled,
          client_id: sender.id,
        });
        return snapshot;
      },
    }),
  ];
}

/** Swaps the policy, or throws VALIDATION_ERROR with all that is wrong with the new one. */
export function reloadPolicy(layer: CasilLayer, changes: Partial<Readonly<CasilSettings>>): CasilSnapshot {
  const reloaded = layer.reload(changes);
  if (reloaded.ok) return reloaded.snapshot;
  const faults = reloaded.faults.map(({ setting, message }) => ({ field: setting, problem: message }));
  const sentence = faults.map(({ field, problem }) => `${field}: ${problem}`).join(' ');
  throw new BusError('VALIDATION_ERROR', `The policy was not changed. ${sentence}`, {
    field: faults[0]?.field,
    faults,
  });
}
