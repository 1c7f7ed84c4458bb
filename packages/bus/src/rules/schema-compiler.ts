import { isObject, keysOf } from './json-value.ts';
import { assertionsOf, below, type Check, here, type Mismatch, requiredBy, told } from './schema-assertions.ts';
import type { StepBudget } from './schema-budget.ts';
import { Patterns } from './schema-pattern.ts';
import { SchemaReader } from './schema-reader.ts';

/** Notes which parts of a value a schema has spoken of; only of a value that fits it. */
type Collect = (value: unknown, seen: Seen, budget: StepBudget) => void;

/** The parts of one value that schemas have spoken of. */
class Seen {
  isAll = false;
  readonly parts: Set<string | number> = new Set();
}

/** One schema, made ready: checks of a value, and what it tells of the value's parts. */
interface Compiled {
  readonly check: Check;
  readonly collect: Collect;
}

const ANYTHING: Compiled = { check: () => null, collect: () => {} };
const NOTHING: Compiled = { check: () => here('nothing at all'), collect: () => {} };

/** A name in a schema that is looked up in no other. */
const SUBSCHEMAS = ['additionalProperties', 'propertyNames', 'items', 'contains', 'not', 'if', 'then', 'else'] as const;

/**
 * Makes checks of a schema whose references lead to no circle: a closure for each keyword, so that making them takes time in
 * proportion to the schema, and checking takes steps that are counted.
 */
export class SchemaCompiler {
  private readonly target: (ref: string) => unknown;
  private readonly patterns: Patterns = new Patterns();
  private readonly known: Map<unknown, Compiled> = new Map();

  /** @param target what a reference names */
  constructor(target: (ref: string) => unknown) {
    this.target = target;
  }

  /** Throws an Error whose message ends a sentence for a schema that is malformed. */
  compile(schema: unknown): Compiled {
    if (schema === true) return ANYTHING;
    if (schema === false) return NOTHING;
    if (!isObject(schema)) throw new Error('a schema in it is neither an object nor true or false');
    let compiled = this.known.get(schema);
    if (compiled === undefined) {
      compiled = this.make(new SchemaReader(schema));
      this.known.set(schema, compiled);
    }
    return compiled;
  }

  private make(read: SchemaReader): Compiled {
    // What is not used is read all the same: it is malformed before it is needed.
    for (const keyword of SUBSCHEMAS) if (read.has(keyword)) this.compile(read.node[keyword]);
    for (const keyword of ['$defs', 'definitions']) for (const [, one] of read.entries(keyword)) this.compile(one);
    const checks = assertionsOf(read, this.patterns);
    const collects: Collect[] = [];
    for (const part of [
      this.references(read),
      this.combinations(read),
      this.choice(read),
      this.dependencies(read),
    ].flat()) {
      checks.push(part.check);
      collects.push(part.collect);
    }
    for (const part of [this.arrays(read), this.objects(read)].flat()) {
      checks.push(part.check);
      collects.push(part.collect);
    }
    const collect: Collect = (value, seen, budget) => {
      budget.spend(1);
      for (const one of collects) one(value, seen, budget);
    };
    checks.push(...this.rests(read, collect));
    const check: Check = (value, budget) => {
      budget.spend(1);
      for (const one of checks) {
        const mismatch = one(value, budget);
        if (mismatch !== null) return mismatch;
      }
      return null;
    };
    const isWhole = read.has('unevaluatedProperties') || read.has('unevaluatedItems');
    return {
      check,
      collect: isWhole
        ? (value, seen, budget) => {
            const isOf = Array.isArray(value) ? 'unevaluatedItems' : 'unevaluatedProperties';
            if (read.has(isOf)) seen.isAll = true;
            else collect(value, seen, budget);
          }
        : collect,
    };
  }

  private references(read: SchemaReader): Compiled[] {
    return ['$ref', '$dynamicRef'].flatMap((keyword) => {
      const ref = read.text(keyword);
      return ref === undefined ? [] : [this.compile(this.target(ref))];
    });
  }

  private combinations(read: SchemaReader): Compiled[] {
    const all = read.schemas('allOf')?.map((one) => this.compile(one)) ?? [];
    const parts = [...all];
    const any = read.schemas('anyOf')?.map((one) => this.compile(one));
    if (any !== undefined)
      parts.push({ check: (value, budget) => firstOf(any, value, budget), collect: collectFitting(any) });
    const one = read.schemas('oneOf')?.map((branch) => this.compile(branch));
    if (one !== undefined)
      parts.push({ check: (value, budget) => onlyOf(one, value, budget), collect: collectFitting(one) });
    if (read.has('not')) {
      const not = this.compile(read.node.not);
      const wrong = here('another value');
      parts.push({ check: (value, budget) => (not.check(value, budget) === null ? wrong : null), collect: () => {} });
    }
    return parts;
  }

