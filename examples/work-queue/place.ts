import type { CommandArgs } from '@arqonbus/protocol';

/** Where the tasks are, and how they are shared; each worker asks for the same. */
export const GROUP = {
  room: 'work',
  channel: 'tasks',
  group: 'crew',
  start: 'all',
  /** How long a worker has for a task: one that freezes is given up after that. */
  ack_wait_seconds: 2,
  backoff_seconds: [0],
} satisfies CommandArgs<'group.create'>;

/** Where the results are kept. */
export const RESULTS = { namespace: 'work-queue' } as const;

export interface Task {
  /** Which call of tasks.ts it belongs to. */
  readonly run: string;
  readonly number: number;
  /** How long it takes. */
  readonly milliseconds: number;
}
