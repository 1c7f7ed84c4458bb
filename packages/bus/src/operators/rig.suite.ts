import { BusError, type CommandName, type CommandResult, type Envelope, newId, type Role } from '@arqonbus/protocol';
import { onTestFinished } from 'vitest';
import { Bus } from '../bus.ts';
import type { Clock } from '../clock.ts';
import { type AnyCommand, CommandSet } from '../commands/command.ts';
import { coreCommands } from '../commands/core.ts';
import { CommandRunner } from '../commands/run.ts';
import { framePayload } from '../connection/frame.ts';
import type { Wire } from '../connection/outbox.ts';
import type { Sender, Session } from '../connection/session.ts';
import type { Engine } from '../engine/engine.ts';
import { type Action, grantsOf, type Principal, principalOf } from '../principal.ts';
import type { Operator } from './operator.ts';

/** Runs when the test has ended, last one first. */
export function onEnd(cleanup: () => Promise<unknown>): void {
  onTestFinished(async () => void (await cleanup()));
}

/** Keeps the envelopes that a client is sent. */
export class RecordingWire implements Wire {
  readonly backlog = 0;
  readonly isOpen = true;
  readonly oneByOne = true;
  readonly envelopes: Envelope[] = [];
  onEnvelope: (envelope: Envelope) => void = () => {};

  write(frames: Buffer, taken?: () => void): void {
    if (taken !== undefined) setImmediate(taken);
    if (frames.length === 0) return;
    const envelope = JSON.parse(framePayload(frames).toString()) as Envelope;
    this.envelopes.push(envelope);
    this.onEnvelope(envelope);
  }

  pauseReading(): void {}

  close(): void {}
}

export interface Who extends Partial<Omit<Principal, 'grants'>> {
  readonly subscribe?: readonly string[];
  /** In place of everything: what the token lists. */
  readonly grants?: Readonly<Partial<Record<Action, readonly string[]>>>;
}

/** An admin of the default tenant without restrictions, unless told otherwise. */
export function ownerOf({ role = 'admin' as Role, subscribe, grants, ...given }: Who): Principal {
  const lists = subscribe === undefined ? grants : { subscribe, publish: ['*:*'] };
  return principalOf({ ...given, role, grants: lists === undefined ? null : grantsOf(lists) });
}

export interface RigOptions {
  readonly node?: string;
  readonly now?: () => number;
  readonly clock?: Clock;
  /** How long a broken line is waited for. */
  readonly graceMs?: number;
}

/** A bus with an operator, in this process. */
export class BusRig<O extends Operator> {
  readonly bus: Bus;
  readonly operator: O;
  readonly runner: CommandRunner;
  readonly faults: unknown[] = [];
  private stopped = false;

  constructor(
    engine: Engine,
    create: (bus: Bus) => O,
    { node = 'node-a', now = Date.now, clock, graceMs = 5_000 }: RigOptions = {},
  ) {
    this.bus = new Bus({
      engine,
      operators: { cron: false, webhook: false, store: false, lease: false, omega: false },
      limits: {
        node,
        version: '1.2.3',
        bootstrapRooms: { science: ['general'] },
        telemetry: true,
        serverTenant: 'default',
        now,
        presenceGraceMs: graceMs,
        ...(clock === undefined ? {} : { clock }),
      },
      onFault: (error) => {
        this.faults.push(error);
      },
    });
    this.operator = create(this.bus);
    const all: AnyCommand[] = [...coreCommands(this.bus, this.bus.subjects, () => all), ...this.operator.commands];
    this.runner = new CommandRunner(this.bus, new CommandSet(all));
  }

  async start(): Promise<this> {
    await this.bus.engine.open(this.bus.engineEvents);
    this.bus.groups.start();
    await this.bus.groups.load();
    this.operator.start();
    await this.operator.load();
    onEnd(() => this.stop());
    return this;
  }

  async stop(): Promise<void> {
    if (this.stopped) return;
    this.stopped = true;
    for (const session of [...this.bus.sessions()]) this.bus.closeSession(session, 1001, 'test ends');
    this.bus.expiry.stop();
    await this.operator.stop();
    await this.bus.groups.stop();
    await this.bus.engine.close();
  }

  connect(who: Who = {}, wire: RecordingWire = new RecordingWire()): Session {
    const profile = { clientType: 'service' as const, screenName: null, avatar: null, personality: null };
    return this.bus.connect(
      { principal: ownerOf(who), profile, clientKey: undefined, address: '', join: undefined },
      wire,
    );
  }

  /** Runs a command as a connection (or HTTP) would; rejects with its BusError. */
  async run<N extends CommandName>(sender: Sender, name: N, args: object): Promise<CommandResult<N>> {
    const call = { sender, requestId: newId(), name, args: args as Record<string, unknown> };
    return (await this.runner.run(call)) as CommandResult<N>;
  }

  /** What a command is refused with. */
  async refused(sender: Sender, name: CommandName, args: object): Promise<BusError> {
    try {
      await this.run(sender, name, args);
    } catch (error) {
      if (error instanceof BusError) return error;
      throw error;
    }
    throw new Error(`${name} was not refused`);
  }

  /** The code of a refusal and the argument that it names. */
  async refusal(sender: Sender, name: CommandName, args: object): Promise<{ code: string; field?: unknown }> {
    const { code, details } = await this.refused(sender, name, args);
    const { field } = details;
    return { code, ...(field === undefined ? {} : { field }) };
  }
}

/** Resolves once `condition` holds, for what nothing tells of; looks at it whenever this process has nothing ready. */
export async function settled(condition: () => boolean): Promise<void> {
  while (!condition()) await turn();
}

/** Resolves when all that is ready to run in this process has run. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
}