  private choice({ node }: SchemaReader): Compiled[] {
    if (node.if === undefined) return [];
    const [condition, then, otherwise] = [node.if, node.then ?? true, node.else ?? true].map((one) =>
      this.compile(one),
    ) as [Compiled, Compiled, Compiled];
    return [
      {
        check: (value, budget) => (condition.check(value, budget) === null ? then : otherwise).check(value, budget),
        collect: (value, seen, budget) => {
          const isMet = condition.check(value, budget) === null;
          if (isMet) condition.collect(value, seen, budget);
          (isMet ? then : otherwise).collect(value, seen, budget);
        },
      },
    ];
  }

  private dependencies(read: SchemaReader): Compiled[] {
    // "dependencies" is what both were called once.
    return [...read.entries('dependentSchemas'), ...read.entries('dependencies')].map(([name, given]) => {
      if (Array.isArray(given)) return { check: requiredBy(name, given.map(String)), collect: () => {} };
      const one = this.compile(given);
      const applies = (value: unknown): boolean => isObject(value) && Object.hasOwn(value, name);
      return {
        check: (value, budget) => (applies(value) ? one.check(value, budget) : null),
        collect: (value, seen, budget) => (applies(value) ? one.collect(value, seen, budget) : undefined),
      };
    });
  }

  private arrays(read: SchemaReader): Compiled[] {
    const first = read.schemas('prefixItems')?.map((one) => this.compile(one)) ?? [];
    const rest = read.has('items') ? this.compile(read.node.items) : null;
    const parts: Compiled[] = [];
    if (first.length > 0 || rest !== null) {
      parts.push({
        check: (value, budget) => (Array.isArray(value) ? items(value, first, rest ?? ANYTHING, budget) : null),
        collect: (value, seen) => {
          if (!Array.isArray(value)) return;
          if (rest !== null) seen.isAll = true;
          else for (let index = 0; index < first.length; index += 1) seen.parts.add(index);
        },
      });
    }
    if (read.has('contains')) parts.push(this.contained(read));
    return parts;
  }

  private contained(read: SchemaReader): Compiled {
    const one = this.compile(read.node.contains);
    const least = read.count('minContains') ?? 1;
    const most = read.count('maxContains') ?? Number.POSITIVE_INFINITY;
    const wrong = here(
      `${most === Number.POSITIVE_INFINITY ? 'at least' : `${least} to ${most}, not other than`} ${least} items of a kind`,
    );
    const fits = (item: unknown, budget: StepBudget): boolean => one.check(item, budget) === null;
    return {
      check: (value, budget) => {
        if (!Array.isArray(value)) return null;
        budget.spend(value.length);
        let count = 0;
        for (const item of value) if (fits(item, budget)) count += 1;
        return count >= least && count <= most ? null : wrong;
      },
      collect: (value, seen, budget) => {
        if (!Array.isArray(value)) return;
        for (const [index, item] of value.entries()) if (fits(item, budget)) seen.parts.add(index);
      },
    };
  }

  private objects(read: SchemaReader): Compiled[] {
    const named = new Map(read.entries('properties').map(([name, one]) => [name, this.compile(one)]));
    const matched = read.entries('patternProperties').map(([pattern, one]) => ({
      matches: this.patterns.compile(pattern),
      one: this.compile(one),
    }));
    const hasRest = read.has('additionalProperties');
    const rest = hasRest ? this.compile(read.node.additionalProperties) : ANYTHING;
    const names = read.has('propertyNames') ? this.compile(read.node.propertyNames) : null;
    const parts: Compiled[] = [];
    if (names !== null) {
      parts.push({
        check: (value, budget) => {
          if (!isObject(value)) return null;
          for (const key of keysOf(value, budget)) {
            const mismatch = names.check(key, budget);
            if (mismatch !== null) return here(`names of fields that are ${mismatch.expected}`);
          }
          return null;
        },
        collect: () => {},
      });
    }
    if (named.size > 0 && matched.length === 0 && !hasRest) parts.push(onlyNamed(named));
    else if (named.size + matched.length > 0 || hasRest) {
      const isKnown = (key: string, budget: StepBudget): boolean =>
        named.has(key) || matched.some(({ matches }) => matches(key, budget));
      parts.push({
        check: (value, budget) => {
          if (!isObject(value)) return null;
          for (const key of keysOf(value, budget)) {
            budget.spend(1 + matched.length);
            const applied = matched.filter(({ matches }) => matches(key, budget)).map(({ one }) => one);
            const own = named.get(key);
            if (own !== undefined) applied.push(own);
            if (applied.length === 0 && rest === NOTHING) return here(`no field ${told(key)}`);
            for (const one of applied.length === 0 ? [rest] : applied) {
              const mismatch = one.check(value[key], budget);
              if (mismatch !== null) return below(key, mismatch);
            }
          }
          return null;
        },
        collect: (value, seen, budget) => {
          if (!isObject(value)) return;
          if (hasRest) seen.isAll = true;
          else for (const key of keysOf(value, budget)) if (isKnown(key, budget)) seen.parts.add(key);
        },
      });
    }
    return parts;
  }

