import {
  BusError,
  type CommandResult,
  newId,
  newSecretId,
  type OmegaEvent,
  type OmegaSubstrate,
} from '@arqonbus/protocol';
import { z } from 'zod';
import { limitUpTo } from '../../commands/arguments.ts';
import { type AnyCommand, command } from '../../commands/command.ts';
import type { Sender } from '../../connection/session.ts';
import type { Core } from '../../core.ts';
import type { Action } from '../../principal.ts';
import { COUNT, OBJECT, STAMP } from '../../schemas/fields.ts';
import { serverPrincipal, systemSender } from '../../system-sender.ts';
import type { Operator } from '../operator.ts';
import { MAX_PAGE, PAGE, pageOf } from '../page.ts';
import { type OmegaLimits, type OmegaState, OmegaStates } from './state.ts';

export interface OmegaOptions extends OmegaLimits {
  readonly enabled: boolean;
  readonly labRoom: string;
  readonly labChannel: string;
}

export const DEFAULT_OMEGA_OPTIONS: OmegaOptions = {
  enabled: false,
  labRoom: 'omega-lab',
  labChannel: 'signals',
  maxEvents: 1_000,
  maxSubstrates: 128,
};

const NAME = z.string().min(1).max(128);
const ID = z.string().min(1).max(128);
const MAX_PAYLOAD_BYTES = 65_536;
const MAX_METADATA_BYTES = 16_384;

const SUBSTRATE: z.ZodType<OmegaSubstrate> = z
  .strictObject({ substrate_id: ID, name: NAME, kind: NAME, metadata: OBJECT, registered_at: STAMP })
  .meta({ id: 'OmegaSubstrate' });
const EVENT: z.ZodType<OmegaEvent> = z
  .strictObject({ event_id: ID, substrate_id: ID, signal: NAME, payload: OBJECT, timestamp: STAMP })
  .meta({ id: 'OmegaEvent' });

/** op.omega: an experimental lane for signals of substrates; off by default. */
export function createOmegaOperator(bus: Core, options: OmegaOptions): Operator {
  const states = new OmegaStates(options);
  return {
    commands: omegaCommands(bus, states, options),
    start: () => {},
    load: () => {},
    stop: () => {},
  };
}

