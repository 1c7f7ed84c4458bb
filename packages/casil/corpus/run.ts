/**
 * Prints how well CASIL tells secrets from harmless texts, kind by kind: `npm run casil:corpus [-- --seed N] [--verbose]`.
 * Exits with 1 when recall or precision falls below the promise.
 */
import { type KindResult, measureCorpus, sum } from './measure.ts';

/** What the manual promises. */
const PROMISE = { recall: 0.995, precision: 0.98 };

const seedAt = process.argv.indexOf('--seed');
const seed = seedAt < 0 ? 1 : Number(process.argv[seedAt + 1]);
const verbose = process.argv.includes('--verbose');

function percent(part: number, whole: number): string {
  return `${((100 * part) / whole).toFixed(1)} %`.padStart(9);
}

function table(
  title: string,
  column: string,
  results: readonly KindResult[],
  good: (result: KindResult) => number,
): void {
  console.log(`\n${title.padEnd(44)}${'samples'.padStart(9)}${'found'.padStart(9)}${column.padStart(11)}`);
  for (const result of results) {
    const { kind, samples, found, example } = result;
    console.log(
      `${kind.padEnd(44)}${String(samples).padStart(9)}${String(found).padStart(9)}  ${percent(good(result), samples)}`,
    );
    if (verbose && example !== undefined) console.log(`    ${example}`);
  }
  const samples = sum(results, 'samples');
  const total = results.reduce((count, result) => count + good(result), 0);
  console.log(
    `${'total'.padEnd(44)}${String(samples).padStart(9)}${String(sum(results, 'found')).padStart(9)}  ${percent(total, samples)}`,
  );
}

const { secrets, harmless, blindSpots, recall, precision } = measureCorpus(seed);
table('secrets', 'recall', secrets, ({ found }) => found);
table('harmless', 'left alone', harmless, ({ samples, found }) => samples - found);
table('known blind spots (not counted)', 'recall', blindSpots, ({ found }) => found);
console.log(
  `\nseed ${seed}   recall ${recall.toFixed(4)}   precision ${precision.toFixed(4)}   ` +
    `promised ${PROMISE.recall} and ${PROMISE.precision}`,
);
process.exitCode = recall >= PROMISE.recall && precision >= PROMISE.precision ? 0 : 1;
