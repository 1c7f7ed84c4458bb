import { BusError, encode, type Inbound, type JsonObject, type PartialAddress, parseAddress } from '@arqonbus/protocol';
import { andThen, attempt, isPending } from '../awaitable.ts';
import type { Sender, Session } from '../connection/session.ts';
import type { Core } from '../core.ts';
import type { Awaitable } from '../engine/engine.ts';
import { hasRole } from '../principal.ts';
import { faultOf, plainProblem } from '../schemas/problem.ts';
import { type Excess, fieldOf, findExcess } from './bounds.ts';
import { type AnyCommand, type CommandContext, type CommandSet, JsonText } from './command.ts';

/** One call of a command, from a connection or over HTTP. */
export interface Call {
  readonly sender: Sender;
  readonly requestId: string;
  readonly name: string;
  readonly args: JsonObject;
  /** The address in the envelope. */
  readonly at?: Pick<Inbound, 'room' | 'channel'>;
  /** Aborted when a caller without a connection disconnects; for connections the session tells. */
  readonly signal?: AbortSignal | undefined;
}

/** Finds, authorises, validates and runs commands, and answers the connections that sent them. */
export class CommandRunner {
  private readonly bus: Core;
  private readonly commands: CommandSet;
  /** Waiting commands, whose senders have continued. */
  private readonly waiting: Set<Promise<void>> = new Set();
  /** Called with each command's duration, in seconds; must not throw or block. */
  readonly executed: Set<(command: string, seconds: number) => void> = new Set();

  constructor(bus: Core, commands: CommandSet) {
    this.bus = bus;
    this.commands = commands;
  }

  /**
   * Runs a connection's command, which always gets exactly one `command_response`. The returned promise resolves when
   * the connection's next envelope may start; for a command that waits, that can be before its answer.
   */
  answer(session: Session, inbound: Inbound): Awaitable<void> {
    const steps: (() => void)[] = [];
    const { id, command: name, args } = inbound;
    const succeed = (payload: object): void => {
      session.send(encodeAnswer(id, name, payload));
      for (const step of steps) step();
    };
    const fail = (error: unknown): void => this.bus.fail(session, inbound, error);
    this.bus.activity.note(session, session.lastActivity, `command:${name}`.slice(0, 140), id);
    const call: Call = { sender: session, requestId: id, name, args, at: inbound };
    const turn = this.commands.find(name)?.waits === true ? new Turn() : null;
    const context = { afterAnswer: (step: () => void) => void steps.push(step), releaseTurn: () => turn?.end() };
    const done = attempt(() => andThen(this.execute(call, context), succeed), fail);
    if (turn === null || !isPending(done)) return done;
    this.waiting.add(done);
    const over = (): void => {
      this.waiting.delete(done);
      turn.end();
    };
    done.then(over, over);
    return turn.ended;
  }

  /** Resolves when every waiting command has been answered. */
  async settled(): Promise<void> {
    await Promise.all(this.waiting);
  }

  /** Runs a command and returns its result; throws or rejects with the error that refused it. */
  run(call: Call): Awaitable<object> {
    return andThen(this.execute(call, { afterAnswer: (step) => step(), releaseTurn: () => {} }), (result) =>
      result instanceof JsonText ? result.parse() : result,
    );
  }

  private execute(call: Call, steps: Pick<CommandContext, 'afterAnswer' | 'releaseTurn'>): Awaitable<object> {
    const started = performance.now();
    const { sender, requestId, signal } = call;
    const run = (): Awaitable<object> => {
      const found = this.find(call);
      const placed = withPlace(call, found);
      requireBounds(found, placed.args);
      const args = validate(found, this.inspect(placed, found));
      return found.run({ sender, requestId, signal, ...steps }, args as never);
    };
    const told = (result: object): object => {
      this.tell(call, performance.now() - started, undefined);
      return result;
    };
    const failed = (error: unknown): never => {
      this.tell(call, performance.now() - started, error);
      throw error;
    };
    return attempt(() => andThen(run(), told), failed);
  }

  private find({ name, sender }: Call): AnyCommand {
    const found = this.commands.find(name);
    if (found === undefined) {
      throw new BusError('COMMAND_NOT_FOUND', 'There is no such command; "help" lists them.', { command: name });
    }
    if (!hasRole(sender.principal, found.role)) {
      throw new BusError('AUTHORIZATION_ERROR', `"${found.name}" needs the role ${found.role}.`, {
        command: found.name,
        required_role: found.role,
      });
    }
    if (found.isTenantWide === true) this.bus.access.requireTenant(sender.principal);
    return found;
  }

