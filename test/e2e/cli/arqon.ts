import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import type { TestServer } from '../../fixtures/start.ts';
import { type Outcome, runWarm, type Task, type WarmRun } from './warm.ts';

const BIN = fileURLToPath(new URL('../../../packages/server/bin/arqon.js', import.meta.url));

/** Verbs that are their process: they go on by themselves, or speak over its standard input. */
const WITH_A_PROCESS: readonly string[] = ['serve', 'mcp'];

/** Whether a run needs a process of its own: for what it reads, for what it is, or for what Node reads when it starts. */
function needsProcess(args: readonly string[], env: Readonly<Record<string, string>>, input: string): boolean {
  if (input !== '' || WITH_A_PROCESS.includes(args[0] ?? '')) return true;
  return Object.keys(env).some((name) => name.startsWith('NODE_'));
}

/** The real program, run in an empty folder with no settings but those it is given. */
export class Arqon {
  readonly folder: string = mkdtempSync(join(tmpdir(), 'arqon-cli-'));
  private readonly env: Record<string, string>;
  private readonly running: Set<Running> = new Set();
  private readonly warm: Set<WarmRun> = new Set();

  constructor(env: Readonly<Record<string, string>> = {}) {
    const { PATH = '', HOME = '' } = process.env;
    const bin = join(this.folder, '.bin');
    mkdirSync(bin);
    writeFileSync(join(bin, 'arqon'), `#!/bin/sh\nexec '${process.execPath}' '${BIN}' "$@"\n`, { mode: 0o755 });
    this.env = { PATH: `${bin}:${PATH}`, HOME, TERM: 'xterm', ...env };
  }

  /** One that talks to a server under test. */
  static at({ urls }: TestServer, env: Readonly<Record<string, string>> = {}): Arqon {
    return new Arqon({ ARQONBUS_WS_URL: urls.bus, ARQONBUS_HTTP_URL: urls.http, ...env });
  }

  /** Starts it and leaves it running. */
  start(args: readonly string[], env: Readonly<Record<string, string>> = {}): Running {
    return this.track(process.execPath, [BIN, ...args], env);
  }

  /** Runs it to its end, with `input` as its whole standard input; only what reads it gets a process of its own. */
  async run(args: readonly string[], options: { input?: string; env?: Record<string, string> } = {}): Promise<Outcome> {
    const { input = '', env = {} } = options;
    if (!needsProcess(args, { ...this.env, ...env }, input)) return this.runWarm({ args, env });
    const running = this.start(args, env);
    running.write(input);
    return running.ended;
  }

  /** Runs it, and reads its standard output as one JSON document. Throws with what it complained of when it failed. */
  // biome-ignore lint/suspicious/noExplicitAny: tests look into documents of every shape
  async json(args: readonly string[], options: { input?: string } = {}): Promise<any> {
    const { code, stdout, stderr } = await this.run(args, options);
    if (code !== 0) throw new Error(`arqon ${args.join(' ')} exited with ${code}: ${stderr}`);
    return JSON.parse(stdout);
  }

  /** All that it prints, in the way of a terminal with so many columns, 0 for one that does not tell; nothing is typed. */
  async show(args: readonly string[], env: Readonly<Record<string, string>> = {}, columns = 0): Promise<string> {
    const { stdout, stderr } = await this.runWarm({ args, env, columns });
    return stdout + stderr;
  }

  /** Starts a line of the shell in which `arqon` is the program. */
  startShell(line: string): Running {
    return this.track('bash', ['-c', line]);
  }

  /** {@link startShell}, to its end. */
  async shell(line: string): Promise<Outcome> {
    const running = this.startShell(line);
    running.write('');
    return running.ended;
  }

  /** Starts it with a terminal for its input and output. */
  onTerminal(line: string): Running {
    return this.startShell(`exec script -qec '${line}' /dev/null`);
  }

  /** {@link onTerminal} for arguments that a shell would take apart. */
  runOnTerminal(args: readonly string[], env: Readonly<Record<string, string>> = {}): Running {
    const line = [process.execPath, BIN, ...args].map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(' ');
    return this.track('script', ['-qec', `exec ${line}`, '/dev/null'], env);
  }

  /** Ends what still runs, and takes the folder away. */
  async stop(): Promise<void> {
    for (const running of this.running) running.child.kill('SIGKILL');
    for (const run of this.warm) run.kill();
    await Promise.all([...this.running, ...this.warm].map(({ ended }) => ended));
    rmSync(this.folder, { recursive: true });
  }

  private runWarm(task: Omit<Task, 'cwd'>): Promise<Outcome> {
    const run = runWarm(BIN, { ...task, env: { ...this.env, ...task.env }, cwd: this.folder });
    this.warm.add(run);
    return run.ended.finally(() => this.warm.delete(run));
  }

  private track(program: string, args: readonly string[], env: Readonly<Record<string, string>> = {}): Running {
    const child = spawn(program, args, {
      cwd: this.folder,
      env: { ...this.env, ...env },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    const running = new Running(child);
    this.running.add(running);
    void running.ended.then(() => this.running.delete(running));
    return running;
  }
}

/** A run of the program that has not ended yet. */
export class Running {
  readonly child: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly ended: Promise<Outcome>;
  readonly lines: string[] = [];
  /** Standard output as it came, not yet taken apart into lines. */
  raw = '';
  private stderr = '';
  private waiting: (() => void)[] = [];

  constructor(child: ChildProcessByStdio<Writable, Readable, Readable>) {
    this.child = child;
    child.stdin.on('error', () => {
      // It may end without having read its input.
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text;
      this.wake();
    });
    const output = createInterface({ input: child.stdout });
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      this.raw += text;
    });
    output.on('line', (line) => {
      this.lines.push(line);
      this.wake();
    });
    this.ended = Promise.all([once(child, 'close'), once(output, 'close')]).then(([[code]]) => {
      const stdout = this.lines.map((line) => `${line}\n`).join('');
      return { code: code as number | null, stdout, stderr: this.stderr };
    });
    void this.ended.then(() => this.wake());
  }

  /** What it wrote to standard error so far. */
  get complaints(): string {
    return this.stderr;
  }

  write(input: string): void {
    this.child.stdin.end(input);
  }

  /** The first line of standard output that matches. */
  line(pattern: RegExp): Promise<string> {
    return this.until(() => this.lines.find((line) => pattern.test(line)), `a line like ${pattern}`);
  }

  /** Waits until standard error holds something. */
  async complaint(pattern: RegExp): Promise<void> {
    await this.until(() => (pattern.test(this.stderr) ? true : undefined), `a complaint like ${pattern}`);
  }

  private async until<T>(find: () => T | undefined, what: string): Promise<T> {
    for (;;) {
      const found = find();
      if (found !== undefined) return found;
      if (this.child.exitCode !== null) {
        throw new Error(`it ended without ${what}; it printed:\n${this.lines.join('\n')}\n${this.stderr}`);
      }
      await new Promise<void>((resolve) => this.waiting.push(resolve));
    }
  }

  private wake(): void {
    const waiting = this.waiting;
    this.waiting = [];
    for (const resolve of waiting) resolve();
  }
}
