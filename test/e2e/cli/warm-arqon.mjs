// Runs the command line again and again in one process, in which its modules are loaded already. Between two runs
// everything is put back that a run may change; a process that cannot be put back ends, and another takes its place.
import { createRequire } from 'node:module';
import { PassThrough } from 'node:stream';
import { setImmediate } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';

const [, , program, mark] = process.argv;
const main = new URL('../dist/cli/main.js', pathToFileURL(program));
const { isStopping } = await import(new URL('stop.js', main).href);
const { Command } = await import(pathToFileURL(createRequire(main).resolve('commander')).href);

let ended = Promise.resolve();
const parseAsync = Command.prototype.parseAsync;
Command.prototype.parseAsync = function (...args) {
  const parsing = parseAsync.apply(this, args);
  ended = parsing.then(
    () => {},
    () => {},
  );
  return parsing;
};

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'];
const own = { ...console };
let runs = 0;
let idle = [];

/** What would keep a process of its own from ending, beside what this one always has. */
function lingering() {
  const left = process.getActiveResourcesInfo();
  for (const known of idle) {
    const at = left.indexOf(known);
    if (at >= 0) left.splice(at, 1);
  }
  return left.filter((kind) => kind !== 'Immediate' && kind !== 'CloseReq');
}

/** Resolves when a process of its own would end: nothing is left that it could wait for. */
async function drained() {
  await ended;
  for (let quiet = 0; quiet < 3; ) {
    await setImmediate();
    quiet = lingering().length === 0 ? quiet + 1 : 0;
    if (quiet === 0) await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** Has both streams look like those of a terminal, or no longer; null columns are those of no terminal. */
function asTerminal(columns) {
  for (const stream of [process.stdout, process.stderr]) {
    if (columns === null) {
      delete stream.isTTY;
      delete stream.columns;
    } else Object.assign(stream, { isTTY: true, columns });
  }
}

async function run({ args, env, cwd, columns = null }) {
  asTerminal(columns);
  for (const name of Object.keys(process.env)) delete process.env[name];
  Object.assign(process.env, env);
  process.chdir(cwd);
  process.argv = [process.execPath, program, ...args];
  process.exitCode = undefined;
  const input = new PassThrough();
  input.end();
  Object.defineProperty(process, 'stdin', { value: input, configurable: true });
  runs += 1;
  // The file is short; what it imports is loaded once.
  await import(`${main.href}?run=${runs}`);
  await drained();
  const code = process.exitCode ?? 0;
  process.exitCode = 0;
  for (const name of [...SIGNALS, 'uncaughtException', 'warning']) process.removeAllListeners(name);
  for (const stream of [process.stdout, process.stderr]) stream.removeAllListeners('error');
  Object.assign(console, own);
  asTerminal(null);
  process.chdir('/');
  for (const stream of [process.stdout, process.stderr]) stream.write(mark);
  const isSpent = isStopping();
  process.send({ code, isSpent });
  if (isSpent) process.disconnect();
}

/** Resolves once this process has all that it always has. */
async function ready() {
  process.chdir('/');
  // The streams count from their first use.
  process.stdout.write('');
  process.stderr.write('');
  for (let turn = 0; turn < 3; turn += 1) await setImmediate();
  idle = process.getActiveResourcesInfo();
}

process.on('disconnect', () => process.exit());
process.on('message', (task) => void begun.then(() => run(task)));
const begun = ready();