  private inspect({ sender, requestId, args }: Call, found: AnyCommand): JsonObject {
    const { inspector } = this.bus;
    const { tenant } = sender.principal;
    if (!inspector.enabledFor(tenant)) return args;
    const { name: command, secretPaths, inspectedAs: type } = found;
    const { room, channel } = addressOf(args);
    const subject = { type, id: requestId, tenant, command, secretPaths, room, channel, payload: args };
    return inspector.inspect(subject, sender).payload;
  }

  private tell({ name, sender, requestId }: Call, duration: number, error: unknown): void {
    const found = this.commands.find(name);
    for (const listener of this.executed) listener(found?.name ?? 'unknown', duration / 1000);
    this.bus.events.emit('command_executed', sender.principal.tenant, {
      // Unknown names are not reported, since a client could flood the metrics with them.
      command: found?.name ?? 'unknown',
      client_id: sender.id,
      message_id: requestId,
      status: error === undefined ? 'success' : 'error',
      ...(error === undefined ? {} : { error_code: error instanceof BusError ? error.code : 'INTERNAL_ERROR' }),
      duration_ms: Math.round(duration * 1000) / 1000,
    });
  }
}

const NOWHERE = { room: undefined, channel: undefined };

/** The time for which a command blocks its sender's next envelopes. */
class Turn {
  end: () => void = () => {};
  readonly ended: Promise<void>;

  constructor() {
    this.ended = new Promise((resolve) => {
      this.end = resolve;
    });
  }
}

/**
 * Adds a missing address to the arguments: the envelope's, else the sender's current one if the command allows it. A
 * channel alone is in the envelope's room, else in the current one.
 */
function withPlace(call: Call, { placed, place }: AnyCommand): Call {
  const { args, at = NOWHERE, sender } = call;
  if (!placed.room || args.room !== undefined) return call;
  const current = place === 'current' ? sender.session?.current : undefined;
  if (args.channel !== undefined) {
    if (typeof args.channel !== 'string' || args.channel.includes(':')) return call;
    const room = at.room ?? (place === 'current' ? sender.session?.currentRoom() : undefined);
    return room === undefined ? call : { ...call, args: { ...args, room } };
  }
  const isNamed = at.room !== undefined || at.channel !== undefined;
  const room = at.room ?? (isNamed ? sender.session?.currentRoom() : current?.room);
  if (room === undefined) return call;
  const channel = isNamed ? at.channel : current?.channel;
  return { ...call, args: { ...args, room, ...(channel === undefined || !placed.channel ? {} : { channel }) } };
}

/** The answer to a successful command; JSON text is inserted unchanged. */
function encodeAnswer(requestId: string, command: string, result: object): string {
  const envelope = { type: 'command_response', request_id: requestId, command, status: 'success' } as const;
  if (!(result instanceof JsonText)) return encode({ payload: { ...result } as JsonObject, ...envelope });
  return `${encode({ payload: {}, ...envelope }).slice(0, -3)}${result.text}}`;
}

/** The address in the arguments; empty when malformed, which the schema check reports. */
function addressOf({ room, channel }: JsonObject): PartialAddress {
  try {
    const names = [room, channel].map((name) => (typeof name === 'string' ? name : undefined));
    return parseAddress(names[0], names[1], true, true);
  } catch {
    return {};
  }
}

/** The most faults in one error. */
const MAX_FAULTS = 20;

/** Refuses arguments with too many keys or items, before anything else processes them. */
function requireBounds(found: AnyCommand, args: JsonObject): void {
  const excess = findExcess(found.bounds, args);
  if (excess !== null) throw refusal(found, [excess]);
}

/** Checks arguments against a command's schema; the error names the first fault, and lists at most 20. */
function validate(found: AnyCommand, args: JsonObject): JsonObject {
  if (found.isUsual?.(args) === true) return args;
  const checked = found.args.safeParse(args, { error: plainProblem });
  if (checked.success) return checked.data;
  const issues = checked.error.issues.slice(0, MAX_FAULTS);
  throw refusal(
    found,
    issues.map(faultOf).map(({ path, problem }) => ({ field: fieldOf(path), problem })),
  );
}

function refusal(found: AnyCommand, faults: readonly Excess[]): BusError {
  const [first] = faults;
  return new BusError('VALIDATION_ERROR', `"${found.name}": argument "${first?.field}": ${first?.problem}`, {
    command: found.name,
    field: first?.field,
    faults,
  });
}
