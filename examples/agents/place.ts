import type { AgentCard } from '@arqonbus/protocol';

/** The channels of the team and of each step of its work. */
export const TEAM = 'science:general';
export const QUESTIONS = 'science:explore';
export const WORK = 'science:execute';
export const RESULTS = 'science:interpret';
export const REPORTS = 'science:share';

/** A conclusion and its evidence. */
export interface Report {
  readonly conclusion: string;
  readonly results: readonly Result[];
}

export interface Dough {
  readonly yeast: boolean;
  readonly sugar: boolean;
  readonly warm: boolean;
}

/** One piece of work: make this dough, and see whether it rises. */
export interface Experiment extends Dough {
  readonly number: number;
}

export interface Result extends Experiment {
  readonly rises: boolean;
  readonly by: string;
  readonly attempt: number;
}

/** The card of an agent with one skill, for `list_clients`. */
export function cardOf(description: string, skill: string): AgentCard {
  return { description, skills: [{ id: skill, name: skill, tags: ['science'] }] };
}
