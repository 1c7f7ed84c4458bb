import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { findPython } from '../../test/fixtures/python.ts';
import { Running } from '../run.suite.ts';

const scratch = mkdtempSync(join(tmpdir(), 'arqonbus-agents-'));
const running: Running[] = [];

afterAll(() => {
  for (const example of running) example.kill();
  rmSync(scratch, { recursive: true });
});

function run(env: Readonly<Record<string, string>>): Running {
  const example = new Running('agents/run.ts', [], env);
  running.push(example);
  return example;
}

it('agents answer a question, though one of them is killed in the middle of its work', {
  timeout: 240_000,
}, async () => {
  const python = findPython(scratch, 'the worker in Python is');
  const example = run({ PYTHON: python === null ? 'none' : join(python, 'python3') });
  const code = await example.end();
  const story = example.output.split('\n').filter((line) => !line.startsWith('***'));
  expect([code, story.map((line) => line.replace(/ +/, ' '))]).toEqual([
    0,
    [
      'bus is there',
      'bus knows ada, who can experiment: idle, "TypeScript"',
      'bus knows planner, who can plan: idle, "waits for a question"',
      'bus knows reviewer, who can review: idle, "waits for mail"',
      'human asks: What makes bread rise?',
      'planner posts 4 experiments to science:execute',
      'ada takes an experiment, and its model does not answer',
      'grace comes and does the other 3',
      'bus knows ada, who can experiment: lapsed',
      'ada is killed (SIGKILL)',
      'grace experiment 1, attempt 2: yeast + sugar + warmth rises',
      'grace experiment 2, attempt 1: sugar + warmth stays flat',
      'grace experiment 3, attempt 1: yeast + warmth stays flat',
      'grace experiment 4, attempt 1: yeast + sugar stays flat',
      'planner mails its report to @reviewer: To rise, bread needs yeast, sugar, and warmth.',
      'reviewer approves: the one that rose has its controls',
      'planner has the receipt: handled by reviewer',
      'planner asks @human: may this be shared?',
      'human answers: yes',
      'human reads in science:share, 3 steps from the question: To rise, bread needs yeast, sugar, and warmth.',
      'bus all are gone',
      '',
    ],
  ]);
  expect(example.output.includes('THE SECOND WORKER IS IN TYPESCRIPT')).toBe(python === null);
});

it('agents fail in CI where Python is missing', async () => {
  const example = run({ PYTHON: 'none', CI: 'true' });
  expect(await example.end()).toBe(1);
  expect(example.output).toMatch(/^\*\*\* There is no Python with "websockets"/);
});
