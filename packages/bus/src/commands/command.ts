import type { JsonObject, Role } from '@arqonbus/protocol';
import { type ZodType, z } from 'zod';
import type { Sender } from '../connection/session.ts';
import type { Awaitable } from '../engine/engine.ts';
import { type Bounds, boundsOf, resolveNode, type SchemaNode, schemaNode } from './bounds.ts';

/** The context of a command's call. */
export interface CommandContext {
  readonly sender: Sender;
  /** Id of the envelope; the answer repeats it as `request_id`. */
  readonly requestId: string;
  /** Aborted when a caller without a connection has disconnected, so nobody waits for the answer. */
  readonly signal?: AbortSignal | undefined;
  /** Runs `step` after the answer is sent, so that replayed envelopes follow the answer. */
  afterAnswer(step: () => void): void;
  /** Lets the sender's next envelopes start before the answer is sent; for commands that wait. */
  releaseTurn(): void;
}

/**
 * One command of the protocol (section 7), declared once: the check of every call, `help`, the documents and the types
 * of both ends are derived from it. `args` describes every argument; unknown ones are refused. Arguments for secrets
 * are marked `.meta({ secret: true })`: they are not inspected, shown or logged. `result` describes the answer's
 * `payload` with all its fields; tests check answers against it, a running server does not. `run` returns that payload
 * or throws a BusError. A command that `waits` is answered when its event occurs: later envelopes of its connection do
 * not wait for it, and `run` stops when the caller has disconnected.
 */
export interface Command<A = never, R extends object = object> {
  readonly name: string;
  readonly aliases?: readonly string[];
  readonly role: Role;
  readonly description: string;
  readonly args: ZodType<A>;
  /**
   * Recognizes the most frequent arguments among those that `args` accepts and leaves as they are; the schema then need
   * not check them. For commands of which many arrive at once.
   */
  readonly isUsual?: (args: JsonObject) => boolean;
  readonly result: ZodType<R>;
  /** The type under which the content policy inspects the arguments; default: `command`. */
  readonly inspectedAs?: 'command' | 'profile';
  /**
   * Where to find the address when the arguments have neither room nor channel: by default in the envelope. With
   * `current`, the sender's current room and channel if the envelope has none either.
   */
  readonly place?: 'current';
  /** Whether it concerns the whole tenant: it then needs the grant `admin` for all of it, besides the role. */
  readonly isTenantWide?: true;
  /** Whether it may be answered much later than it was sent (`CommandContext.releaseTurn`). */
  readonly waits?: true;
  run(context: CommandContext, args: A): Awaitable<NoInfer<R> | JsonText>;
}

/**
 * A result as JSON text, built from stored envelopes: parsing and serializing them again would dominate the cost of a
 * long answer.
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

/** A command of any argument type. Its own `args` schema makes calling `run` type-safe. */
export interface AnyCommand extends Command<JsonObject> {
  readonly inspectedAs: 'command' | 'profile';
  /** Dotted paths of the arguments marked as secret, `*` for any member or item; the empty path is all arguments. */
  readonly secretPaths: readonly string[];
  /** The size limits of its arguments. */
  readonly bounds: Bounds;
  /** Which of `room` and `channel` its arguments have. */
  readonly placed: { readonly room: boolean; readonly channel: boolean };
}

/** Declares a command, checking the type of `run` against its schemas. */
export function command<A, R extends object>(declared: Command<A, R>): AnyCommand {
  const { args, inspectedAs = 'command' } = declared;
  const names = args instanceof z.ZodObject ? args.shape : {};
  const placed = { room: 'room' in names, channel: 'channel' in names };
  const schema = schemaNode(args);
  const read = { inspectedAs, secretPaths: secretPathsOf(schema), bounds: boundsOf(schema), placed };
  return { ...declared, ...read } as unknown as AnyCommand;
}

/** The parts of a schema with `.meta({ secret: true })`, as dotted paths from its root. */
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

/** The commands of a server, by name and alias. */
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
