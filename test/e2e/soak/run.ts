import { parseArgs } from 'node:util';
import { hasPostgres } from '../../fixtures/private-postgres.ts';
import { hasRedis } from '../../fixtures/private-redis.ts';
import { ENGINES, type Engine, type Mode } from '../faults/arena.ts';
import { groupStorm } from '../faults/group-storm.ts';
import { storm } from '../faults/storm.ts';

const USAGE = `Usage: npm run soak -- [options]

  --minutes N      how long (default 5)
  --scenario NAME  events or groups (default events)
  --engine NAME    sqlite, local or local-memory (workers on SQLite, on memory), redis
                   or postgres (default redis)
  --mode MODE      degraded or strict (default: by turns, groups strict)
  --seed S         the first storm's seed; each storm adds one (default: made up)
`;
/** Storm duration: long enough for everything to break several times, short enough to check all of it. */
const STORM_SECONDS = 45;

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '5' },
    scenario: { type: 'string', default: 'events' },
    engine: { type: 'string', default: 'redis' },
    mode: { type: 'string' },
    seed: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});

function fail(sentence: string): never {
  console.error(`${sentence}\n\n${USAGE}`);
  process.exit(2);
}

function choose<T extends string>(name: string, value: string, known: readonly T[]): T {
  return known.find((one) => one === value) ?? fail(`--${name} is one of ${known.join(', ')}, not "${value}".`);
}

if (values.help) {
  console.log(USAGE);
  process.exit(0);
}
const minutes = Number(values.minutes);
if (!(minutes > 0)) fail(`--minutes is a number above 0, not "${values.minutes}".`);
const engine: Engine = choose('engine', values.engine, ENGINES);
const scenario = choose('scenario', values.scenario, ['events', 'groups']);
// Live-only messages, sent while the storage is unavailable, are not group events.
const usual: readonly Mode[] = scenario === 'groups' ? ['strict'] : ['degraded', 'strict'];
const modes: readonly Mode[] =
  values.mode === undefined ? usual : [choose('mode', values.mode, ['degraded', 'strict'])];
if (values.seed !== undefined && !/^\d{1,9}$/.test(values.seed))
  fail(`--seed is a whole number, not "${values.seed}".`);
const firstSeed = values.seed === undefined ? Math.floor(Math.random() * 1_000_000) : Number(values.seed);
if (engine === 'redis' && !hasRedis()) process.exit(1);
if (engine === 'postgres' && !hasPostgres()) process.exit(1);

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(130));

const totals = new Map<string, number>();
const deadline = performance.now() + minutes * 60_000;
for (let round = 0; performance.now() < deadline; round += 1) {
  const seed = firstSeed + round;
  const mode = modes[round % modes.length] as Mode;
  const seconds = Math.min(STORM_SECONDS, Math.max(5, (deadline - performance.now()) / 1000));
  const weather = { engine, mode, seconds, seed };
  const { faults, ...counts } = await (scenario === 'groups' ? groupStorm(weather) : storm(weather));
  console.log(`storm ${round + 1}: ${engine}, ${mode}, seed ${seed}: ${tell(Object.entries(counts))}`);
  for (const [name, count] of Object.entries(counts)) totals.set(name, (totals.get(name) ?? 0) + count);
  if (faults.length === 0) continue;
  console.error(
    `NOT SURVIVED (run it again with --scenario ${scenario} --engine ${engine} --mode ${mode} --seed ${seed}):`,
  );
  for (const fault of faults) console.error(`  ${fault}`);
  process.exit(1);
}
console.log(`survived: ${tell([...totals])}`);

function tell(counts: readonly (readonly [string, number])[]): string {
  return counts
    .map(([name, count]) => `${count} ${name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`)}`)
    .join(', ');
}
