import { type JsonObject, PRIVATE_CHANNEL, WILDCARD } from '@arqonbus/protocol';
import { type Inspected, isMadeId, type Layout, layoutOf, METADATA } from './content.ts';
import { type FieldFacts, MAX_REMEMBERED_LENGTH, rulesIn } from './fields.ts';
import { descend, type PathNode, treeOf } from './paths.ts';
import { isCredentialLike, isPlaceholder } from './plausibility.ts';
import type { Policy } from './policy.ts';
import { REDACTED } from './redaction.ts';
import { TextBudget } from './text-budget.ts';

/** Deeper values are refused without inspection; the protocol allows 64 levels. */
const MAX_DEPTH = 1_000;
/** Maximum address length; longer ones are refused elsewhere. */
const MAX_ADDRESS_LENGTH = 512;

const NO_NODES: readonly PathNode[] = [];
const NO_PATHS: readonly string[] = [];

export interface ExaminationOptions {
  /** Whether payload and metadata together may exceed `max_inspect_bytes`. */
  readonly partial: boolean;
  /** For observers: hides what was not inspected and what is intended to contain secrets. */
  readonly forObservers: boolean;
  /**
   * Called for every match with its place: the part of the message (`payload`, `metadata`, `room` …), then names and
   * indexes. The list is only valid during the call.
   */
  readonly onMatch?: (rule: string, place: readonly (string | number)[]) => void;
}

/** The result of an examination: the same objects if nothing was redacted in them. */
export interface Examined {
  readonly payload: JsonObject;
  readonly metadata: JsonObject | undefined;
}

/** A position in the walk. */
interface Place {
  /** Redaction path nodes for this position. */
  readonly nodes: readonly PathNode[];
  /** Nodes of the secret paths for this position. */
  readonly secrets: readonly PathNode[];
}

const ANYWHERE: Place = { nodes: NO_NODES, secrets: NO_NODES };

/**
 * One walk over a message: collects the matching rules and builds the redacted copy, which shares unredacted parts with
 * the original. The original is never changed.
 */
