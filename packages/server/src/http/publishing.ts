import { type Bus, type CommandRunner, receipt } from '@arqonbus/bus';
import {
  assertJson,
  BusError,
  decode,
  type Inbound,
  isRefusal,
  type JsonObject,
  MAX_NESTING,
  newId,
  PROTOCOL_VERSION,
} from '@arqonbus/protocol';
import type { Caller } from './credentials.ts';
import { problem } from './reply.ts';

export interface Publishing {
  readonly bus: Bus;
  readonly runner: CommandRunner;
  /** Whether envelopes are judged strictly (PROTOCOL section 2); what HTTP fills in itself is never owed. */
  readonly strict: boolean;
}

/** Publishes what a WebSocket client could send, judged by the same rules; answers the ack with the id. */
export async function publish(
  { bus, strict }: Publishing,
  { sender }: Caller,
  fields: JsonObject,
): Promise<{ id: string; room?: string; channel?: string } & JsonObject> {
  const { type = 'event' } = fields;
  if (type === 'command') {
    throw new BusError('VALIDATION_ERROR', 'Send commands to /v1/commands/NAME.', { field: 'type' });
  }
  const inbound = judge({ ...fields, type }, strict);
  bus.rooms.tenant(sender.principal.tenant).traffic.received += 1;
  const { payload, at } = receipt(await bus.ingress.post(sender, inbound));
  return { id: inbound.id, ...at, ...payload };
}

/** A command as a request brings it. */
export interface CommandRequest {
  readonly name: string;
  readonly args: JsonObject;
  /** Aborted when the caller has gone: a command that waits gives up. */
  readonly signal: AbortSignal;
}

/** Runs a command with its arguments; answers its result. */
export async function runCommand(
  { bus, runner, strict }: Publishing,
  { sender }: Caller,
  { name, args, signal }: CommandRequest,
): Promise<object> {
  const { id, command, args: judged } = judge({ type: 'command', command: name, args }, strict);
  bus.rooms.tenant(sender.principal.tenant).traffic.received += 1;
  return runner.run({ sender, requestId: id, name: command, args: judged, signal });
}

/** What became of one of many: what `step` answers, or the refusal that a request of its own would have had. */
export async function outcomeOf(
  { bus }: Pick<Publishing, 'bus'>,
  step: () => Promise<object>,
): Promise<object & { ok: boolean }> {
  try {
    return { ok: true, ...(await step()) };
  } catch (error) {
    const refused = error instanceof BusError ? error : bus.internal(error);
    bus.faults.failed(refused.code);
    return { ok: false, ...(problem(refused).body as object) };
  }
}

/** Has the wire's own rules decide over a request, as if it had been a frame. */
function judge(fields: JsonObject, strict: boolean): Inbound {
  // What is nested deeper than a frame may be cannot be written as one either.
  assertJson(fields, 'body', MAX_NESTING + 1);
  const decoded = decode(JSON.stringify({ version: PROTOCOL_VERSION, id: newId(), ...fields }), strict);
  if (isRefusal(decoded)) throw new BusError(decoded.code, decoded.message, decoded.details);
  return decoded;
}

/** Milliseconds of one request's work after which other connections have their turn. */
const TURN_MS = 2;

/** Does `step` for each of many in their order; nobody else waits longer than a turn. */
export async function inOrder<T, R>(items: readonly T[], step: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  let began = performance.now();
  for (const item of items) {
    if (performance.now() - began > TURN_MS) {
      await new Promise((resolve) => setImmediate(resolve));
      began = performance.now();
    }
    results.push(await step(item));
  }
  return results;
}
