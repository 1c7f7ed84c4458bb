import type { Attack } from './attack.ts';
import type { Told } from './client.ts';
import type { WitnessFigures } from './witness.ts';

/** Upper limit for the working client's 99th percentile, in milliseconds. */
export const MAX_P99_MS = 50;

export interface Seen {
  readonly seconds: number;
  readonly witness: WitnessFigures;
  readonly rssMib: number;
  /** How the bus ended; null while it is running. */
  readonly end: string | null;
  readonly told: Told;
  /** Further failures. */
  readonly faults: readonly string[];
}

export interface Outcome {
  readonly name: string;
  readonly title: string;
  readonly seconds: number;
  readonly witness: WitnessFigures;
  readonly rssMib: number;
  readonly maxRssMib: number;
  readonly told: Readonly<Record<string, number>>;
  readonly held: boolean;
  readonly faults: readonly string[];
}

/** Whether the bus held, with a sentence for every failure. */
export function outcomeOf(
  { name, title, maxRssMib }: Pick<Attack, 'name' | 'title' | 'maxRssMib'>,
  seen: Seen,
): Outcome {
  const { seconds, witness, rssMib, end, told } = seen;
  const faults: string[] = [];
  if (end !== null) faults.push(`the bus ended with ${end}`);
  if (witness.sent === 0) faults.push('the working client could not send');
  if (witness.lost > 0) {
    const why = witness.refusal === null ? '' : ` (${witness.refusal})`;
    faults.push(`the working client lost ${witness.lost} of ${witness.sent}${why}`);
  }
  // Without round trips the percentile is NaN, which must count as a failure.
  if (!(witness.p99 < MAX_P99_MS)) faults.push(`its p99 is ${ms(witness.p99)}, not under ${MAX_P99_MS} ms`);
  if (!(rssMib < maxRssMib)) faults.push(`the bus had ${Math.round(rssMib)} MiB, not under ${maxRssMib}`);
  faults.push(...seen.faults.map((fault) => `not so: ${fault}`));
  return {
    name,
    title,
    seconds,
    witness,
    rssMib,
    maxRssMib,
    told: Object.fromEntries(told),
    held: faults.length === 0,
    faults,
  };
}

/** The outcomes as a Markdown table. */
export function tableOf(outcomes: readonly Outcome[]): string {
  const head = ['attack', 'p50', 'p99', 'raw p99', 'worst', 'lost', 'memory', 'answers to the attacker', 'verdict'];
  const rows = outcomes.map(({ title, witness, rssMib, maxRssMib, told, held, faults }) => [
    title,
    ms(witness.p50),
    ms(witness.p99),
    ms(witness.rawP99),
    ms(witness.worst),
    `${witness.lost} of ${witness.sent}`,
    `${Math.round(rssMib)} of ${maxRssMib} MiB`,
    Object.entries(told)
      .map(([what, times]) => `${times.toLocaleString('en')} × ${what}`)
      .join(', '),
    held ? 'held' : `failed: ${faults.join('; ')}`,
  ]);
  return [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

const MARKS = /^<!-- abuse -->\n[\s\S]*?^<!-- \/abuse -->$/m;

/** The page with the table between its markers. Throws if it has none. */
export function intoPage(page: string, table: string): string {
  if (!MARKS.test(page)) throw new Error('The page has no lines <!-- abuse --> and <!-- /abuse --> to write between.');
  return page.replace(MARKS, () => `<!-- abuse -->\n\n${table}\n\n<!-- /abuse -->`);
}

function ms(value: number): string {
  return Number.isNaN(value) ? 'none' : `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;
}
