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
  /** Whether envelopes are checked strictly (PROTOCOL section 2); fields that HTTP fills in are never required. */
  readonly strict: boolean;
}

/** Publishes what a WebSocket client could send, under the same rules; returns the ack with the id. */
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

/** A command from an HTTP request. */
export interface CommandRequest {
  readonly name: string;
  readonly args: JsonObject;
  /** Aborted when the caller disconnects: a waiting command then gives up. */
  readonly signal: AbortSignal;
}

/** Runs a command and returns its result. */
export async function runCommand(
  { bus, runner, strict }: Publishing,
  { sender }: Caller,
  { name, args, signal }: CommandRequest,
): Promise<object> {
  const { id, command, args: judged } = judge({ type: 'command', command: name, args }, strict);
  bus.rooms.tenant(sender.principal.tenant).traffic.received += 1;
  return runner.run({ sender, requestId: id, name: command, args: judged, signal });
}

/** The outcome of one item of several: the result of `step`, or the refusal that a single request would get. */
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

/** Validates a request by the rules of the wire protocol, as if it were a frame. */
function judge(fields: JsonObject, strict: boolean): Inbound {
  // Serializing fails for anything nested deeper than a frame may be.
  assertJson(fields, 'body', MAX_NESTING + 1);
  const decoded = decode(JSON.stringify({ version: PROTOCOL_VERSION, id: newId(), ...fields }), strict);
  if (isRefusal(decoded)) throw new BusError(decoded.code, decoded.message, decoded.details);
  return decoded;
}

/** Milliseconds of work for one request before other connections get a turn. */
const TURN_MS = 2;

/** Runs `step` for each item in order, yielding to other connections after each turn. */
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
