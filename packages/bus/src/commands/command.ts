import type { JsonObject, Role } from '@arqonbus/protocol';
import type { ZodType } from 'zod';
import type { Sender } from '../connection/session.ts';
import type { Awaitable } from '../engine/engine.ts';

/** What a command is given besides its arguments. */
export interface CommandContext {
  readonly sender: Sender;
  /** Id of the envelope, which the answer will repeat as `request_id`. */
  readonly requestId: string;
  /** Runs `step` after the answer was sent: replayed envelopes follow the answer, never precede it. */
  afterAnswer(step: () => void): void;
}

/**
 * One command of the protocol (section 7), declared once: the check of every call, `help`, the documents and the types
 * of both ends are made from it. `args` describes every argument; one that it does not know is refused. `result`
 * describes the answer's `payload` with all its fields; tests hold the answers to it, a running server does not. `run`
 * answers that payload or throws a BusError.
 */
export interface Command<A = never, R extends object = object> {
  readonly name: string;
  readonly aliases?: readonly string[];
  readonly role: Role;
  readonly description: string;
  readonly args: ZodType<A>;
  readonly result: ZodType<R>;
  run(context: CommandContext, args: A): Awaitable<NoInfer<R> | JsonText>;
}

/**
 * A result that is JSON text already, made of stored envelopes as they are: reading and writing them again would cost
 * more than everything else in a long answer.
 */
export class JsonText {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }

  parse(): object {
    return JSON.parse(this.text) as object;
  }
}

/** A command among others of different arguments. Its own `args` schema is what makes calling `run` sound. */
export type AnyCommand = Command<JsonObject>;

/** Declares a command whose `run` is checked against its own schemas. */
export function command<A, R extends object>(declared: Command<A, R>): AnyCommand {
  return declared as unknown as AnyCommand;
}

/** The commands a server has, by name and alias. */
export class CommandSet {
  readonly all: readonly AnyCommand[];
  private readonly byName: Map<string, AnyCommand> = new Map();

  constructor(commands: readonly AnyCommand[]) {
    this.all = [...commands].sort((one, other) => (one.name < other.name ? -1 : 1));
    for (const one of commands) {
      for (const name of [one.name, ...(one.aliases ?? [])]) {
        if (this.byName.has(name)) throw new Error(`Two commands are called "${name}".`);
        this.byName.set(name, one);
      }
    }
  }

  find(name: string): AnyCommand | undefined {
    return this.byName.get(name);
  }
}
