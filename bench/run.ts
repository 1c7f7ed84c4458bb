/**
 * `npm run bench`: compares ArqonBus with other servers. See docs/benchmarks.md for what is measured and how to read
 * it.
 */
import { writeFileSync } from 'node:fs';
import { chooseCores, describeMachine, fileLimit } from './machine.ts';
import { measure } from './measure.ts';
import { type Options, readOptions, USAGE } from './options.ts';
import type { Peer } from './peers/peer.ts';
import { tieEverythingToThisProcess } from './processes.ts';
import { isDisturbed, leastDisturbed } from './quiet.ts';
import { connectionsOf, type Scenario, timesOf } from './scenarios.ts';
import { scenariosRun, writeSections } from './sections.ts';
import { runSuite } from './suites.ts';
import { type Run, scenarioTable, titleOf } from './tables.ts';

/** Files that a server or the generator opens besides its connections. */
const SPARE_FILES = 200;
function say(line: string): void {
  process.stderr.write(`${line}\n`);
}

/** The peers that can run here; the others are reported with the reason. */
function availablePeers(peers: readonly Peer[]): Peer[] {
  return peers.filter((peer) => {
    const reason = peer.unavailable();
    if (reason !== undefined) say(`without ${peer.name}: ${reason}`);
    return reason === undefined;
  });
}

function feasibleScenarios(scenarios: readonly Scenario[]): Scenario[] {
  const limit = fileLimit();
  return scenarios.filter((scenario) => {
    const needed = connectionsOf(scenario) + SPARE_FILES;
    if (needed > limit)
      say(`without ${scenario.name}: it needs ${needed} open files, the limit is ${limit} (ulimit -Hn)`);
    return needed <= limit;
  });
}

/** Only the raw server sends without publishes; some peers run only some kinds of scenario. */
function takesPart({ name, only }: Peer, { kind }: Scenario): boolean {
  return kind === 'receive' ? name === 'raw' : (only?.includes(kind) ?? true);
}

/**
 * Runs every scenario with all its peers in turn, round after round, so that drift of the machine affects all alike.
 */
async function runAll(options: Options, cores: ReturnType<typeof chooseCores>): Promise<Run[]> {
  const peers = availablePeers(options.peers);
  const runs: Run[] = [];
  for (const scenario of feasibleScenarios(options.scenarios)) {
    for (let round = 1; round <= options.rounds; round++) {
      for (const peer of peers.filter((candidate) => takesPart(candidate, scenario))) {
        const lacks = peer.lacks?.[scenario.kind];
        if (lacks !== undefined) {
          runs.push({ scenario, peer, round, lacks });
          continue;
        }
        const nodeFlags = options.profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${options.profile}`];
        const times = timesOf(scenario, options.seconds, options.scale < 1);
        try {
          const figures = await leastDisturbed(options.attempts, () =>
            measure({ peer, scenario, ...times, cores, nodeFlags }),
          );
          runs.push({ scenario, peer, round, figures });
          const { deliveriesPerSecond, connectionsPerSecond, channelsPerSecond } = figures;
          const figure = deliveriesPerSecond ?? connectionsPerSecond ?? channelsPerSecond ?? 0;
          say(
            `${scenario.name} round ${round} ${peer.name}: ${Math.round(figure).toLocaleString('en-US')}/s${isDisturbed(figures) ? ' (disturbed)' : ''}`,
          );
        } catch (error) {
          const fault = (error as Error).message;
          runs.push({ scenario, peer, round, fault });
          say(`${scenario.name} round ${round} ${peer.name} failed: ${fault}`);
        }
      }
    }
  }
  return runs;
}

function report(options: Options, runs: readonly Run[], machine: string): void {
  for (const scenario of scenariosRun(runs)) {
    process.stdout.write(`\n${titleOf(scenario)}\n\n${scenarioTable(scenario, runs)}\n`);
  }
  if (options.json !== undefined) {
    const plain = runs.map((run) => ({ ...run, scenario: run.scenario.name, peer: run.peer.name }));
    const document = { machine, date: new Date().toISOString(), seconds: options.seconds, runs: plain };
    writeFileSync(options.json, `${JSON.stringify(document, null, 2)}\n`);
  }
  if (options.write !== undefined) writeSections(options.write, options, runs, machine);
}

async function main(): Promise<void> {
  const options = readOptions(process.argv.slice(2));
  if (options.help) {
    process.stdout.write(USAGE);
    return;
  }
  tieEverythingToThisProcess();
  const cores = chooseCores();
  const machine = describeMachine(cores);
  say(machine);
  const runs = await runAll(options, cores);
  report(options, runs, machine);
  let failed = runs.some((run) => run.fault !== undefined) || (runs.length === 0 && options.scenarios.length > 0);
  for (const suite of options.suites) {
    say(`${suite.name}: bench/${suite.script}`);
    if (!(await runSuite(suite, options))) failed = true;
  }
  if (failed) process.exitCode = 1;
}

main().catch((error: Error) => {
  say(error.message);
  process.exitCode = 1;
});
