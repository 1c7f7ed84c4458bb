/**
 * Programs that tests and benchmarks run beside ours, built from the Go module proxy, each at one version:
 *
 *     npm run tools -- helm nats-server centrifugo
 *
 * They are kept in `$XDG_CACHE_HOME/arqonbus/tools` (`~/.cache/…`), outside the checkout, so each is built once per
 * machine. Without Go a program is skipped with a prominent warning; that is not an error.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import { pathToFileURL } from 'node:url';

interface GoTool {
  readonly module: string;
  readonly version: string;
  /** The folder of its `main` in the module, with a leading slash; '' for the module root. */
  readonly command: string;
}

export type ToolName = 'helm' | 'nats-server' | 'centrifugo';

const TOOLS: Readonly<Record<ToolName, GoTool>> = {
  helm: { module: 'helm.sh/helm/v3', version: 'v3.22.0', command: '/cmd/helm' },
  'nats-server': { module: 'github.com/nats-io/nats-server/v2', version: 'v2.15.3', command: '' },
  centrifugo: { module: 'github.com/centrifugal/centrifugo/v6', version: 'v6.9.1', command: '' },
};

/** The version to build, as named by its module. */
export function versionOf(name: ToolName): string {
  return TOOLS[name].version;
}

function cachePath(name: ToolName): string {
  const caches = process.env.XDG_CACHE_HOME || join(homedir(), '.cache');
  return join(caches, 'arqonbus', 'tools', `${name}-${versionOf(name)}`);
}

/** The path of a program built earlier, else of an installed one, else undefined. Builds nothing. */
export function findTool(name: ToolName): string | undefined {
  const folders = (process.env.PATH ?? '').split(delimiter).filter((folder) => folder !== '');
  return [cachePath(name), ...folders.map((folder) => join(folder, name))].find(existsSync);
}

/** Whether the program that {@link findTool} finds was built here at our version: not every program reports its own. */
export function isBuilt(name: ToolName): boolean {
  return existsSync(cachePath(name));
}

/** Builds a program unless it was built before. Throws the output of `go` on failure. */
function build(name: ToolName): void {
  const { module, version, command } = TOOLS[name];
  const target = cachePath(name);
  if (existsSync(target)) return;
  // A separate folder per process, so that concurrent builds do not interfere.
  const folder = `${target}.${process.pid}`;
  mkdirSync(folder, { recursive: true });
  try {
    // Lowest priority: it must not slow down concurrent measurements or tests.
    const words = ['-n', '19', 'go', 'install', '-trimpath', '-ldflags=-s -w', `${module}${command}@${version}`];
    execFileSync('nice', words, {
      cwd: folder,
      env: { ...process.env, GOBIN: folder, CGO_ENABLED: '0' },
      stdio: 'pipe',
    });
    renameSync(join(folder, name), target);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function main(names: readonly string[]): void {
  const unknown = names.filter((name) => !(name in TOOLS));
  if (names.length === 0 || unknown.length > 0) {
    const fault = unknown.length > 0 ? `There is no tool ${unknown.join(', ')}` : 'Name the tools to build';
    throw new Error(`${fault}; known: ${Object.keys(TOOLS).join(', ')}.`);
  }
  const hasGo = spawnSync('go', ['version']).status === 0;
  for (const name of names as readonly ToolName[]) {
    if (!hasGo && findTool(name) === undefined) {
      console.warn(`*** There is no Go to build ${name} with: whatever needs it is LEFT OUT. ***`);
      continue;
    }
    if (hasGo) build(name);
    console.log(`${name}: ${findTool(name)}`);
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  try {
    main(process.argv.slice(2));
  } catch (error) {
    const said = String((error as { stderr?: Buffer }).stderr ?? '').trim();
    console.error(said === '' ? (error as Error).message : said);
    process.exitCode = 1;
  }
}
