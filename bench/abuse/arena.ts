import { type ChildProcess, fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { freePort } from '../../test/fixtures/free-port.ts';
import { discardScratch, makeScratch } from '../scratch.ts';
import { residentMib } from './machine.ts';
import type { WitnessFigures, WitnessJob } from './witness.ts';

const BIN = fileURLToPath(new URL('../../packages/server/bin/arqon.js', import.meta.url));
const WITNESS = fileURLToPath(new URL('./witness.ts', import.meta.url));
const START_MS = 15_000;
const STOP_MS = 5_000;

export interface ServeOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly nodeFlags?: readonly string[];
  /** Stores streams and keys in a separate SQLite file. */
  readonly sqlite?: boolean;
}

const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

function track(child: ChildProcess): ChildProcess {
  running.add(child);
  child.once('exit', () => running.delete(child));
  return child;
}

/** A separate bus for one attack: a child process on free ports of 127.0.0.1. */
export class BusProcess {
  readonly port: number;
  readonly httpPort: number;
  private readonly child: ChildProcess;
  private readonly directory: string;
  private printed = '';
  private peak = 0;

  private constructor(ports: readonly [number, number, number], { env = {}, nodeFlags = [], sqlite }: ServeOptions) {
    const [bus, telemetry, http] = ports;
    this.port = bus;
    this.httpPort = http;
    this.directory = makeScratch();
    const inherited = Object.entries(process.env).filter(([name]) => !/^(ARQON|NODE_OPTIONS)/.test(name));
    const storage = { ARQONBUS_STORAGE_BACKEND: 'sqlite', ARQONBUS_SQLITE_PATH: join(this.directory, 'bus.db') };
    this.child = track(
      spawn(process.execPath, [...nodeFlags, BIN, 'serve'], {
        cwd: this.directory,
        stdio: ['ignore', 'pipe', 'pipe'],
        env: {
          ...Object.fromEntries(inherited),
          ARQONBUS_SERVER_PORT: `${bus}`,
          ARQONBUS_TELEMETRY_PORT: `${telemetry}`,
          ARQONBUS_HTTP_PORT: `${http}`,
          ...(sqlite === true ? storage : {}),
          ...env,
        },
      }),
    );
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream?.on('data', (chunk) => {
        this.printed = (this.printed + String(chunk)).slice(-4_000);
      });
    }
  }

  static async start(options: ServeOptions): Promise<BusProcess> {
    const bus = new BusProcess([await freePort(), await freePort(), await freePort()], options);
    const deadline = performance.now() + START_MS;
    while (!(await bus.isReady())) {
      if (bus.end !== null) throw new Error(`the bus ended with ${bus.end}: ${bus.printed}`);
      if (performance.now() > deadline) throw new Error(`the bus is not ready after ${START_MS} ms: ${bus.printed}`);
      await pause(25);
    }
    return bus;
  }

  get pid(): number {
    return this.child.pid as number;
  }

  /** How the process ended; null while it is running. */
  get end(): string | null {
    const { exitCode, signalCode } = this.child;
    return exitCode === null && signalCode === null ? null : `${signalCode ?? `code ${exitCode}`}`;
  }

  /** Peak resident memory so far, in MiB. */
  rss(): number {
    if (this.end === null) this.peak = Math.max(this.peak, residentMib(this.pid));
    return this.peak;
  }

  /** The sum of a metric over all its labels; 0 if it has none. */
  async metric(name: string): Promise<number> {
    const text = await (await fetch(`http://127.0.0.1:${this.httpPort}/metrics`)).text();
    const values = [...text.matchAll(new RegExp(`^${name}(?:\\{[^}]*\\})? ([0-9.e+]+)$`, 'gm'))];
    return values.reduce((sum, [, value]) => sum + Number(value), 0);
  }

  async stop(): Promise<void> {
    if (this.end === null) {
      const exit = once(this.child, 'exit');
      this.child.kill('SIGTERM');
      const timer = setTimeout(() => this.child.kill('SIGKILL'), STOP_MS);
      await exit;
      clearTimeout(timer);
    }
    discardScratch(this.directory);
  }

  private async isReady(): Promise<boolean> {
    try {
      return (await fetch(`http://127.0.0.1:${this.httpPort}/ready`)).ok;
    } catch {
      return false;
    }
  }
}

/** Starts the working client and resolves once it publishes; the result stops it and returns what it measured. */
export async function startWitness(job: WitnessJob): Promise<() => Promise<WitnessFigures>> {
  const child = track(
    fork(WITNESS, [], {
      execArgv: ['--import', 'tsx'],
      env: { ...process.env, ARQON_ABUSE_WITNESS: JSON.stringify(job) },
    }),
  );
  const gone = once(child, 'exit').then(() => {
    throw new Error('the working client ended by itself');
  });
  await Promise.race([once(child, 'message'), gone]);
  return async () => {
    const told = once(child, 'message');
    child.send('stop');
    const [figures] = (await Promise.race([told, gone])) as [WitnessFigures];
    gone.catch(() => {});
    return figures;
  };
}

/** A bare TCP connection that never closes by itself. */
export async function openLine(port: number): Promise<Socket> {
  const socket = connect({ host: '127.0.0.1', port, allowHalfOpen: true });
  socket.on('error', () => socket.destroy());
  await Promise.race([once(socket, 'connect'), once(socket, 'close')]);
  return socket;
}
