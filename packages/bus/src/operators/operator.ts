import type { AnyCommand } from '../commands/command.ts';
import type { Awaitable } from '../engine/engine.ts';

/** A family of `op.*` commands with its state (OPERATORS). The server starts it after the bus and stops it before. */
export interface Operator {
  readonly commands: readonly AnyCommand[];
  /** Begins to watch the bus and the key-value store. */
  start(): void;
  /** Loads stored state of earlier runs; called again after a storage outage. */
  load(): Awaitable<void>;
  /** Called before clients are disconnected: answers requests that wait. */
  drain?(): void;
  /** Releases timers, sockets and listeners; finishes or abandons running work. */
  stop(): Awaitable<void>;
}
