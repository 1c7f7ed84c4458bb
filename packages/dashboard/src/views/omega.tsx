import type { CommandResult, OmegaEvent } from '@arqonbus/protocol';
import type { VNode } from 'preact';
import { useLive } from '../components/live.ts';
import { Empty, Facts, Note } from '../components/parts.tsx';
import { type Column, Table } from '../components/table.tsx';
import { preview } from '../format/preview.ts';
import { clock, count } from '../format/quantity.ts';
import { visible, visibleLine } from '../format/visible.ts';
import { command } from '../session/session.ts';

const COLUMNS: readonly Column<OmegaEvent>[] = [
  { name: 'Time', cell: ({ timestamp }) => clock(timestamp), tight: true },
  { name: 'Source', cell: ({ substrate_id: id }) => visible(id) },
  { name: 'Signal', cell: ({ signal }) => visible(signal) },
  { name: 'Payload', cell: ({ payload }) => <code>{visibleLine(preview(payload, 200), 201)}</code> },
];

/** The lane and its latest signals. */
async function readLane(): Promise<{ status: CommandResult<'op.omega.status'>; events: readonly OmegaEvent[] }> {
  const status = await command('op.omega.status', {});
  const events = status.enabled ? (await command('op.omega.list_events', { limit: 100 })).events : [];
  return { status, events: [...events].reverse() };
}

/** The experimental lane: its state and its signals. */
export function OmegaPanel(): VNode {
  const lane = useLive(readLane, 3_000);
  if (lane.value === undefined) return <Empty title={lane.problem === '' ? 'Asking for the lane…' : lane.problem} />;
  const { status, events } = lane.value;
  if (!status.enabled) {
    return (
      <Empty title="The lane is switched off.">
        <code>ARQONBUS_OMEGA_ENABLED=true</code> switches it on.
      </Empty>
    );
  }
  return (
    <>
      {lane.problem !== '' && <Note tone="bad">{lane.problem}</Note>}
      <div class="panel-body">
        <Facts
          of={[
            ['Lab', `${status.room}:${status.channel}`],
            ['Sources', `${count(status.counts.substrates)} of ${count(status.limits.max_substrates)}`],
            ['Signals', `${count(status.counts.events)} of ${count(status.limits.max_events)}`],
          ]}
        />
      </div>
      <Table
        label="Signals"
        rows={events}
        keyOf={({ event_id: id }) => id}
        columns={COLUMNS}
        empty={<Empty title="Nothing was signalled yet." />}
      />
    </>
  );
}
