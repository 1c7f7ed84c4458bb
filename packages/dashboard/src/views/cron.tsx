import type { CronJob } from '@arqonbus/protocol';
import type { VNode } from 'preact';
import { useLive } from '../components/live.ts';
import { Empty, Note, SureButton } from '../components/parts.tsx';
import { type Column, Table } from '../components/table.tsx';
import { act } from '../components/toasts.tsx';
import { ago, count, span } from '../format/quantity.ts';
import { visible } from '../format/visible.ts';
import { link } from '../session/route.ts';
import { command } from '../session/session.ts';

/** Scheduled events, once or recurring. */
export function CronPanel(): VNode {
  const jobs = useLive(() => command('op.cron.list', { limit: 500 }), 3_000);
  const columns: readonly Column<CronJob>[] = [
    {
      name: 'Publishes to',
      cell: ({ room, channel }) => (
        <a href={link('rooms', room, channel)} data-item="">
          {room}:{channel}
        </a>
      ),
    },
    { name: 'When', cell: whenOf },
    { name: 'Next', cell: ({ next_run_at: next }) => ago(next), tight: true },
    { name: 'Runs', cell: ({ iterations }) => count(iterations), right: true },
    { name: 'Missed', cell: ({ missed }) => count(missed), right: true },
    { name: 'Owner', cell: ({ owner }) => visible(owner) },
    {
      name: '',
      cell: ({ job_id: id }) => (
        <SureButton
          small
          onClick={() =>
            void act(() => command('op.cron.cancel', { job_id: id }), 'The job is cancelled.').then(jobs.reload)
          }
        >
          Cancel
        </SureButton>
      ),
      tight: true,
    },
  ];
  return (
    <>
      {jobs.problem !== '' && <Note tone="bad">{jobs.problem}</Note>}
      <Table
        label="Jobs"
        rows={jobs.value?.jobs ?? []}
        keyOf={({ job_id: id }) => id}
        columns={columns}
        empty={
          <Empty title={jobs.value === undefined ? 'Asking for the jobs…' : 'Nothing is scheduled.'}>
            A job is made with <code>op.cron.schedule</code>, or by a message with <code>delay_seconds</code>.
          </Empty>
        }
      />
    </>
  );
}

function whenOf({ cron, timezone, interval_seconds: interval, repeat_count: repeat }: CronJob): string {
  if (cron !== null) return `${cron} (${timezone ?? 'UTC'})`;
  if (interval === null) return 'once';
  return `every ${span(interval)}, ${repeat === 0 ? 'until cancelled' : repeat === 1 ? 'once' : `${count(repeat)} times`}`;
}
