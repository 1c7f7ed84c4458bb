import { createHash } from 'node:crypto';
import { ArqonBusError } from '@arqonbus/client';
import { Agent, type AgentOptions } from './agent.ts';

export interface AgentsOptions {
  readonly bus: Omit<AgentOptions, 'token' | 'subject'>;
  /** Maximum connected agents. */
  readonly maxAgents: number;
  /** Maximum concurrent calls of one agent. */
  readonly maxCalls: number;
  /** How long an unused connection stays open, milliseconds. */
  readonly idleMs: number;
  readonly report: (error: Error) => void;
}

interface Entry {
  readonly agent: Agent;
  readonly connected: Promise<unknown>;
  calls: number;
  idle: NodeJS.Timeout | undefined;
  usedAt: number;
}

/** The connections of HTTP callers: one per token, closed when unused. */
export class Agents {
  private readonly options: AgentsOptions;
  private readonly entries: Map<string, Entry> = new Map();

  constructor(options: AgentsOptions) {
    this.options = options;
  }

  get size(): number {
    return this.entries.size;
  }

  /**
   * The connected agent of a token, and a function to call at the end of the call. Rejects with the bus's refusal, and
   * with LIMIT_EXCEEDED.
   *
   * @param subject the subject named by a caller without a token; ignored by a bus with authentication
   */
  async use(token: string, subject: string): Promise<{ agent: Agent; release: () => void }> {
    const key = createHash('sha256')
      .update(JSON.stringify([token, subject]))
      .digest('base64');
    const entry = this.entries.get(key) ?? this.open(key, token, subject);
    if (entry.calls >= this.options.maxCalls) {
      throw new ArqonBusError('LIMIT_EXCEEDED', `You have ${entry.calls} calls under way; let one end first.`, true);
    }
    clearTimeout(entry.idle);
    entry.calls += 1;
    const release = (): void => this.release(key, entry);
    try {
      await entry.connected;
    } catch (error) {
      release();
      await this.drop(key, entry);
      throw error;
    }
    return { agent: entry.agent, release };
  }

  async close(): Promise<void> {
    await Promise.all([...this.entries].map(([key, entry]) => this.drop(key, entry)));
  }

  private open(key: string, token: string, subject: string): Entry {
    if (this.entries.size >= this.options.maxAgents) this.makeRoom();
    const { bus, report } = this.options;
    const who = { ...(token === '' ? {} : { token }), ...(subject === '' ? {} : { subject }) };
    const agent = new Agent({ ...bus, ...who }, report);
    const entry: Entry = { agent, connected: agent.client.connect(), calls: 0, idle: undefined, usedAt: 0 };
    // An expired or revoked token closes its client permanently.
    agent.client.on('state', ({ state }) => {
      if (state === 'closed' && this.entries.get(key) === entry) this.entries.delete(key);
    });
    this.entries.set(key, entry);
    return entry;
  }

  private release(key: string, entry: Entry): void {
    entry.calls -= 1;
    entry.usedAt = performance.now();
    if (entry.calls > 0 || this.entries.get(key) !== entry) return;
    entry.idle = setTimeout(() => void this.drop(key, entry), this.options.idleMs);
    entry.idle.unref();
  }

  private makeRoom(): void {
    const idle = [...this.entries].filter(([, { calls }]) => calls === 0);
    const [oldest] = idle.sort(([, one], [, other]) => one.usedAt - other.usedAt);
    if (oldest === undefined) {
      const { maxAgents } = this.options;
      throw new ArqonBusError('LIMIT_EXCEEDED', `${maxAgents} agents are at work here; try again later.`, true);
    }
    void this.drop(...oldest);
  }

  private async drop(key: string, entry: Entry): Promise<void> {
    clearTimeout(entry.idle);
    if (this.entries.get(key) === entry) this.entries.delete(key);
    await entry.agent.close();
  }
}
