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
/** Delay between attempts while the bus is unavailable, milliseconds. */
const PAUSE_MS = 250;
/** Temporary errors: a lost connection, or a bus that is starting or stopping. */
const PASSING = new Set(['CONNECTION_LOST', 'CONNECTION_FAILED', 'NOT_CONNECTED', 'OUTCOME_UNKNOWN', 'TIMEOUT']);

/** The address of the bus, and the agent's identity and public profile. */
export interface AgentOptions
  extends Pick<ClientOptions, 'url' | 'token' | 'subject' | 'screenName' | 'headers' | 'socket'> {
  /**
   * The public description of the agent, sent once it is connected; the bus may refuse it, and the agent continues
   * without it.
   */
  readonly standing?: Pick<Standing, 'card' | 'state'>;
  /** How long a call waits for the connection before it fails, milliseconds (default 10,000). */
  readonly lineMs?: number;
}

/** The agent's identity, as known to the bus. */
export interface Identity {
  readonly subject: string | undefined;
  readonly name: string | undefined;
  readonly role: string;
}

/** One agent on the bus: a connection, and no other state that outlives a call. */
export class Agent {
  readonly client: ArqonBusClient;
  private readonly lineMs: number;
  private known: { readonly connection: string | undefined; readonly identity: Promise<Identity> } | undefined;

  /** @param report called with errors that belong to no call */
  constructor({ standing, lineMs = LINE_MS, ...options }: AgentOptions, report: (error: ArqonBusError) => void) {
    this.lineMs = lineMs;
    this.client = new ArqonBusClient({ ...options, clientType: 'ai-agent' });
    this.client.on('error', report);
    if (standing !== undefined) this.present(standing, report);
  }

  /**
   * Resolves when the connection is open. Rejects if it is not within the agent's limit, or `patienceMs` if that is
   * longer, and immediately if the bus refuses this agent.
   */
  async ready(signal: AbortSignal, patienceMs = 0): Promise<void> {
    if (this.client.state === 'open') return;
    await this.client.connect({ retry: true, timeoutMs: Math.max(this.lineMs, patienceMs), signal });
  }

  /** Requested once per connection. */
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

  /** Runs an idempotent command: retries on later connections until `until`. */
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

  /** The JSON Schema of a typed channel; undefined for other channels, or if the bus does not show it to this agent. */
  async schemaOf(channel: string, wait: WaitOptions): Promise<Readonly<Record<string, unknown>> | undefined> {
    try {
      return (await this.client.channelInfo(channel, wait)).schema;
    } catch (error) {
      if (!(error instanceof RefusedError)) throw error;
    }
    // For a channel that does not exist yet, the rules show it, but only to admins.
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

  /** Sends the agent's public profile to the bus. Once that succeeded, the client repeats it on later connections. */
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

/** Retries temporary failures until a time of `performance.now()`. */
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

/** Whether the call may succeed once the bus is available again. */
export function isPassing(error: unknown): boolean {
  return error instanceof ArqonBusError && (PASSING.has(error.code) || error.retryable);
}
