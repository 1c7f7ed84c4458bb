import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import { Brief } from '../components/brief.tsx';
import { Badge, Button, Choice, Empty, Field, Note, Panel, type Tone } from '../components/parts.tsx';
import { type Column, Table } from '../components/table.tsx';
import { preview } from '../format/preview.ts';
import { clock, count } from '../format/quantity.ts';
import { visible } from '../format/visible.ts';
import type { Happening } from '../model/happenings.ts';
import { welcome } from '../session/session.ts';
import { useHappenings } from './telemetry.ts';

const LIMIT = 300;
const TONES: Readonly<Record<Happening['severity'], Tone>> = { info: '', warning: 'warn', error: 'bad' };

const COLUMNS: readonly Column<Happening>[] = [
  { name: 'Time', cell: ({ timestamp }) => <span class="number">{clock(timestamp)}</span>, tight: true },
  { name: 'Severity', cell: ({ severity }) => <Badge tone={TONES[severity]}>{severity}</Badge>, tight: true },
  { name: 'Event', cell: ({ eventType }) => visible(eventType), tight: true },
  { name: 'What', cell: ({ payload }) => <Brief of={payload} /> },
  { name: 'Node', cell: ({ node }) => node, tight: true },
];

/** The server's events, newest first. */
export function LogView(): VNode {
  const [events, setEvents] = useState('');
  const [text, setText] = useState('');
  const [severity, setSeverity] = useState('');
  const [withOwn, setWithOwn] = useState(false);
  const [held, hold] = useState<readonly Happening[]>();
  const asked = events.trim().replaceAll(/[^A-Za-z0-9._*,-]/g, '');
  const feed = useHappenings(asked, LIMIT);
  const all = held ?? feed.shown;
  const own = welcome.value?.client_id;
  const wanted = text.trim().toLowerCase();
  const found = all.filter(
    (one) =>
      (withOwn || one.payload.client_id !== own) &&
      (severity === '' || one.severity === severity) &&
      (wanted === '' || preview(one, 4_000).toLowerCase().includes(wanted)),
  );
  return (
    <div class="view">
      <div class="view-head">
        <h1>Log</h1>
        <Badge>{count(found.length)} shown</Badge>
      </div>
      {feed.problem !== '' && <Note tone="bad">{feed.problem}</Note>}
      <Panel
        title="What happened"
        flush
        actions={
          <span data-pause="">
            <Button
              small
              pressed={held !== undefined}
              onClick={() => hold(held === undefined ? feed.shown : undefined)}
            >
              {held === undefined ? 'Pause' : 'Paused'}
            </Button>
          </span>
        }
      >
        <div class="filters">
          <Field label="Text" placeholder="a client, a room, a reason" value={text} onInput={setText} search grow />
          <Field label="Events" placeholder="client_*, auth_failed" value={events} onInput={setEvents} grow />
          <Choice
            label="Severity"
            value={severity}
            onChange={setSeverity}
            options={[
              ['', 'any severity'],
              ['info', 'info'],
              ['warning', 'warning'],
              ['error', 'error'],
            ]}
          />
          <label class="check">
            <input
              type="checkbox"
              checked={withOwn}
              onChange={({ currentTarget }) => setWithOwn(currentTarget.checked)}
            />
            What this page asks, too
          </label>
        </div>
        <Table
          label="Events"
          rows={found}
          keyOf={({ event_id }) => event_id}
          columns={COLUMNS}
          empty={
            <Empty title={!feed.isRead ? 'Reading the last events…' : 'Nothing of the kind has happened.'}>
              Joins, refusals, slow clients and faults are told here as they happen.
            </Empty>
          }
        />
      </Panel>
    </div>
  );
}
