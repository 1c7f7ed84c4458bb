import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { Launch } from './peers/peer.ts';
import { discardScratch, makeScratch, removeScratch } from './scratch.ts';

const START_MS = 15_000;
const STOP_MS = 5000;

/** All running child processes, so that they end with this process. */
const running = new Set<ChildProcess>();

function killAll(): void {
  for (const child of running) child.kill('SIGKILL');
}

/**
 * Kills all children and removes all files when this process ends, including by a signal. Called once by the program.
 */
export function tieEverythingToThisProcess(): void {
  process.on('exit', () => {
    killAll();
    removeScratch();
  });
  for (const [signal, code] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ] as const) {
    process.on(signal, () => process.exit(code));
  }
}

export interface Pinning {
  /** The only CPU that the process may use; undefined: any. */
  readonly cpu: number | undefined;
}

/**
 * Starts a program with the maximum number of open files, on its own CPU. Uses `exec` throughout, so the child's pid is
 * that of the program.
 */
function start(launch: Launch, pinning: Pinning, stdout: 'pipe' | number, stderr: number): ChildProcess {
  const words = [launch.command, ...launch.args];
  const pinned = pinning.cpu === undefined ? words : ['taskset', '-c', String(pinning.cpu), ...words];
  const child = spawn('/bin/sh', ['-c', 'ulimit -n "$(ulimit -Hn)"; exec "$@"', 'sh', ...pinned], {
    stdio: ['ignore', stdout, stderr],
    env: { ...process.env, ...launch.env },
  });
  running.add(child);
  child.once('exit', () => running.delete(child));
  return child;
}

function ended(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}

async function stop(child: ChildProcess): Promise<void> {
  if (ended(child)) return;
  const exit = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
  await exit;
  clearTimeout(timer);
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

/**
 * Runs a server while `use` runs, which gets its pid once the port accepts connections. If the server does not start or
 * `use` fails, the error includes the server's output.
 */
export async function withServer<T>(
  launch: Launch,
  port: number,
  pinning: Pinning,
  use: (pid: number) => Promise<T>,
): Promise<T> {
  const directory = makeScratch();
  const logFile = join(directory, 'log');
  const log = openSync(logFile, 'a');
  const child = start(launch, pinning, log, log);
  try {
    const deadline = Date.now() + START_MS;
    while (!(await accepts(port))) {
      if (ended(child)) throw new Error(`the server ended with code ${child.exitCode ?? child.signalCode}`);
      if (Date.now() > deadline) throw new Error(`the server does not accept connections on port ${port}`);
      await pause(20);
    }
    return await use(child.pid!);
  } catch (error) {
    const printed = readFileSync(logFile, 'utf8').slice(-1000).trim();
    throw new Error(`${(error as Error).message}${printed === '' ? '' : `\nThe server printed: ${printed}`}`);
  } finally {
    await stop(child);
    closeSync(log);
    discardScratch(directory);
  }
}

/** Runs a program to its end and returns its standard output. Its standard error is inherited. */
export async function outputOf(launch: Launch, pinning: Pinning): Promise<string> {
  const child = start(launch, pinning, 'pipe', 2);
  let output = '';
  child.stdout!.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  await new Promise<void>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', () => resolve());
  });
  return output;
}
