import { BusError, type CommandName, type CommandResult, type Envelope, newId, type Role } from '@arqonbus/protocol';
import { afterEach } from 'vitest';
import { Bus } from '../../bus.ts';
import { type AnyCommand, CommandSet } from '../../commands/command.ts';
import { coreCommands } from '../../commands/core.ts';
import { CommandRunner } from '../../commands/run.ts';
import { framePayload } from '../../connection/frame.ts';
import type { Batch, Wire } from '../../connection/outbox.ts';
import type { Sender, Session } from '../../connection/session.ts';
import type { Engine } from '../../engine/engine.ts';
import { createMemoryEngine } from '../../engine/memory/memory.ts';
import type { Happening } from '../../events.ts';
import { grant, type Principal } from '../../principal.ts';
import type { Inspector } from '../../publish.ts';
import { Receiver } from './receiver.suite.ts';
import { createWebhookOperator, type WebhookOperator, type WebhookOptions } from './webhook.ts';

/** Runs when the test has ended, last one first. */
const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

export function onEnd(cleanup: () => Promise<unknown>): void {
  cleanups.push(cleanup);
}

export async function openReceiver(port?: number): Promise<Receiver> {
  const receiver = await Receiver.open(port);
  onEnd(() => receiver.close());
  return receiver;
}

/** Keeps the envelopes that a client is sent. */
export class RecordingWire implements Wire {
  readonly backlog = 0;
  readonly envelopes: Envelope[] = [];
  onEnvelope: (envelope: Envelope) => void = () => {};

  send(batch: Batch): void {
    for (const frame of batch.frames()) {
      const envelope = JSON.parse(framePayload(frame).toString()) as Envelope;
      this.envelopes.push(envelope);
      this.onEnvelope(envelope);
    }
  }

  pauseReading(): void {}

  whenDrained(callback: () => void): void {
    setImmediate(callback);
  }

  close(): void {}
}

export interface Who {
  readonly tenant?: string;
  readonly subject?: string | null;
  readonly role?: Role;
  readonly subscribe?: readonly string[];
}

export function principalOf({ tenant = 'default', subject = null, role = 'admin', subscribe }: Who): Principal {
  return {
    subject,
    role,
    tenant,
    publish: null,
    subscribe: subscribe === undefined ? null : grant(subscribe),
    expiresAt: null,
    telemetry: false,
    operator: false,
  };
}

type RigOptions = Partial<WebhookOptions> & { readonly node?: string };

const UNINSPECTED: Inspector = {
  enabled: false,
  inspect: ({ payload }) => ({ payload, metadata: undefined }),
  shown: ({ payload }) => payload,
};

/** A bus with the operator, in this process. */
export class Rig {
  readonly bus: Bus;
  readonly operator: WebhookOperator;
  readonly runner: CommandRunner;
  readonly happenings: Happening[] = [];
  readonly faults: unknown[] = [];
  private readonly waiting = new Set<() => void>();
  private stopped = false;

  constructor(engine: Engine, options: RigOptions = {}) {
    const onFault = (error: unknown): void => {
      this.faults.push(error);
    };
    this.bus = new Bus(engine, UNINSPECTED, (session, inbound) => this.runner.answer(session, inbound), {
      node: options.node ?? 'node-a',
      version: '1.2.3',
      retention: { size: 500, ttlMs: 3_600_000 },
      bootstrapRooms: { science: ['general'] },
      autoCreateChannels: true,
      channelIdleMs: 300_000,
      publishRequiresJoin: false,
      maxChannels: 100_000,
      maxSubscriptions: 1_000,
      maxBacklogBytes: 8 * 1024 * 1024,
      maxMessageBytes: 1024 * 1024,
      pingIntervalMs: 20_000,
      telemetryRoom: 'integriguard',
      telemetry: true,
      serverTenant: 'default',
      now: Date.now,
      onFault,
    });
    this.operator = createWebhookOperator(this.bus, {
      allowHosts: ['127.0.0.1'],
      maxRules: 1_000,
      maxQueue: 1_000,
      maxAttempts: 5,
      ...options,
    });
    const all: AnyCommand[] = [...coreCommands(this.bus, () => all), ...this.operator.commands];
    this.runner = new CommandRunner(this.bus, new CommandSet(all));
    this.bus.events.on((happening) => {
      this.happenings.push(happening);
      for (const look of this.waiting) look();
    });
  }

  async start(): Promise<this> {
    await this.bus.engine.open(this.bus.engineEvents);
    this.operator.start();
    await this.operator.load();
    onEnd(() => this.stop());
    return this;
  }

  async stop(): Promise<void> {
    if (this.stopped) return;
    this.stopped = true;
    this.bus.closeAll(1001, 'test ends');
    await this.operator.stop();
    await this.bus.engine.close();
  }

  connect(who: Who = {}, wire: RecordingWire = new RecordingWire()): Session {
    const profile = { clientType: 'service' as const, screenName: null, avatar: null, personality: null };
    return this.bus.connect({ principal: principalOf(who), profile, clientKey: undefined, join: undefined }, wire);
  }

  /** Runs a command as a connection (or HTTP) would; rejects with its BusError. */
  async run<N extends CommandName>(sender: Sender, name: N, args: object): Promise<CommandResult<N>> {
    const call = { sender, requestId: newId(), name, args: args as Record<string, unknown> };
    return (await this.runner.run(call)) as CommandResult<N>;
  }

  /** The code and details that a command is refused with. */
  async refusal(sender: Sender, name: CommandName, args: object): Promise<{ code: string; field?: unknown }> {
    try {
      await this.run(sender, name, args);
    } catch (error) {
      if (!(error instanceof BusError)) throw error;
      const { field } = error.details;
      return { code: error.code, ...(field === undefined ? {} : { field }) };
    }
    throw new Error(`${name} was not refused`);
  }

  /** Publishes `{n}` to `room:channel`. */
  publish(
    sender: Sender,
    room: string,
    channel: string | undefined,
    n: unknown,
    type: 'event' | 'telemetry' = 'event',
  ): void {
    this.bus.publisher.publish(sender, { id: newId(), type, room, channel, payload: { n } });
  }

  /** The `webhook_failed` events so far. */
  get failures(): Happening[] {
    return this.happenings.filter(({ event }) => event.eventType === 'webhook_failed');
  }

  /** Resolves once `condition` holds; it is looked at whenever the server tells of something. */
  until(condition: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      const look = (): void => {
        if (!condition()) return;
        this.waiting.delete(look);
        resolve();
      };
      this.waiting.add(look);
      look();
    });
  }
}

export function openRig(options: RigOptions = {}, engine: Engine = createMemoryEngine()): Promise<Rig> {
  return new Rig(engine, options).start();
}

/** Resolves once `condition` holds, for what nothing tells of; looks at it whenever this process has nothing ready. */
export async function settled(condition: () => boolean): Promise<void> {
  while (!condition()) await turn();
}

/** Resolves when all that is ready to run in this process has run. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
}
