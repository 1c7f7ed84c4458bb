/** Any JSON value. */
export type Json = string | number | boolean | null | Json[] | { [key: string]: Json };
/** What `${name}` stands for. */
export type Variables = Map<string, Json>;

type JsonMap = { [key: string]: Json };

/**
 * Fills in `${name}` and the generators `$repeat`, `$list`, `$nest` (README, "Values"). Throws when a variable is not
 * set: a scenario that uses it too early is itself at fault.
 */
export function fill(value: Json, variables: Variables): Json {
  if (typeof value === 'string') return fillText(value, variables);
  if (Array.isArray(value)) return value.map((item) => fill(item, variables));
  if (!isMap(value)) return value;
  const generated = generate(value, variables);
  if (generated !== undefined) return generated;
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [fillKey(key, variables), fill(item, variables)]),
  );
}

function fillText(text: string, variables: Variables): Json {
  const whole = /^\$\{(\w+)\}$/.exec(text);
  if (whole !== null) return look(variables, whole[1] as string);
  return text.replace(/\$\{(\w+)\}/g, (_match, name: string) => String(look(variables, name)));
}

function fillKey(key: string, variables: Variables): string {
  return String(fillText(key, variables));
}

function look(variables: Variables, name: string): Json {
  const value = variables.get(name);
  if (value === undefined) throw new Error(`the variable ${name} is not set`);
  return value;
}

function generate(value: JsonMap, variables: Variables): Json | undefined {
  const [name, spec] = operator(value) ?? [];
  if (!isMap(spec)) return undefined;
  if (name === '$repeat') return String(fill(spec.text as string, variables)).repeat(spec.times as number);
  if (name === '$list') {
    return Array.from({ length: spec.times as number }, (_item, index) =>
      fill(spec.item as Json, new Map([...variables, ['index', index]])),
    );
  }
  if (name !== '$nest') return undefined;
  let nested: Json = {};
  for (let level = 1; level < (spec.levels as number); level += 1) nested = { a: nested };
  return nested;
}

/**
 * Compares a value with a filled-in pattern (README, "Patterns"). Answers null when it matches, and else where and why
 * not. What the pattern captures goes into `captured`, which only counts when the whole pattern matches.
 */
export function mismatch(pattern: Json, actual: Json | undefined, captured: Variables, path = ''): string | null {
  if (isMap(pattern)) {
    const found = operator(pattern);
    if (found !== undefined) return operate(found[0], found[1], actual, captured, path);
    if (!isMap(actual)) return differs(path, pattern, actual);
    for (const [key, expected] of Object.entries(pattern)) {
      const member = Object.hasOwn(actual, key) ? actual[key] : undefined;
      const fault = mismatch(expected, member, captured, `${path}.${key}`);
      if (fault !== null) return fault;
    }
    return null;
  }
  if (Array.isArray(pattern)) {
    if (!Array.isArray(actual) || actual.length !== pattern.length) return differs(path, pattern, actual);
    return firstFault(pattern.map((item, index) => mismatch(item, actual[index], captured, `${path}[${index}]`)));
  }
  return pattern === actual ? null : differs(path, pattern, actual);
}

function operate(name: string, spec: Json, actual: Json | undefined, captured: Variables, path: string): string | null {
  const verdict = (holds: boolean): string | null => (holds ? null : differs(path, { [name]: spec }, actual));
  if (name === '$absent') return verdict(actual === undefined);
  if (actual === undefined) return differs(path, { [name]: spec }, actual);
  switch (name) {
    case '$any':
      return null;
    case '$capture': {
      const [variable, pattern] = Array.isArray(spec) ? spec : [spec, { $any: true }];
      const fault = mismatch(pattern as Json, actual, captured, path);
      if (fault === null) captured.set(variable as string, actual);
      return fault;
    }
    case '$type':
      return verdict(spec === typeOf(actual) || (spec === 'number' && typeof actual === 'number'));
    case '$regex':
      return verdict(typeof actual === 'string' && new RegExp(`^(?:${spec})$`).test(actual));
    case '$in':
      return verdict((spec as Json[]).some((item) => mismatch(item, actual, new Map()) === null));
    case '$least':
      return verdict(typeof actual === 'number' && actual >= (spec as number));
    case '$most':
      return verdict(typeof actual === 'number' && actual <= (spec as number));
    case '$length':
      return verdict((Array.isArray(actual) || typeof actual === 'string') && actual.length === spec);
    case '$exactly':
      return verdict(equal(spec, actual));
    case '$not':
      return verdict(mismatch(spec, actual, new Map()) !== null);
    case '$contains':
      if (!Array.isArray(actual)) return verdict(false);
      return firstFault(
        (spec as Json[]).map((item) =>
          actual.some((one) => mismatch(item, one, new Map()) === null) ? null : differs(`${path}[]`, item, actual),
        ),
      );
    default:
      throw new Error(`there is no operator ${name}`);
  }
}

/** Deep equality; the order of an object's keys does not count. */
function equal(one: Json, other: Json): boolean {
  if (Array.isArray(one)) {
    return Array.isArray(other) && one.length === other.length && one.every((item, n) => equal(item, other[n] as Json));
  }
  if (!isMap(one)) return one === other;
  if (!isMap(other) || Object.keys(one).length !== Object.keys(other).length) return false;
  return Object.keys(one).every((key) => Object.hasOwn(other, key) && equal(one[key] as Json, other[key] as Json));
}

function typeOf(value: Json): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  return Number.isInteger(value) ? 'integer' : typeof value;
}

function operator(value: JsonMap): [string, Json] | undefined {
  const entries = Object.entries(value);
  const only = entries[0];
  return entries.length === 1 && only?.[0].startsWith('$') && !only[0].startsWith('${') ? only : undefined;
}

function isMap(value: Json | undefined): value is JsonMap {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function firstFault(faults: (string | null)[]): string | null {
  return faults.find((fault) => fault !== null) ?? null;
}

function differs(path: string, pattern: Json, actual: Json | undefined): string {
  const got = actual === undefined ? 'nothing' : JSON.stringify(actual).slice(0, 500);
  return `at ${path === '' ? 'the top' : path}: expected ${JSON.stringify(pattern).slice(0, 500)}, got ${got}`;
}
