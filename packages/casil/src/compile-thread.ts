import { Worker } from 'node:worker_threads';
import type { Automata, Built } from './automaton/build.ts';

/** What to compile. */
export interface CompileTask {
  readonly patterns: readonly string[];
  /** Whether to build the automata of the secret rules too. */
  readonly secrets: boolean;
}

export interface CompileResult {
  readonly patterns: Built;
  readonly secrets: Automata | undefined;
}

/** Compiling was aborted because it took too much time or memory. The message ends a sentence. */
export class CompileLimitError extends Error {}

/** Heap limit for compiling besides the tables, in MiB: far more than any accepted pattern set needs. */
const MAX_HEAP_MIB = 192;

/**
 * Compiles patterns in a separate thread so that nothing is blocked: a malicious set can take seconds. The tables are
 * transferred without copying.
 *
 * @param limitMs after this the thread is stopped, with {@link CompileLimitError}, as when it runs out of memory
 */
export function compileInThread(task: CompileTask, limitMs: number): Promise<CompileResult> {
  return new Promise((resolve, reject) => {
    const worker = startWorker(task);
    const settle = (act: () => void): void => {
      clearTimeout(timer);
      worker.removeAllListeners();
      // Ignores errors of a thread that is being stopped.
      worker.on('error', () => {});
      void worker.terminate();
      act();
    };
    const timer = setTimeout(() => {
      const error = new CompileLimitError(`takes longer than ${limitMs / 1_000} seconds to compile`);
      settle(() => reject(error));
    }, limitMs);
    worker.once('message', (result: CompileResult) => settle(() => resolve(result)));
    worker.once('error', (error: NodeJS.ErrnoException) => {
      const isLimit = error.code === 'ERR_WORKER_OUT_OF_MEMORY';
      settle(() => reject(isLimit ? new CompileLimitError('takes too much memory to compile') : error));
    });
    worker.once('exit', (code) => settle(() => reject(new Error(`The compiling thread ended with code ${code}.`))));
  });
}

/**
 * Starts the thread from the file next to this one. A build has `compile-worker.js`. Tests and benchmarks run the
 * sources, which Node 20 cannot load; there `tsx`, a development dependency, imports the source inside the thread.
 */
function startWorker(workerData: CompileTask): Worker {
  const here = import.meta.url;
  const options = { workerData, execArgv: [], resourceLimits: { maxOldGenerationSizeMb: MAX_HEAP_MIB } };
  if (here.endsWith('.js')) return new Worker(new URL('compile-worker.js', here), options);
  const entry = JSON.stringify(new URL('compile-worker.ts', here).href);
  const tsx = JSON.stringify(import.meta.resolve('tsx/esm/api'));
  const source = `import(${tsx}).then(({ tsImport }) => tsImport(${entry}, ${JSON.stringify(here)}))`;
  return new Worker(source, { ...options, eval: true });
}
