import type { CommandArgs } from '@arqonbus/protocol';

/** The place of the tasks and the settings of their group, the same for each worker. */
export const GROUP = {
  room: 'work',
  channel: 'tasks',
  group: 'crew',
  start: 'all',
  /** Time that a worker has for a task. A frozen worker loses its task after that. */
  ack_wait_seconds: 2,
  backoff_seconds: [0],
} satisfies CommandArgs<'group.create'>;

/** The place of the results. */
export const RESULTS = { namespace: 'work-queue' } as const;

export interface Task {
  /** The run of tasks.ts to which it belongs. */
  readonly run: string;
  readonly number: number;
  /** The duration of the task. */
  readonly milliseconds: number;
}
