import { Command } from 'commander';
import type { Finding, Outcome } from '../doctor/finding.ts';
import { EXIT } from '../exit.ts';
import { type Flags, loadSettings, withSettings } from '../settings.ts';
import type { Paint, Style } from '../terminal/colours.ts';
import { printResult } from '../terminal/output.ts';
import { withExamples } from '../verb.ts';

const STYLES: Readonly<Record<Outcome, Style>> = { ok: 'green', warn: 'yellow', fail: 'red' };

/** `arqon doctor`: what stands in the way of a bus on this machine. */
export function doctorVerb(): Command {
  const verb = new Command('doctor').description(
    'Check what a bus needs here: Node.js, configuration, ports, storage, open files; of one that runs also version and ' +
      'clock. Each finding comes with its remedy. Exit code 1 when one has failed. Takes the flags of "arqon serve".',
  );
  verb.option('--json', 'print JSON and nothing else');
  withExamples(
    withSettings(verb, { hidden: true }),
    'arqon doctor',
    `arqon doctor --config prod.yaml --json | jq '.findings[] | select(.outcome != "ok")'`,
  );
  return verb.action(async (flags: Flags) => {
    const findings = await examine(flags);
    await printResult(flags.json === true, { findings }, (_, paint) =>
      findings.map((finding) => line(finding, paint)).join('\n'),
    );
    if (findings.some(({ outcome }) => outcome === 'fail')) process.exitCode = EXIT.failure;
  });
}

async function examine(flags: Flags): Promise<Finding[]> {
  const { failed, ok, warn } = await import('../doctor/finding.ts');
  const { checkFiles, checkNode } = await import('../doctor/machine.ts');
  const loaded = await loadSettings(flags);
  const remedy = 'Correct it; "arqon config docs" describes every setting.';
  const warnings = loaded.warnings.map((message) => warn('configuration', message, remedy));
  if (!loaded.ok) {
    return [checkNode(), ...loaded.faults.map((fault) => failed('configuration', fault, remedy)), ...warnings];
  }
  const { config } = loaded;
  const { checkPorts } = await import('../doctor/ports.ts');
  const { checkStorage } = await import('../doctor/storage.ts');
  const ports = await checkPorts(config);
  const busRuns = ports.some(({ check }) => check === 'version');
  return [
    checkNode(),
    ok('configuration', 'It is valid.'),
    ...warnings,
    ...ports,
    await checkStorage(config, busRuns),
    checkFiles(config.server.maxConnections),
  ];
}

function line({ outcome, check, message, remedy }: Finding, paint: Paint): string {
  const advice = outcome === 'ok' || remedy === undefined ? '' : `\n      ${paint('dim', remedy)}`;
  return `${paint(STYLES[outcome], outcome.padEnd(4))}  ${check}: ${message}${advice}`;
}
