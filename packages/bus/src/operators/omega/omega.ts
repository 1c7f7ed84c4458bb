import {
  BusError,
  type CommandResult,
  newId,
  newSecretId,
  type OmegaEvent,
  type OmegaSubstrate,
} from '@arqonbus/protocol';
import { z } from 'zod';
import type { Bus } from '../../bus.ts';
import { limitUpTo } from '../../commands/arguments.ts';
import { type AnyCommand, command } from '../../commands/command.ts';
import { COUNT, STAMP } from '../../schemas/fields.ts';
import { systemSender } from '../../system-sender.ts';
import type { Operator } from '../operator.ts';
import { Laboratories, type OmegaLimits } from './laboratory.ts';

export interface OmegaOptions extends OmegaLimits {
  readonly enabled: boolean;
  readonly labRoom: string;
  readonly labChannel: string;
}

const NAME = z.string().min(1).max(128);
const ID = z.string().min(1).max(128);
const FIELDS = z.record(z.string(), z.unknown());

const SUBSTRATE: z.ZodType<OmegaSubstrate> = z
  .strictObject({ substrate_id: ID, name: NAME, kind: NAME, metadata: FIELDS, registered_at: STAMP })
  .meta({ id: 'OmegaSubstrate' });
const EVENT: z.ZodType<OmegaEvent> = z
  .strictObject({ event_id: ID, substrate_id: ID, signal: NAME, payload: FIELDS, timestamp: STAMP })
  .meta({ id: 'OmegaEvent' });

/** op.omega: an experimental lane for signals of substrates; off unless it is switched on. */
export function createOmegaOperator(bus: Bus, options: OmegaOptions): Operator {
  const laboratories = new Laboratories(options);
  return {
    commands: omegaCommands(bus, laboratories, options),
    start: () => {},
    load: () => {},
    stop: () => {},
  };
}

function omegaCommands(bus: Bus, laboratories: Laboratories, options: OmegaOptions): AnyCommand[] {
  const { enabled, labRoom: room, labChannel: channel, maxEvents, maxSubstrates } = options;
  const laboratory = (tenant: string): ReturnType<Laboratories['of']> => {
    if (enabled) return laboratories.of(tenant);
    throw new BusError('FEATURE_DISABLED', 'The omega lane is off; ARQONBUS_OMEGA_ENABLED=true switches it on.', {
      feature: 'omega',
    });
  };
  return [
    command({
      name: 'op.omega.status',
      role: 'user',
      description: 'Tells whether the lane is on, where its lab is, its limits and counts.',
      args: z.strictObject({}),
      result: z.strictObject({
        enabled: z.boolean(),
        room: z.string(),
        channel: z.string(),
        limits: z.strictObject({ max_events: COUNT, max_substrates: COUNT }),
        counts: z.strictObject({ substrates: COUNT, events: COUNT }),
      }),
      run: ({ sender }): CommandResult<'op.omega.status'> => ({
        enabled,
        room,
        channel,
        limits: { max_events: maxEvents, max_substrates: maxSubstrates },
        counts: laboratories.counts(sender.principal.tenant),
      }),
    }),
    command({
      name: 'op.omega.register_substrate',
      role: 'admin',
      description: 'Registers a source of signals.',
      args: z.strictObject({ name: NAME, kind: NAME, metadata: FIELDS.exactOptional() }),
      result: SUBSTRATE,
      run: ({ sender }, { name, kind, metadata = {} }): OmegaSubstrate =>
        laboratory(sender.principal.tenant).register({
          substrate_id: newSecretId('omega_'),
          name,
          kind,
          metadata,
          registered_at: new Date(bus.options.now()).toISOString(),
        }),
    }),
    command({
      name: 'op.omega.list_substrates',
      role: 'user',
      description: 'Lists the registered sources.',
      args: z.strictObject({}),
      result: z.strictObject({ substrates: z.array(SUBSTRATE), count: COUNT }),
      run: ({ sender }): CommandResult<'op.omega.list_substrates'> => {
        const substrates = laboratory(sender.principal.tenant).substrates();
        return { substrates, count: substrates.length };
      },
    }),
    command({
      name: 'op.omega.unregister_substrate',
      role: 'admin',
      description: 'Removes a source and its events.',
      args: z.strictObject({ substrate_id: ID }),
      result: z.strictObject({ removed: z.literal(true), removed_events: COUNT }),
      run: ({ sender }, { substrate_id }): CommandResult<'op.omega.unregister_substrate'> => ({
        removed: true,
        removed_events: laboratory(sender.principal.tenant).unregister(substrate_id),
      }),
    }),
    command({
      name: 'op.omega.emit_event',
      role: 'admin',
      description: 'Records a signal of a source and sends it to the lab channel.',
      args: z.strictObject({ substrate_id: ID, signal: NAME, payload: FIELDS.exactOptional() }),
      result: EVENT,
      run: async ({ sender }, { substrate_id, signal, payload = {} }): Promise<OmegaEvent> => {
        const { tenant } = sender.principal;
        const event: OmegaEvent = {
          event_id: newId(),
          substrate_id,
          signal,
          payload,
          timestamp: new Date(bus.options.now()).toISOString(),
        };
        const lab = laboratory(tenant);
        lab.assertRegistered(substrate_id);
        const lane = systemSender('op-omega', sender.principal);
        const telemetry = { eventType: 'omega_event', payload: { ...event } };
        await bus.publisher.publish(lane, { id: event.event_id, type: 'telemetry', room, channel, payload: telemetry });
        // And to whoever watches the bus, like every other telemetry event.
        await bus.submissions.submit(lane, { id: newId(), room, channel, payload: telemetry });
        lab.record(event);
        return event;
      },
    }),
    command({
      name: 'op.omega.list_events',
      role: 'user',
      description: 'Lists the last signals, oldest first.',
      args: z.strictObject({ substrate_id: ID.exactOptional(), signal: NAME.exactOptional(), limit: limitUpTo(1_000) }),
      result: z.strictObject({ events: z.array(EVENT), count: COUNT }),
      run: ({ sender }, { limit = 50, ...filter }): CommandResult<'op.omega.list_events'> => {
        const events = laboratory(sender.principal.tenant).events(filter).slice(-limit);
        return { events, count: events.length };
      },
    }),
    command({
      name: 'op.omega.clear_events',
      role: 'admin',
      description: 'Forgets signals: all, those of a source, or those of a name.',
      args: z.strictObject({ substrate_id: ID.exactOptional(), signal: NAME.exactOptional() }),
      result: z.strictObject({ removed_count: COUNT, remaining_count: COUNT }),
      run: ({ sender }, filter): CommandResult<'op.omega.clear_events'> =>
        laboratory(sender.principal.tenant).clear(filter),
    }),
  ];
}
