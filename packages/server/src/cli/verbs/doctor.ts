import { Command } from 'commander';
import type { Finding, Outcome } from '../doctor/finding.ts';
import { EXIT } from '../exit.ts';
import { type HttpOptions, isNamed, withHttpOptions } from '../remote/options.ts';
import { type Flags, loadSettings, withSettings } from '../settings.ts';
import { printResult } from '../terminal/output.ts';
import { lines, paint, type Style, type StyledText, text } from '../terminal/styled-text.ts';
import { withExamples } from '../verb.ts';

const STYLES: Readonly<Record<Outcome, Style>> = { ok: 'green', warn: 'yellow', fail: 'red' };

/** `arqon doctor`: checks the requirements of a bus. */
export function doctorVerb(): Command {
  const verb = new Command('doctor').description(
    'Check the requirements of a bus on this machine: Node.js, configuration, ports, storage, open files. With --ws-url, ' +
      '--http-url or their variables, check that bus instead of ports, storage and files. Each finding includes its ' +
      'remedy. Exit code 1 if a check fails. Takes the flags of "arqon serve".',
  );
  withExamples(
    withSettings(withHttpOptions(verb), { hidden: true }),
    'arqon doctor',
    'arqon doctor --ws-url wss://bus.example --ca authority.pem',
    `arqon doctor --config prod.yaml --json | jq '.findings[] | select(.outcome != "ok")'`,
  );
  return verb.action(async (options: HttpOptions & Flags) => {
    const findings = await examine(options);
    await printResult(options.json, { findings }, () => lines(findings.map(line)));
    if (findings.some(({ outcome }) => outcome === 'fail')) process.exitCode = EXIT.failure;
  });
}

async function examine(options: HttpOptions & Flags): Promise<Finding[]> {
  const { failed, ok, warn } = await import('../doctor/finding.ts');
  const { checkFiles, checkNode } = await import('../doctor/machine.ts');
  const loaded = await loadSettings(options);
  const remedy = 'Correct it; "arqon config docs" describes every setting.';
  const warnings = loaded.warnings.map((message) => warn('configuration', message, remedy));
  const faults = loaded.ok
    ? [ok('configuration', 'It is valid.')]
    : loaded.faults.map((fault) => failed('configuration', fault, remedy));
  const here = [checkNode(), ...faults, ...warnings];
  if (isNamed(options)) {
    const { checkBus } = await import('../doctor/bus.ts');
    return [...here, ...(await checkBus(options))];
  }
  if (!loaded.ok) return here;
  const { config } = loaded;
  const { checkPorts } = await import('../doctor/ports.ts');
  const { checkStorage } = await import('../doctor/storage.ts');
  const ports = await checkPorts(config);
  const busRuns = ports.some(({ check }) => check === 'version');
  return [...here, ...ports, await checkStorage(config, busRuns), checkFiles(config.server.maxConnections)];
}

function line({ outcome, check, message, remedy }: Finding): StyledText {
  const advice = outcome === 'ok' || remedy === undefined ? '' : text`\n      ${paint('dim', remedy)}`;
  return text`${paint(STYLES[outcome], outcome.padEnd(4))}  ${check}: ${message}${advice}`;
}