export class Examination {
  /** Ids of the matching rules, in order of discovery. */
  readonly rules: string[] = [];
  /** Whether content matched: a secret rule, a sensitive name or a pattern. */
  secret = false;
  /** Whether room, channel or recipients matched. */
  address = false;
  readonly #policy: Policy;
  readonly #options: ExaminationOptions;
  readonly #texts: TextBudget;
  readonly #trail: (string | number)[] = [];
  /** False inside parts that are never rewritten. */
  #rewrites = true;
  #depth = 0;
  readonly #seen = new Set<string>();
  readonly #onRule = (rule: string): void => {
    this.secret = true;
    this.#found(rule);
  };

  constructor(policy: Policy, options: ExaminationOptions) {
    this.#policy = policy;
    this.#options = options;
    this.#texts = new TextBudget(
      policy.text,
      policy.settings.max_inspect_bytes,
      options.partial,
      options.forObservers,
      this.#onRule,
    );
  }

  /** Examines a message: its addresses, its payload, then its metadata. */
  run(subject: Inspected): Examined {
    this.#addresses(subject);
    const { type, payload, metadata, secretPaths = NO_PATHS } = subject;
    return {
      payload: this.#part('payload', payload, layoutOf(type), secretPaths),
      metadata: metadata && this.#part('metadata', metadata, METADATA, NO_PATHS),
    };
  }

  #addresses({ id, requestId, room, channel, to }: Inspected): void {
    this.#address('room', room);
    this.#address('channel', channel);
    if (to !== undefined) for (const recipient of to) this.#address('to', recipient);
    if (id !== undefined) this.#id('id', id);
    if (requestId !== undefined) this.#id('request_id', requestId);
  }

  #address(part: string, name: string | undefined): void {
    // The server's own two channel names are harmless.
    if (name === undefined || name === WILDCARD || name === PRIVATE_CHANNEL || name.length > MAX_ADDRESS_LENGTH) return;
    if (isMadeId(name)) {
      this.#id(part, name);
      return;
    }
    // Rooms and channels repeat, so they are cached like field names.
    const { rules } = this.#policy.fields.of(name);
    const all = name.length <= MAX_REMEMBERED_LENGTH ? rules : rulesIn(name, this.#policy.text);
    if (all.length === 0) return;
    this.address = true;
    this.#trail.push(part);
    for (const rule of all) this.#onRule(rule);
    this.#trail.pop();
  }

  #id(part: string, id: string): void {
    this.#trail.push(part);
    this.#policy.text.findSecrets(id, this.#onRule);
    this.#trail.pop();
  }

  #part(part: string, value: JsonObject, layout: Layout, secretPaths: readonly string[]): JsonObject {
    const { forObservers } = this.#options;
    // The empty path means the whole part.
    if (secretPaths.includes('')) return forObservers ? { redacted: REDACTED } : value;
    const { root } = this.#policy.paths;
    const secrets = secretPaths.length === 0 ? undefined : secretTree(secretPaths);
    const place =
      root === undefined && secrets === undefined
        ? ANYWHERE
        : { nodes: root === undefined ? NO_NODES : [root], secrets: secrets === undefined ? NO_NODES : [secrets] };
    this.#trail.push(part);
    const examined = this.#object(value, place, layout);
    this.#trail.pop();
    return examined;
  }

  /** @param layout only at the top level of a part */
  #object(object: JsonObject, place: Place, layout?: Layout): JsonObject {
    this.#enter();
    const names = Object.keys(object);
    const rewrites = this.#rewrites;
    let entries: [string, unknown][] | undefined;
    let redactedNames = 0;
    for (let i = 0; i < names.length; i++) {
      const name = names[i]!;
      const value = object[name];
      const facts = this.#policy.fields.of(name);
      const below = descendPlace(place, facts.lowerCase);
      const isMatch = layout?.isKnown(name) !== true && this.#matchesName(name, facts);
      if (layout !== undefined) this.#rewrites = !layout.isFixed(name);
      let outName = name;
      if (isMatch && this.#rewrites) {
        do {
          redactedNames++;
          outName = redactedNames === 1 ? REDACTED : REDACTED + redactedNames;
        } while (Object.hasOwn(object, outName));
      }
      if (this.#options.partial) this.#texts.spend(outName);
      this.#trail.push(isMatch ? REDACTED : name);
      const next = this.#member(value, facts, below, facts.path ?? pathOf(below.nodes));
      this.#trail.pop();
      if (entries === undefined && (outName !== name || !Object.is(next, value))) {
        entries = names.slice(0, i).map((before) => [before, object[before]]);
      }
      entries?.push([outName, next]);
    }
    this.#rewrites = rewrites;
    this.#depth--;
    // fromEntries defines members, so "__proto__" stays an ordinary one; an assignment would set the prototype.
    return entries === undefined ? object : Object.fromEntries(entries);
  }

  #array(array: readonly unknown[], facts: FieldFacts, place: Place): readonly unknown[] {
    this.#enter();
    let copy: unknown[] | undefined;
    for (let i = 0; i < array.length; i++) {
      const value = array[i];
      const below = place === ANYWHERE ? place : descendPlace(place, String(i));
      this.#trail.push(i);
      // Strings in a list under a sensitive name are as sensitive as a single one.
      const next = this.#member(value, facts, below, pathOf(below.nodes));
      this.#trail.pop();
      if (Object.is(next, value)) continue;
      copy ??= [...array];
      copy[i] = next;
    }
    this.#depth--;
    return copy ?? array;
  }

  #enter(): void {
    if (++this.#depth > MAX_DEPTH) throw new RangeError('The payload is nested too deeply to inspect.');
  }

  /** Examines a member or item; `path` is the redaction path that matches it, if any. */
  #member(value: unknown, facts: FieldFacts, place: Place, path: string | undefined): unknown {
    if (isSecretPlace(place.secrets)) return this.#options.forObservers ? REDACTED : value;
    if (path === undefined || !this.#rewrites) return this.#value(value, facts, place);
    // Its content affects the outcome, although it is redacted as a whole.
    this.#texts.aside(() => this.#value(value, facts, place));
    if (value === REDACTED) return value;
    this.#found(`path:${path}`);
    return REDACTED;
  }

  #value(value: unknown, facts: FieldFacts, place: Place): unknown {
    if (typeof value === 'string') return this.#string(value, facts);
    if (typeof value !== 'object' || value === null) return value;
    return Array.isArray(value) ? this.#array(value, facts, place) : this.#object(value as JsonObject, place);
  }

  #string(text: string, facts: FieldFacts): string {
    if (this.#rewrites) return this.#redacted(text, facts);
    if (isMadeId(text)) this.#texts.findSecrets(text);
    else this.#redacted(text, facts);
    return text;
  }

  #redacted(text: string, facts: FieldFacts): string {
    if (facts.sensitivity === undefined) return this.#texts.inspect(text);
    if (this.#credential(text, facts)) return REDACTED;
    // The rest of a text may look like a credential even if the whole did not.
    return this.#texts.inspect(text, (rest) => this.#credential(rest, facts));
  }

  #credential(text: string, { sensitivity, sensitiveName }: FieldFacts): boolean {
    if (sensitivity === 'certain' ? isPlaceholder(text) : !isCredentialLike(text)) return false;
    this.#onRule(`key:${sensitiveName}`);
    return true;
  }

  #matchesName(name: string, facts: FieldFacts): boolean {
    // The fast path for nearly every name: a cached clean one, with nothing to count.
    if (!this.#options.partial && facts.rules.length === 0 && name.length <= MAX_REMEMBERED_LENGTH) return false;
    // The reported place must not contain the matching name.
    this.#trail.push(REDACTED);
    const matches = this.#texts.matchesName(name, facts.rules);
    this.#trail.pop();
    return matches;
  }

  #found(rule: string): void {
    // A set besides the list, because a text can match tens of thousands of times.
    if (!this.#seen.has(rule)) {
      this.#seen.add(rule);
      this.rules.push(rule);
    }
    this.#options.onMatch?.(rule, this.#trail);
  }
}

