import type { Awaitable, EngineEvents, NodeMessage, StreamAddress, StreamEvent } from './engine.ts';

/** Forwards to the bus's callbacks, for parts that are created before the engine receives them. */
export class Relay implements EngineEvents {
  target: EngineEvents | null = null;

  deliver(event: StreamEvent): number {
    return this.target?.deliver(event) ?? 0;
  }

  receive(message: NodeMessage): void {
    this.target?.receive(message);
  }

  health(state: { healthy: boolean; reason: string }): void {
    this.target?.health(state);
  }

  historyGap(stream: StreamAddress): void {
    this.target?.historyGap(stream);
  }

  gap(...told: Parameters<EngineEvents['gap']>): Awaitable<void> {
    return this.target?.gap(...told);
  }

  trimmed(state: Parameters<EngineEvents['trimmed']>[0]): void {
    this.target?.trimmed(state);
  }

  warning(sentence: string): void {
    this.target?.warning?.(sentence);
  }
}
