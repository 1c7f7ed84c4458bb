/** A `\u` escape of half a surrogate pair: well-formed JSON text without one contains no lone surrogate. */
const SURROGATE_ESCAPE = /\\u[dD][89a-fA-F]/;

/** Whether JSON text can contain a lone surrogate. False is certain; true needs {@link replaceSurrogates}. */
export function mayHoldSurrogates(text: string): boolean {
  // Fast path: most texts contain no "\u", and searching for it is cheap.
  return text.includes('\\u') && SURROGATE_ESCAPE.test(text);
}

/**
 * `value` with every lone surrogate in its strings and keys replaced by U+FFFD; `value` itself if there is none. Values
 * deeper than `levels` are unchanged, so that no text can exhaust the stack.
 */
export function replaceSurrogates<T>(value: T, levels: number): T {
  return replaced(value, levels) as T;
}

function replaced(value: unknown, levels: number): unknown {
  if (typeof value === 'string') return value.toWellFormed();
  if (typeof value !== 'object' || value === null || levels === 0) return value;
  if (Array.isArray(value)) {
    const items = value.map((item: unknown) => replaced(item, levels - 1));
    return items.some((item, at) => item !== value[at]) ? items : value;
  }
  let changed = false;
  const entries = Object.entries(value).map(([key, item]): [string, unknown] => {
    const entry: [string, unknown] = [key.toWellFormed(), replaced(item, levels - 1)];
    changed ||= entry[0] !== key || entry[1] !== item;
    return entry;
  });
  // fromEntries defines properties, so that a "__proto__" key stays a key.
  return changed ? Object.fromEntries(entries) : value;
}