  /** What holds for the parts of which nothing else has spoken. */
  private rests(read: SchemaReader, collect: Collect): Check[] {
    const checks: Check[] = [];
    if (read.has('unevaluatedItems')) {
      const rest = this.compile(read.node.unevaluatedItems);
      checks.push((value, budget) => {
        if (!Array.isArray(value)) return null;
        return unseen(value.keys(), value, collect, budget, (index) => restOf(rest, index, value[index], budget));
      });
    }
    if (read.has('unevaluatedProperties')) {
      const rest = this.compile(read.node.unevaluatedProperties);
      checks.push((value, budget) => {
        if (!isObject(value)) return null;
        return unseen(keysOf(value, budget), value, collect, budget, (key) => restOf(rest, key, value[key], budget));
      });
    }
    return checks;
  }
}

function restOf(rest: Compiled, key: string | number, value: unknown, budget: StepBudget): Mismatch | null {
  if (rest === NOTHING) return here(typeof key === 'number' ? `at most ${key} items` : `no field ${told(key)}`);
  const mismatch = rest.check(value, budget);
  return mismatch === null ? null : below(key, mismatch);
}

function unseen<K extends string | number>(
  keys: Iterable<K>,
  value: unknown,
  collect: Collect,
  budget: StepBudget,
  check: (key: K) => Mismatch | null,
): Mismatch | null {
  const seen = new Seen();
  collect(value, seen, budget);
  if (seen.isAll) return null;
  for (const key of keys) {
    budget.spend(1);
    const mismatch = seen.parts.has(key) ? null : check(key);
    if (mismatch !== null) return mismatch;
  }
  return null;
}

function firstOf(branches: readonly Compiled[], value: unknown, budget: StepBudget): Mismatch | null {
  let first: Mismatch | null = null;
  for (const { check } of branches) {
    const mismatch = check(value, budget);
    if (mismatch === null) return null;
    first ??= mismatch;
  }
  return first;
}

function onlyOf(branches: readonly Compiled[], value: unknown, budget: StepBudget): Mismatch | null {
  let first: Mismatch | null = null;
  let count = 0;
  for (const { check } of branches) {
    const mismatch = check(value, budget);
    if (mismatch === null) count += 1;
    else first ??= mismatch;
  }
  if (count === 1) return null;
  return count > 1 ? here('what fits one schema of several, and no second one') : first;
}

function collectFitting(branches: readonly Compiled[]): Collect {
  return (value, seen, budget) => {
    for (const { check, collect } of branches) if (check(value, budget) === null) collect(value, seen, budget);
  };
}

function items(
  value: readonly unknown[],
  first: readonly Compiled[],
  rest: Compiled,
  budget: StepBudget,
): Mismatch | null {
  budget.spend(Math.min(value.length, first.length));
  for (let index = 0; index < value.length; index += 1) {
    if (index >= first.length && rest === ANYTHING) return null;
    if (index >= first.length && rest === NOTHING) return here(`at most ${first.length} items`);
    const mismatch = (first[index] ?? rest).check(value[index], budget);
    if (mismatch !== null) return below(index, mismatch);
  }
  return null;
}

/** The usual case: each field has its own schema, and others are free. */
function onlyNamed(named: ReadonlyMap<string, Compiled>): Compiled {
  return {
    check: (value, budget) => {
      if (!isObject(value)) return null;
      for (const [name, { check }] of named) {
        budget.spend(1);
        if (!Object.hasOwn(value, name)) continue;
        const mismatch = check(value[name], budget);
        if (mismatch !== null) return below(name, mismatch);
      }
      return null;
    },
    collect: (value, seen) => {
      if (!isObject(value)) return;
      for (const name of named.keys()) if (Object.hasOwn(value, name)) seen.parts.add(name);
    },
  };
}
