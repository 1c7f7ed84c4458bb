/** Longest pattern, in characters: as long as a channel's name. */
const MAX_PATTERN = 128;

/** Literal segments contain the characters of a channel name; `*` and `>` replace only whole segments. */
const PATTERN = /^(?:\*|[A-Za-z0-9][A-Za-z0-9_-]*)?(?:[./](?:\*|[A-Za-z0-9_-]*))*(?:[./]>)?$/;

/**
 * Whether a text is a channel pattern: a channel's name in which at least one segment is `*`, or the last one is `>`.
 * Segments are separated by `.` or `/`. A lone `*` is not a pattern but the whole room; a lone `>` is one.
 */
export function isChannelPattern(text: string): boolean {
  if (text.length > MAX_PATTERN || text === '*') return false;
  if (text === '>') return true;
  return /[*>]/.test(text) && !/^[./]/.test(text) && PATTERN.test(text);
}

/**
 * Compiles a channel pattern into a test of channel names. `*` matches one segment of at least one character, a final
 * `>` the rest: one or more segments. Separators are distinct: `orders.*` does not match `orders/new`. The time
 * is linear in the name. A text without `*` and `>` matches only itself.
 *
 * @example
 * compilePattern('orders.*')('orders.created'); // true
 * compilePattern('orders.>')('orders.eu/created'); // true
 */
export function compilePattern(pattern: string): (channel: string) => boolean {
  const tokens = pattern.match(/[./]|[^./]+/g) ?? [];
  return (channel) => {
    let at = 0;
    for (const token of tokens) {
      if (token === '>') return at < channel.length;
      if (token === '*') {
        const end = endOfSegment(channel, at);
        if (end === at) return false;
        at = end;
      } else {
        if (!channel.startsWith(token, at)) return false;
        at += token.length;
      }
    }
    return at === channel.length;
  };
}

function endOfSegment(channel: string, from: number): number {
  let end = from;
  while (end < channel.length && channel[end] !== '.' && channel[end] !== '/') end += 1;
  return end;
}