function omegaCommands(bus: Core, states: OmegaStates, options: OmegaOptions): AnyCommand[] {
  const { enabled, labRoom: room, labChannel: channel, maxEvents, maxSubstrates } = options;
  /** The state of the sender's tenant, if the lane is on and the sender may do `action` in the lab's channel. */
  const stateFor = ({ principal }: Sender, action: Action): OmegaState => {
    if (!enabled) {
      throw new BusError('FEATURE_DISABLED', 'The omega lane is off; ARQONBUS_OMEGA_ENABLED=true switches it on.', {
        feature: 'omega',
      });
    }
    bus.access.require(principal, action, room, channel);
    return states.of(principal.tenant);
  };
  return [
    command({
      name: 'op.omega.status',
      role: 'user',
      description: 'Returns whether the lane is on, its lab channel, limits and counts.',
      args: z.strictObject({}),
      result: z.strictObject({
        enabled: z.boolean(),
        room: z.string(),
        channel: z.string(),
        limits: z.strictObject({ max_events: COUNT, max_substrates: COUNT }),
        counts: z.strictObject({ substrates: COUNT, events: COUNT }),
        lab_room: z.string().describe('As `room`.'),
        lab_channel: z.string().describe('As `channel`.'),
        max_events: COUNT,
        max_substrates: COUNT,
        substrate_count: COUNT,
        event_count: COUNT,
      }),
      run: ({ sender }): CommandResult<'op.omega.status'> => {
        const limits = { max_events: maxEvents, max_substrates: maxSubstrates };
        const counts = states.of(sender.principal.tenant).counts();
        // The same values under the names of the Python server.
        const former = { lab_room: room, lab_channel: channel, ...limits };
        const sums = { substrate_count: counts.substrates, event_count: counts.events };
        return { enabled, room, channel, limits, counts, ...former, ...sums };
      },
    }),
    command({
      name: 'op.omega.register_substrate',
      role: 'admin',
      description: 'Registers a source of signals.',
      args: z.strictObject({ name: NAME, kind: NAME, metadata: OBJECT.exactOptional() }),
      result: SUBSTRATE,
      run: ({ sender }, { name, kind, metadata = {} }): OmegaSubstrate => {
        stateFor(sender, 'admin');
        checkSize('metadata', metadata, MAX_METADATA_BYTES);
        return states.register(sender.principal.tenant, {
          substrate_id: newSecretId('omega_'),
          name,
          kind,
          metadata,
          registered_at: new Date(bus.options.now()).toISOString(),
        });
      },
    }),
    command({
      name: 'op.omega.list_substrates',
      role: 'user',
      description: 'Lists the registered sources.',
      args: z.strictObject(PAGE),
      result: z.strictObject({ substrates: z.array(SUBSTRATE), count: COUNT, next: z.string().exactOptional() }),
      run: ({ sender }, args): CommandResult<'op.omega.list_substrates'> => {
        const all = stateFor(sender, 'subscribe').substrates();
        const placeOf = ({ registered_at, substrate_id }: OmegaSubstrate): string => `${registered_at}/${substrate_id}`;
        const { entries, next } = pageOf(all, placeOf, (substrate) => substrate, args);
        return { substrates: entries, count: entries.length, ...(next === undefined ? {} : { next }) };
      },
    }),
    command({
      name: 'op.omega.unregister_substrate',
      role: 'admin',
      description: 'Removes a source and its events.',
      args: z.strictObject({ substrate_id: ID }),
      result: z.strictObject({ removed: z.literal(true), removed_events: COUNT }),
      run: ({ sender }, { substrate_id }): CommandResult<'op.omega.unregister_substrate'> => {
        stateFor(sender, 'admin');
        return { removed: true, removed_events: states.unregister(sender.principal.tenant, substrate_id) };
      },
    }),
    command({
      name: 'op.omega.emit_event',
      role: 'admin',
      description: 'Records a signal of a source and sends it to the lab channel.',
      args: z.strictObject({ substrate_id: ID, signal: NAME, payload: OBJECT.exactOptional() }),
      result: EVENT,
      run: async ({ sender }, { substrate_id, signal, payload = {} }): Promise<OmegaEvent> => {
        const { tenant } = sender.principal;
        const state = stateFor(sender, 'publish');
        state.assertRegistered(substrate_id);
        checkSize('payload', payload, MAX_PAYLOAD_BYTES);
        const event: OmegaEvent = {
          event_id: newId(),
          substrate_id,
          signal,
          payload,
          timestamp: new Date(bus.options.now()).toISOString(),
        };
        const telemetry = { eventType: 'omega_event', payload: { ...event } };
        const lane = systemSender('op-omega', sender.principal);
        await bus.publisher.publish(lane, { id: event.event_id, type: 'telemetry', room, channel, payload: telemetry });
        // Also sent to observers of the bus, like every telemetry event, with the server as sender.
        const server = systemSender('op-omega', serverPrincipal(tenant));
        await bus.submissions.submit(server, { id: newId(), room, channel, payload: telemetry });
        state.record(event);
        return event;
      },
    }),
    command({
      name: 'op.omega.list_events',
      role: 'user',
      description: 'Lists the last signals, oldest first.',
      args: z.strictObject({
        substrate_id: ID.exactOptional(),
        signal: NAME.exactOptional(),
        limit: limitUpTo(MAX_PAGE),
        after: z
          .string()
          .regex(/^\d{1,16}$/, 'must be the "next" of an answer')
          .describe('The "next" of the previous answer, for older ones.')
          .exactOptional(),
      }),
      result: z.strictObject({ events: z.array(EVENT), count: COUNT, next: z.string().exactOptional() }),
      run: ({ sender }, { limit = 50, after, ...filter }): CommandResult<'op.omega.list_events'> =>
        stateFor(sender, 'history').events(filter, limit, after),
    }),
    command({
      name: 'op.omega.clear_events',
      role: 'admin',
      description: 'Deletes signals: all, those of a source, or those of a name.',
      args: z.strictObject({ substrate_id: ID.exactOptional(), signal: NAME.exactOptional() }),
      result: z.strictObject({ removed_count: COUNT, remaining_count: COUNT }),
      run: ({ sender }, filter): CommandResult<'op.omega.clear_events'> => stateFor(sender, 'admin').clear(filter),
    }),
  ];
}

function checkSize(field: string, value: object, limit: number): void {
  const bytes = Buffer.byteLength(JSON.stringify(value));
  if (bytes <= limit) return;
  throw new BusError('LIMIT_EXCEEDED', `"${field}" has at most ${limit} bytes; this one has ${bytes}.`, {
    field,
    limit,
  });
}