/** The paths come from a command's declaration, so it is the same list each time. */
const secretTrees = new WeakMap<readonly string[], PathNode>();

function secretTree(paths: readonly string[]): PathNode | undefined {
  let tree = secretTrees.get(paths);
  if (tree === undefined) {
    tree = treeOf(paths);
    if (tree !== undefined) secretTrees.set(paths, tree);
  }
  return tree;
}

/** A payload without the parts that are intended to contain secrets; the same object if there are none. */
export function withoutSecrets(payload: JsonObject, secretPaths: readonly string[]): JsonObject {
  if (secretPaths.includes('')) return { redacted: REDACTED };
  const tree = secretPaths.length === 0 ? undefined : secretTree(secretPaths);
  return tree === undefined ? payload : (hideAt(payload, [tree]) as JsonObject);
}

function hideAt(value: unknown, secrets: readonly PathNode[]): unknown {
  if (isSecretPlace(secrets)) return REDACTED;
  if (secrets.length === 0 || typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map((item, i) => hideAt(item, descend(secrets, String(i))));
  const entries = Object.entries(value);
  return Object.fromEntries(entries.map(([name, item]) => [name, hideAt(item, descend(secrets, name.toLowerCase()))]));
}

function descendPlace(place: Place, name: string): Place {
  if (place === ANYWHERE) return place;
  const nodes = place.nodes.length === 0 ? place.nodes : descend(place.nodes, name);
  const secrets = place.secrets.length === 0 ? place.secrets : descend(place.secrets, name);
  return nodes.length === 0 && secrets.length === 0 ? ANYWHERE : { nodes, secrets };
}

function pathOf(nodes: readonly PathNode[]): string | undefined {
  for (const { path } of nodes) if (path !== undefined) return path;
  return undefined;
}

function isSecretPlace(secrets: readonly PathNode[]): boolean {
  return pathOf(secrets) !== undefined;
}
