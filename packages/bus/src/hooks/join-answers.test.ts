import { expect, it } from 'vitest';
import { FakeClock } from '../operators/fake-clock.suite.ts';
import { JoinAnswers, MAX_JOIN_ANSWERS } from './join-answers.ts';

const YES = { allow: true, reason: null, errorCode: 'AUTHORIZATION_ERROR' } as const;

it('keeps so many answers, and forgets the oldest', () => {
  const answers = new JoinAnswers(new FakeClock());
  for (let n = 0; n <= MAX_JOIN_ANSWERS; n += 1) answers.set(`${n}`, YES);
  expect(answers.get('0', 60)).toBeUndefined();
  expect(answers.get('1', 60)).toEqual(YES);
  expect(answers.get(`${MAX_JOIN_ANSWERS}`, 60)).toEqual(YES);
  // One that is told again counts as new.
  answers.set('1', YES);
  answers.set('more', YES);
  expect([answers.get('1', 60), answers.get('2', 60)]).toEqual([YES, undefined]);
});

it('keeps each for its time, by the rule that holds when it is asked', () => {
  const clock = new FakeClock();
  const answers = new JoinAnswers(clock);
  answers.set('a', YES);
  clock.advance(9_999);
  expect(answers.get('a', 10)).toEqual(YES);
  clock.advance(1);
  expect(answers.get('a', 20)).toEqual(YES);
  expect(answers.get('a', 10)).toBeUndefined();
});
