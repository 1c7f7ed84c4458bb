import { readFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { BusProcess, startWitness } from './arena.ts';
import type { Attack, Field } from './attack.ts';
import { Client, type Told } from './client.ts';
import { EDGE_ATTACKS } from './edge-attacks.ts';
import { intoPage, type Outcome, outcomeOf, tableOf } from './report.ts';
import { TRAFFIC_ATTACKS } from './traffic-attacks.ts';

const ATTACKS: readonly Attack[] = [...TRAFFIC_ATTACKS, ...EDGE_ATTACKS];
/** Duration of one attack, in milliseconds. */
const ATTACK_MS = 25_000;
/** Including start, preparation and end. */
const ALL_MS = 55_000;
const RSS_EVERY_MS = 250;

const USAGE = `Usage: npm run abuse -- [options]

Attacks a bus of its own beside a working client, one way after the other, and tells what the client felt.
Exit code 1 when the bus did not hold.

  --only LIST        of ${ATTACKS.map(({ name }) => name).join(', ')}
  --json             print the outcomes as JSON
  --write PAGE       write the table between <!-- abuse --> and <!-- /abuse --> of the page, as docs/security.md
  --help
`;

/** Runs one attack on a new bus. Rejects if it could not be carried out. */
async function carryOut(attack: Attack): Promise<Outcome> {
  const stage = await attack.stage();
  const bus = await BusProcess.start(stage.serve);
  const clients: Client[] = [];
  const told: Told = new Map();
  let endsAt = Number.POSITIVE_INFINITY;
  const field: Field = {
    bus,
    told,
    open: async (options = {}) => {
      const client = await Client.open(bus.port, options, told);
      clients.push(client);
      return client;
    },
    isOver: () => bus.end !== null || performance.now() > endsAt,
  };
  const sampling = setInterval(() => bus.rss(), RSS_EVERY_MS);
  try {
    await stage.prepare?.(field);
    const passing = stage.serve.sqlite === true ? 'storage' : 'main';
    const finish = await startWitness({ port: bus.port, pid: bus.pid, token: stage.witness, passing });
    const began = performance.now();
    endsAt = began + ATTACK_MS;
    const overdue = setTimeout(() => {
      for (const client of clients) client.end();
    }, ATTACK_MS + 1_000);
    const faults = await stage.run(field);
    clearTimeout(overdue);
    const seconds = (performance.now() - began) / 1000;
    const witness = await finish();
    return outcomeOf(attack, { seconds, witness, rssMib: bus.rss(), end: bus.end, told, faults });
  } finally {
    clearInterval(sampling);
    for (const client of clients) client.end();
    await bus.stop();
    stage.close?.();
  }
}

/** Enforces the time limit of an attack, even if something hangs. */
async function inTime(attack: Attack): Promise<Outcome> {
  let timer: NodeJS.Timeout | undefined;
  const overdue = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`${attack.name} is not over after ${ALL_MS / 1000} s`)), ALL_MS);
  });
  try {
    return await Promise.race([carryOut(attack), overdue]);
  } finally {
    clearTimeout(timer);
  }
}

function chosen(only: string | undefined): readonly Attack[] {
  if (only === undefined) return ATTACKS;
  return only.split(',').map((name) => {
    const attack = ATTACKS.find((one) => one.name === name);
    if (attack === undefined) throw new Error(`There is no attack "${name}"; --help lists them.`);
    return attack;
  });
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      only: { type: 'string' },
      json: { type: 'boolean', default: false },
      write: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(USAGE);
    return;
  }
  const outcomes: Outcome[] = [];
  for (const attack of chosen(values.only)) {
    const outcome = await inTime(attack);
    outcomes.push(outcome);
    process.stderr.write(`${outcome.held ? 'held  ' : 'FAILED'} ${attack.name} ${outcome.faults.join('; ')}\n`);
  }
  process.stdout.write(values.json ? `${JSON.stringify(outcomes, null, 2)}\n` : `\n${tableOf(outcomes)}\n`);
  if (values.write !== undefined) {
    writeFileSync(values.write, intoPage(readFileSync(values.write, 'utf8'), tableOf(outcomes)));
  }
  process.exitCode = outcomes.every(({ held }) => held) ? 0 : 1;
}

for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const) {
  process.on(signal, () => process.exit(code));
}
try {
  await main();
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
}
