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
import { systemSender } from '../../system-sender.ts';
import type { Operator } from '../operator.ts';
import { type OmegaLimits, OmegaStates } from './state.ts';

export interface OmegaOptions extends OmegaLimits {
  readonly enabled: boolean;
  readonly labRoom: string;
  readonly labChannel: string;
}

const NAME = z.string().min(1).max(128);
const ID = z.string().min(1).max(128);
const FIELDS = z.record(z.string(), z.unknown());

/** op.omega: an experimental lane for signals of substrates; off unless it is switched on. */
export function createOmegaOperator(bus: Bus, options: OmegaOptions): Operator {
  const states = new OmegaStates(options);
  return {
    commands: omegaCommands(bus, states, options),
    start: () => {},
    load: () => {},
    stop: () => {},
  };
}

function omegaCommands(bus: Bus, states: OmegaStates, options: OmegaOptions): AnyCommand[] {
  const { enabled, labRoom: room, labChannel: channel, maxEvents, maxSubstrates } = options;
  const stateOf = (tenant: string): ReturnType<OmegaStates['of']> => {
    if (enabled) return states.of(tenant);
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
      run: ({ sender }): CommandResult<'op.omega.status'> => ({
        enabled,
        room,
        channel,
        limits: { max_events: maxEvents, max_substrates: maxSubstrates },
        counts: states.counts(sender.principal.tenant),
      }),
    }),
    command({
      name: 'op.omega.register_substrate',
      role: 'admin',
      description: 'Registers a source of signals.',
      args: z.strictObject({ name: NAME, kind: NAME, metadata: FIELDS.exactOptional() }),
      run: ({ sender }, { name, kind, metadata = {} }): OmegaSubstrate =>
        stateOf(sender.principal.tenant).register({
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
      run: ({ sender }): CommandResult<'op.omega.list_substrates'> => {
        const substrates = stateOf(sender.principal.tenant).substrates();
        return { substrates, count: substrates.length };
      },
    }),
    command({
      name: 'op.omega.unregister_substrate',
      role: 'admin',
      description: 'Removes a source and its events.',
      args: z.strictObject({ substrate_id: ID }),
      run: ({ sender }, { substrate_id }): CommandResult<'op.omega.unregister_substrate'> => ({
        removed: true,
        removed_events: stateOf(sender.principal.tenant).unregister(substrate_id),
      }),
    }),
    command({
      name: 'op.omega.emit_event',
      role: 'admin',
      description: 'Records a signal of a source and sends it to the lab channel.',
      args: z.strictObject({ substrate_id: ID, signal: NAME, payload: FIELDS.exactOptional() }),
      run: async ({ sender }, { substrate_id, signal, payload = {} }): Promise<OmegaEvent> => {
        const { tenant } = sender.principal;
        const event: OmegaEvent = {
          event_id: newId(),
          substrate_id,
          signal,
          payload,
          timestamp: new Date(bus.options.now()).toISOString(),
        };
        const state = stateOf(tenant);
        state.assertRegistered(substrate_id);
        const lane = systemSender('op-omega', sender.principal);
        const telemetry = { eventType: 'omega_event', payload: { ...event } };
        await bus.publisher.publish(lane, { id: event.event_id, type: 'telemetry', room, channel, payload: telemetry });
        // And to whoever watches the bus, like every other telemetry event.
        await bus.submissions.submit(lane, { id: newId(), room, channel, payload: telemetry });
        state.record(event);
        return event;
      },
    }),
    command({
      name: 'op.omega.list_events',
      role: 'user',
      description: 'Lists the last signals, oldest first.',
      args: z.strictObject({ substrate_id: ID.exactOptional(), signal: NAME.exactOptional(), limit: limitUpTo(1_000) }),
      run: ({ sender }, { limit = 50, ...filter }): CommandResult<'op.omega.list_events'> => {
        const events = stateOf(sender.principal.tenant).events(filter).slice(-limit);
        return { events, count: events.length };
      },
    }),
    command({
      name: 'op.omega.clear_events',
      role: 'admin',
      description: 'Forgets signals: all, those of a source, or those of a name.',
      args: z.strictObject({ substrate_id: ID.exactOptional(), signal: NAME.exactOptional() }),
      run: ({ sender }, filter): CommandResult<'op.omega.clear_events'> =>
        stateOf(sender.principal.tenant).clear(filter),
    }),
  ];
}
