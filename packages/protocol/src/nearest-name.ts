const MAX_COMPARED = 100;

/**
 * The known names that `unknown` probably means: the nearest one by edit distance, else those that contain
 * all its words (`PORT` for `SERVER_PORT`, `HTTP_PORT`), at most three; none if nothing is near. Letter case and
 * separators are ignored.
 */
export function nearestNames(unknown: string, known: readonly string[]): string[] {
  const wanted = plain(unknown).slice(0, MAX_COMPARED);
  let nearest = '';
  let least = Math.max(2, Math.floor(wanted.length / 4)) + 1;
  for (const name of known) {
    const distance = editDistance(wanted, plain(name), least);
    if (distance < least) {
      least = distance;
      nearest = name;
    }
  }
  if (nearest !== '') return [nearest];
  const words = unknown
    .slice(0, MAX_COMPARED)
    .toLowerCase()
    .split(/[^a-z0-9]+/);
  return known.filter((name) => words.every((word) => plain(name).includes(word))).slice(0, 3);
}

function plain(name: string): string {
  return name.toLowerCase().replace(/[^a-z0-9]/g, '');
}

/** The number of insertions, deletions and replacements that turn `b` into `a`, at most `limit`. */
function editDistance(a: string, b: string, limit: number): number {
  if (Math.abs(a.length - b.length) >= limit) return limit;
  let above = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    for (let column = 1; column <= b.length; column++) {
      const replaced = above[column - 1]! + (a[row - 1] === b[column - 1] ? 0 : 1);
      current.push(Math.min(replaced, above[column]! + 1, current[column - 1]! + 1));
    }
    above = current;
  }
  return Math.min(above[b.length]!, limit);
}
