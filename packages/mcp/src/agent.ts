import { setTimeout as sleep } from 'node:timers/promises';
import {
  ArqonBusClient,
  ArqonBusError,
  type ClientOptions,
  RefusedError,
  type Standing,
  type WaitOptions,
} from '@arqonbus/client';
import type { CommandArgs, CommandName, CommandResult } from '@arqonbus/protocol';

const LINE_MS = 10_000;
/** Between attempts while the bus is away, milliseconds. */
const PAUSE_MS = 250;
/** What may pass by itself: the line, or a bus that starts or stops. */
const PASSING = new Set(['CONNECTION_LOST', 'CONNECTION_FAILED', 'NOT_CONNECTED', 'OUTCOME_UNKNOWN', 'TIMEOUT']);

/** How to reach the bus, as whom, and what to tell of oneself there. */
export interface AgentOptions
  extends Pick<ClientOptions, 'url' | 'token' | 'subject' | 'screenName' | 'headers' | 'socket'> {
  /** What others find the agent by, told once it is connected; the bus may refuse it, and the agent goes on without. */
  readonly standing?: Pick<Standing, 'card' | 'state'>;
  /** How long a call waits for the line before it says that the bus is away, milliseconds (default 10,000). */
  readonly lineMs?: number;
}

/** Who the agent is, as the bus knows it. */
export interface Identity {
  readonly subject: string | undefined;
  readonly name: string | undefined;
  readonly role: string;
}

/** One agent on the bus: a connection, and nothing else that outlives a call. */
export class Agent {
  readonly client: ArqonBusClient;
  private readonly lineMs: number;
  private known: { readonly connection: string | undefined; readonly identity: Promise<Identity> } | undefined;

  /** @param report told of what no call is there to be told of */
  constructor({ standing, lineMs = LINE_MS, ...options }: AgentOptions, report: (error: ArqonBusError) => void) {
    this.lineMs = lineMs;
    this.client = new ArqonBusClient({ ...options, clientType: 'ai-agent' });
    this.client.on('error', report);
    if (standing !== undefined) this.present(standing, report);
  }

  /**
   * Resolves when there is a line. Rejects without one after the time that a call waits for it, or `patienceMs` where
   * that is longer, and at once when the bus refuses this agent.
   */
  async ready(signal: AbortSignal, patienceMs = 0): Promise<void> {
    if (this.client.state === 'open') return;
    await this.client.connect({ retry: true, timeoutMs: Math.max(this.lineMs, patienceMs), signal });
  }

  /** Asked for once a connection. */
  identity(): Promise<Identity> {
    const connection = this.client.id;
    if (this.known === undefined || this.known.connection !== connection) {
      const identity = this.ask();
      this.known = { connection, identity };
      identity.catch(() => {
        if (this.known?.identity === identity) this.known = undefined;
      });
    }
    return this.known.identity;
  }

  /** A command that may be asked twice: goes on with the next connection until the time is over. */
  persist<N extends CommandName>(
    name: N,
    args: CommandArgs<N>,
    { until, signal }: { readonly until: number; readonly signal: AbortSignal },
    answerMs: number = LINE_MS,
  ): Promise<CommandResult<N>> {
    const run = this.client.command.bind(this.client) as unknown as (
      name: N,
      args: CommandArgs<N>,
      wait: { timeoutMs: number; signal: AbortSignal },
    ) => Promise<CommandResult<N>>;
    return persist(() => run(name, args, { timeoutMs: answerMs, signal }), until, signal);
  }

  /**
   * The JSON Schema of what a typed channel takes; undefined of any other, and where the bus does not tell this agent.
   */
  async schemaOf(channel: string, wait: WaitOptions): Promise<Readonly<Record<string, unknown>> | undefined> {
    try {
      return (await this.client.channelInfo(channel, wait)).schema;
    } catch (error) {
      if (!(error instanceof RefusedError)) throw error;
    }
    // Of a channel that is not there yet the rules tell, but only admins.
    try {
      const { effective } = await this.client.command('op.rules.explain', { channel }, wait);
      const { schema } = (effective.schema ?? {}) as { schema?: unknown };
      return typeof schema === 'object' && schema !== null ? (schema as Record<string, unknown>) : undefined;
    } catch (error) {
      if (error instanceof RefusedError) return undefined;
      throw error;
    }
  }

  async close(): Promise<void> {
    await this.client.close();
  }

  /** Tells the bus what this agent is. Once that is told, the client tells it to later connections by itself. */
  private present(standing: Standing, report: (error: ArqonBusError) => void): void {
    const stop = this.client.on('welcome', () => {
      this.client.identify(standing).then(stop, report);
    });
  }

  private async ask(): Promise<Identity> {
    const role = this.client.welcome?.role ?? 'guest';
    if (role === 'guest') return { subject: undefined, name: undefined, role };
    const { sender } = await this.client.identify({});
    return { subject: sender.subject, name: sender.name, role };
  }
}

/** Does something again that has failed for want of a line, until a time of `performance.now()`. */
async function persist<T>(run: () => Promise<T>, until: number, signal: AbortSignal): Promise<T> {
  for (;;) {
    try {
      return await run();
    } catch (error) {
      const left = until - performance.now();
      if (!isPassing(error) || left <= 0) throw error;
      await sleep(Math.min(PAUSE_MS, left), undefined, { signal });
    }
  }
}

/** Whether the same call may work once the bus is back. */
export function isPassing(error: unknown): boolean {
  return error instanceof ArqonBusError && (PASSING.has(error.code) || error.retryable);
}
