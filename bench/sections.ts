import { capacityTable } from './capacity.ts';
import type { Options } from './options.ts';
import { isDisturbed } from './quiet.ts';
import { writeSection } from './report.ts';
import type { Scenario } from './scenarios.ts';
import { type Run, scenarioTable, titleOf } from './tables.ts';

/** The section of the page for each kind of scenario. */
const SECTION_OF: Readonly<Record<Scenario['kind'], string>> = {
  closed: 'fan-out',
  chat: 'chat',
  sse: 'sse',
  paced: 'latency',
  churn: 'churn',
  resume: 'resume',
  idle: 'idle',
  channels: 'channels',
  receive: 'generator',
};

/** Writes a section for every kind of scenario in this run, and that of the machine. */
export function writeSections(page: string, options: Options, runs: readonly Run[], machine: string): void {
  if (runs.length === 0) return;
  const day = new Date().toISOString().slice(0, 10);
  const scale = options.scale === 1 ? '' : `, with ${options.scale} of the connections`;
  const how = `${day}, median of ${options.rounds} × ${options.seconds} s per server${scale}, each server on one core with one thread`;
  writeSection('machine', `Machine: ${machine}.`, page);
  for (const kind of Object.keys(SECTION_OF) as Scenario['kind'][]) {
    const scenarios = scenariosRun(runs).filter((scenario) => scenario.kind === kind);
    if (scenarios.length === 0) continue;
    const parts = scenarios.map((scenario) => `### ${titleOf(scenario)}\n\n${scenarioTable(scenario, runs)}`);
    writeSection(SECTION_OF[kind], [...parts, `Measured ${how}.${disturbance(kind, runs)}`].join('\n\n'), page);
  }
  const capacity = capacityTable(runs);
  if (capacity !== undefined) writeSection('capacity', `${capacity}\n\nComputed ${how}.`, page);
}

/** The scenarios with at least one run, in the order they were run. */
export function scenariosRun(runs: readonly Run[]): Scenario[] {
  return [...new Set(runs.map((run) => run.scenario))];
}

/** A note about disturbed runs; empty if there were none. */
function disturbance(kind: Scenario['kind'], runs: readonly Run[]): string {
  const own = runs.filter((run) => run.scenario.kind === kind && run.figures !== undefined);
  const disturbed = own.filter((run) => isDisturbed(run.figures!)).length;
  if (disturbed === 0) return '';
  return ` Other work on the machine disturbed ${disturbed} of ${own.length} runs: trust CPU time more than rates.`;
}
