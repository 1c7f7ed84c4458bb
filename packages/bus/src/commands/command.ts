import type { JsonObject, Role } from '@arqonbus/protocol';
import { type ZodType, z } from 'zod';
import type { Sender } from '../connection/session.ts';
import type { Awaitable } from '../engine/engine.ts';
import { type Bounds, boundsOf, resolveNode, type SchemaNode, schemaNode } from './bounds.ts';

/** What a command is given besides its arguments. */
export interface CommandContext {
  readonly sender: Sender;
  /** Id of the envelope, which the answer will repeat as `request_id`. */
  readonly requestId: string;
  /** Aborted when a caller without a connection has gone: nobody waits for the answer any more. */
  readonly signal?: AbortSignal | undefined;
  /** Runs `step` after the answer was sent: replayed envelopes follow the answer, never precede it. */
  afterAnswer(step: () => void): void;
  /** Lets the sender's next envelopes be taken although the answer is still to come; for commands that wait. */
  releaseTurn(): void;
}

/**
 * One command of the protocol (section 7), declared once: the check of every call, `help`, the documents and the types
 * of both ends are made from it. `args` describes every argument; one that it does not know is refused, and one that is
 * meant to hold a secret is marked, `.meta({ secret: true })`: it is neither inspected nor shown nor logged. `result`
 * describes the answer's `payload` with all its fields; tests hold the answers to it, a running server does not. `run`
 * answers that payload or throws a BusError. A command that `waits` for something to happen is answered whenever it has:
 * what its connection sends meanwhile does not wait for it, and `run` gives up when the caller has gone.
 */
export interface Command<A = never, R extends object = object> {
  readonly name: string;
  readonly aliases?: readonly string[];
  readonly role: Role;
  readonly description: string;
  readonly args: ZodType<A>;
  readonly result: ZodType<R>;
  /** As what content inspection sees the arguments; a command unless given. */
  readonly inspectedAs?: 'command' | 'profile';
  /**
   * Where it is when its arguments name neither room nor channel: a command that has them takes the envelope's. With
   * `current` it takes the sender's current ones where the envelope has none either.
   */
  readonly place?: 'current';
  /** Whether it is about the whole tenant: it needs the grant `admin` over all of it, and not only the role. */
  readonly isTenantWide?: true;
  /** Whether it may be answered long after it was sent (`CommandContext.releaseTurn`). */
  readonly waits?: true;
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
export interface AnyCommand extends Command<JsonObject> {
  readonly inspectedAs: 'command' | 'profile';
  /** Dotted paths of the arguments marked as secret, `*` for any member or item; the empty path is all arguments. */
  readonly secretPaths: readonly string[];
  /** How many keys and items its arguments may have. */
  readonly bounds: Bounds;
  /** Which of `room` and `channel` its arguments have. */
  readonly placed: { readonly room: boolean; readonly channel: boolean };
}

/** Declares a command whose `run` is checked against its own schemas. */
export function command<A, R extends object>(declared: Command<A, R>): AnyCommand {
  const { args, inspectedAs = 'command' } = declared;
  const names = args instanceof z.ZodObject ? args.shape : {};
  const placed = { room: 'room' in names, channel: 'channel' in names };
  const schema = schemaNode(args);
  const read = { inspectedAs, secretPaths: secretPathsOf(schema), bounds: boundsOf(schema), placed };
  return { ...declared, ...read } as unknown as AnyCommand;
}

/** Where a schema says `.meta({ secret: true })`, as dotted paths from its root. */
export function secretPathsOf(root: SchemaNode): readonly string[] {
  const paths = new Set<string>();
  const visit = (given: SchemaNode, path: readonly string[]): void => {
    const node = resolveNode(given, root);
    if (node.secret === true) {
      paths.add(path.join('.'));
      return;
    }
    for (const [name, member] of Object.entries(node.properties ?? {})) visit(member, [...path, name]);
    for (const item of [node.items, ...(node.prefixItems ?? []), node.additionalProperties]) {
      if (typeof item === 'object') visit(item, [...path, '*']);
    }
    for (const choice of [...(node.anyOf ?? []), ...(node.oneOf ?? []), ...(node.allOf ?? [])]) visit(choice, path);
  };
  visit(root, []);
  return [...paths];
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
