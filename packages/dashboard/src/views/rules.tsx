import type { Explanation } from '@arqonbus/protocol';
import type { VNode } from 'preact';
import { useLive } from '../components/live.ts';
import { Badge, Empty, Note } from '../components/parts.tsx';
import { Table } from '../components/table.tsx';
import { preview } from '../format/preview.ts';
import { visibleLine } from '../format/visible.ts';
import type { At } from '../model/at.ts';
import { command } from '../session/session.ts';

/** The effective settings of a channel, and the rules they come from. */
export function RulesPanel({ room, channel }: At): VNode {
  const told = useLive<Explanation>(() => command('op.rules.explain', { room, channel }), 5_000, `${room}:${channel}`);
  if (told.value === undefined) return <Empty title={told.problem === '' ? 'Asking for the rules…' : told.problem} />;
  const { rules, effective, origins, may } = told.value;
  const settings = Object.entries(effective).filter(([, value]) => value !== undefined);
  return (
    <div class="panel-body stack">
      {told.problem !== '' && <Note tone="bad">{told.problem}</Note>}
      <div class="row">
        <span class="muted">You may</span>
        {Object.entries(may).map(([what, isAllowed]) => (
          <Badge key={what} tone={isAllowed ? 'good' : 'bad'}>
            {what}: {isAllowed ? 'yes' : 'no'}
          </Badge>
        ))}
      </div>
      <div class="row">
        <span class="muted">Rules, the least specific first</span>
        {rules.length === 0 ? (
          <span>none; the configuration alone holds</span>
        ) : (
          rules.map(({ match, from }) => (
            <Badge key={`${from}${match}`}>
              {match} ({from === 'file' ? 'configuration' : 'set at run time'})
            </Badge>
          ))
        )}
      </div>
      <Table
        label="What holds here"
        rows={settings}
        keyOf={([name]) => name}
        columns={[
          { name: 'Setting', cell: ([name]) => name, tight: true },
          { name: 'Value', cell: ([, value]) => <code>{visibleLine(preview(value, 300), 301)}</code> },
          { name: 'Because of', cell: ([name]) => originOf(origins, name) },
        ]}
        empty={<Empty title="Nothing is set for this channel." />}
      />
    </div>
  );
}

/** The rule of a setting, or of its parts. */
function originOf(origins: Readonly<Record<string, string>>, name: string): string {
  const found = Object.entries(origins)
    .filter(([field]) => field === name || field.startsWith(`${name}.`))
    .map(([, match]) => match);
  return found.length === 0 ? 'the channel itself, or the configuration' : [...new Set(found)].join(', ');
}
