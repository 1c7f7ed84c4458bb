import { BusError, type ErrorCode, type ErrorDetails, newId } from '@arqonbus/protocol';
import type { Awaitable, NodeMessage, Presence } from './engine/engine.ts';

/** The most pending calls of this node. */
const MAX_CALLS = 10_000;

/** Answers a call of another node with a JSON value, or refuses it with a BusError. */
export type ServeCall = (args: never, from: string) => Awaitable<unknown>;

interface Asked {
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: BusError) => void;
  readonly timer: NodeJS.Timeout;
}

interface CallText {
  readonly id: string;
  readonly from: string;
  readonly name: string;
  readonly args: unknown;
}

interface AnswerText {
  readonly id: string;
  readonly result?: unknown;
  readonly error?: { readonly code: ErrorCode; readonly message: string; readonly details: ErrorDetails };
}

/**
 * Remote calls between the nodes of a cluster, over the engine's node messages. Since messages may be lost and nodes
 * may die, every call has a timeout.
 */
export class NodeCalls {
  private readonly presence: Presence | null;
  private readonly node: string;
  private readonly onFault: (error: unknown) => void;
  private readonly served: Map<string, ServeCall> = new Map();
  private readonly asked: Map<string, Asked> = new Map();

  constructor(
    presence: Presence | null,
    { node, onFault }: { readonly node: string; readonly onFault: (error: unknown) => void },
  ) {
    this.presence = presence;
    this.node = node;
    this.onFault = onFault;
  }

  /** Registers the handler for calls of a name. */
  serve(name: string, handler: ServeCall): void {
    this.served.set(name, handler);
  }

  /**
   * Calls a node, and resolves with its answer. Rejects with the other node's error, or with STORAGE_UNAVAILABLE
   * (retryable) when it does not answer within `timeoutMs`, cannot be reached, or too many calls are pending.
   */
  ask(node: string, name: string, args: unknown, timeoutMs: number): Promise<unknown> {
    if (this.presence === null || this.asked.size >= MAX_CALLS) return Promise.reject(unanswered(node));
    const id = newId();
    const text = JSON.stringify({ id, from: this.node, name, args } satisfies CallText);
    const answer = new Promise<unknown>((resolve, reject) => {
      const timer = setTimeout(() => this.take(id)?.reject(unanswered(node)), timeoutMs);
      timer.unref();
      this.asked.set(id, { resolve, reject, timer });
    });
    this.send(node, 'call', text).catch(() => this.take(id)?.reject(unanswered(node)));
    return answer;
  }

  /** Handles a `call` or an `answer` from another node. */
  receive({ kind, text }: Pick<NodeMessage, 'kind' | 'text'>): void {
    if (kind === 'call') {
      this.answer(JSON.parse(text) as CallText).catch(this.onFault);
      return;
    }
    const { id, result, error } = JSON.parse(text) as AnswerText;
    const asked = this.take(id);
    if (error === undefined) asked?.resolve(result);
    else asked?.reject(new BusError(error.code, error.message, error.details));
  }

  /** Rejects all pending calls. */
  stop(): void {
    for (const id of [...this.asked.keys()]) this.take(id)?.reject(unanswered(this.node));
  }

  private async answer({ id, from, name, args }: CallText): Promise<void> {
    const handler = this.served.get(name);
    let answer: AnswerText;
    try {
      if (handler === undefined) throw new BusError('COMMAND_NOT_FOUND', `This node does not answer "${name}".`);
      answer = { id, result: await handler(args as never, from) };
    } catch (error) {
      if (!(error instanceof BusError)) this.onFault(error);
      const { code, message, details } =
        error instanceof BusError ? error : new BusError('INTERNAL_ERROR', 'The other node failed; see its log.');
      answer = { id, error: { code, message, details } };
    }
    // On failure the caller's timeout ends the call.
    await this.send(from, 'answer', JSON.stringify(answer)).catch(() => {});
  }

  private async send(node: string, kind: 'call' | 'answer', text: string): Promise<void> {
    await this.presence?.send(node, { kind, tenant: '', clients: [], text });
  }

  private take(id: string): Asked | undefined {
    const asked = this.asked.get(id);
    if (asked === undefined) return undefined;
    this.asked.delete(id);
    clearTimeout(asked.timer);
    return asked;
  }
}

function unanswered(node: string): BusError {
  return new BusError('STORAGE_UNAVAILABLE', 'Another node of the cluster did not answer in time; try again.', {
    node,
  });
}
