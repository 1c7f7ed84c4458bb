import { parentPort, workerData } from 'node:worker_threads';
import { buffersOf } from './automaton/build.ts';
import type { CompileResult, CompileTask } from './compile-thread.ts';
import { buildPatterns } from './policy.ts';
import { buildSecretAutomata } from './secrets.ts';

// The thread of compile-thread.ts: compiles its task, sends the result and ends.
const { patterns, secrets } = workerData as CompileTask;
const result: CompileResult = {
  patterns: buildPatterns(patterns),
  secrets: secrets ? buildSecretAutomata() : undefined,
};
const buffers = [
  ...(result.patterns.ok ? buffersOf(result.patterns.automata) : []),
  ...(result.secrets === undefined ? [] : buffersOf(result.secrets)),
];
parentPort?.postMessage(result, buffers);
