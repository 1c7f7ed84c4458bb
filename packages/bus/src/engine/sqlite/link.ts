import { once } from 'node:events';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import type { CallName, Calls, Reply, Request } from './calls.ts';
import { DatabaseFault } from './faults.ts';

interface Waiting {
  resolve(answer: unknown): void;
  reject(error: Error): void;
}

/**
 * Starts the worker from the file next to this one. A build has `worker.js`. Tests and benchmarks run the sources,
 * which Node 20 cannot load: there the build is used if it is newer than the sources, since compiling in the thread
 * takes a good part of a second per test. Otherwise `tsx`, a development dependency, imports `worker.ts` inside the
 * thread (its `--import` hook does not reach worker threads in Node 20).
 */
function startWorker(path: string): Worker {
  const here = import.meta.url;
  // The program's flags are not passed to the thread: with `--input-type` Node would refuse to run a file.
  const options = { execArgv: [], workerData: path };
  if (here.endsWith('.js')) return new Worker(new URL('worker.js', here), options);
  const built = new URL('../../../dist/engine/sqlite/worker.js', here);
  if (existsSync(built) && newest(new URL('.', built)) >= newest(new URL('.', here))) return new Worker(built, options);
  const entry = JSON.stringify(new URL('worker.ts', here).href);
  const tsx = JSON.stringify(import.meta.resolve('tsx/esm/api'));
  const source = `import(${tsx}).then(({ tsImport }) => tsImport(${entry}, ${JSON.stringify(here)}))`;
  return new Worker(source, { ...options, eval: true });
}

/** When a file in a folder was last modified, in milliseconds since 1970. */
function newest(folder: URL): number {
  return Math.max(...readdirSync(folder).map((name) => statSync(new URL(name, folder)).mtimeMs));
}

/**
 * The connection to the worker thread that owns the database. Calls are answered in order. When the thread dies all of
 * them fail, and the next call starts another thread, which opens the database again.
 */
export class Link {
  readonly #path: string;
  #worker: Worker | undefined;
  readonly #waiting = new Map<number, Waiting>();
  #calls = 0;
  #stopped = false;

  constructor(path: string) {
    this.#path = path;
  }

  call<Name extends CallName>(name: Name, ask: Calls[Name]['ask']): Promise<Calls[Name]['answer']> {
    if (this.#stopped) return Promise.reject(new Error('The storage is closed.'));
    const worker = this.#worker ?? this.#start();
    this.#calls += 1;
    const call = this.#calls;
    // An idle thread does not keep the process alive; one with pending calls does.
    if (this.#waiting.size === 0) worker.ref();
    return new Promise((resolve, reject) => {
      this.#waiting.set(call, { resolve: (answer) => resolve(answer as Calls[Name]['answer']), reject });
      worker.postMessage({ call, name, ask } as Request);
    });
  }

  /**
   * Closes the database and ends the thread, after all pending calls. It is never terminated: the driver crashes the
   * whole process when interrupted.
   */
  async stop(): Promise<void> {
    const worker = this.#worker;
    if (worker === undefined) {
      this.#stopped = true;
      return;
    }
    const closed = this.call('close', {}).catch(() => undefined);
    this.#stopped = true;
    // Once it has answered it would not keep the process alive.
    await Promise.all([closed.then(() => worker.ref()), once(worker, 'exit')]);
  }

  #start(): Worker {
    const worker = startWorker(this.#path);
    let cause: unknown;
    worker.on('message', (reply: Reply) => this.#settle(reply));
    worker.on('error', (error) => {
      cause = error;
    });
    worker.on('exit', (code) => {
      this.#worker = undefined;
      const reason = cause instanceof Error ? cause.message : `exit code ${code}`;
      this.#failAll(new Error(`The storage thread ended (${reason}).`));
    });
    this.#worker = worker;
    return worker;
  }

  #settle(reply: Reply): void {
    const waiting = this.#waiting.get(reply.call);
    this.#waiting.delete(reply.call);
    if (this.#waiting.size === 0) this.#worker?.unref();
    if ('fault' in reply) waiting?.reject(reply.lasting ? new DatabaseFault(reply.fault) : new Error(reply.fault));
    else waiting?.resolve(reply.answer);
  }

  #failAll(error: Error): void {
    const waiting = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const { reject } of waiting) reject(error);
  }
}
