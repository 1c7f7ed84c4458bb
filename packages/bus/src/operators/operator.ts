import type { AnyCommand } from '../commands/command.ts';
import type { Awaitable } from '../engine/engine.ts';

/** A family of `op.*` commands with its state (OPERATORS). The server starts it after the bus and stops it before. */
export interface Operator {
  readonly commands: readonly AnyCommand[];
  /** Begins to listen to the bus and to the key-value store. */
  start(): void;
  /** Takes up what earlier runs left in the store; called again when the store was away and has come back. */
  load(): Awaitable<void>;
  /** Clients are about to be sent away: answers those that wait for something. */
  drain?(): void;
  /** Lets go of timers, sockets and listeners; finishes or abandons what is under way. */
  stop(): Awaitable<void>;
}
