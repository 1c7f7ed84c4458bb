import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { freePort } from '../../fixtures/free-port.ts';

const PROGRAM = fileURLToPath(new URL('../../../packages/server/bin/arqon.js', import.meta.url));

/** Running children: they end with this process, however it ends. */
const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** A real server, `arqon serve` in its own process, that can be killed and restarted on the same ports. */
export class BusProcess {
  readonly name: string;
  readonly url: string;
  readonly http: string;
  private readonly settings: Readonly<Record<string, string>>;
  private child: ChildProcess | null = null;
  private output = '';

  private constructor(name: string, ports: { bus: number; http: number }, settings: Readonly<Record<string, string>>) {
    this.name = name;
    this.url = `ws://127.0.0.1:${ports.bus}`;
    this.http = `http://127.0.0.1:${ports.http}`;
    this.settings = {
      ARQONBUS_NODE_ID: name,
      ARQONBUS_SERVER_PORT: `${ports.bus}`,
      ARQONBUS_HTTP_PORT: `${ports.http}`,
      ARQONBUS_TELEMETRY_PORT: 'off',
      ARQONBUS_LOG_LEVEL: 'error',
      ...settings,
    };
  }

  /** Starts one on free ports of 127.0.0.1, configured by `settings`; its name is its node id. */
  static async start(name: string, settings: Readonly<Record<string, string>>): Promise<BusProcess> {
    const server = new BusProcess(name, { bus: await freePort(), http: await freePort() }, settings);
    await server.start();
    return server;
  }

  /** Process id; 0 while it is not running. */
  get pid(): number {
    return this.child?.pid ?? 0;
  }

  /** Process ids of its workers; empty if it has none, or if the system does not provide them. */
  get workers(): number[] {
    const { pid } = this;
    try {
      const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
      return children === '' ? [] : children.split(' ').map(Number);
    } catch {
      return [];
    }
  }

  /** The end of its standard error output. */
  get printed(): string {
    return this.output;
  }

  /** Resolves when it accepts connections; rejects with its output when it exits instead. */
  async start(): Promise<void> {
    const child = spawn(process.execPath, [PROGRAM, 'serve'], {
      env: { ...process.env, ...this.settings },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.child = child;
    running.add(child);
    child.once('exit', () => {
      running.delete(child);
      if (this.child === child) this.child = null;
    });
    child.stderr.on('data', (chunk: Buffer) => {
      this.output = `${this.output}${chunk}`.slice(-20_000);
    });
    // The banner is printed once it listens.
    const printed = await Promise.race([once(child.stdout, 'data'), once(child, 'exit').then(() => null)]);
    child.stdout.resume();
    if (printed === null) throw new Error(`${this.name} ended while it started: ${this.output}`);
  }

  /** Kills it, like a crash. */
  kill(): Promise<void> {
    return this.end('SIGKILL');
  }

  /** Shuts it down gracefully, with everything accepted answered and stored. */
  stop(): Promise<void> {
    return this.end('SIGTERM');
  }

  private async end(signal: NodeJS.Signals): Promise<void> {
    const { child } = this;
    if (child === null) return;
    const exit = once(child, 'exit');
    child.kill(signal);
    await exit;
  }
}
