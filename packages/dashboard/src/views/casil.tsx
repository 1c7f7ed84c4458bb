import type { CasilRoomDecisions, CasilSnapshot, Explanation } from '@arqonbus/protocol';
import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import { useLive } from '../components/live.ts';
import { Badge, Button, Empty, Facts, Field, Note, Panel, type Tone } from '../components/parts.tsx';
import { type Column, Table } from '../components/table.tsx';
import { clock, count } from '../format/quantity.ts';
import { visible } from '../format/visible.ts';
import type { Happening } from '../model/happenings.ts';
import { command, isAtLeast, may, sentenceOf } from '../session/session.ts';
import { useHappenings } from './telemetry.ts';

const TONES: Readonly<Record<string, Tone>> = { ALLOW: 'good', ALLOW_WITH_REDACTION: 'warn', BLOCK: 'bad' };
const LIMIT = 100;

const text = (value: unknown): string => (typeof value === 'string' ? visible(value) : '–');

/** Display names for messages without a named room. */
const ROOMS: Readonly<Record<string, string>> = { '': 'no room', '@': 'mailboxes' };

const COUNTED: readonly Column<CasilRoomDecisions>[] = [
  { name: 'Room', cell: ({ room }) => ROOMS[room] ?? visible(room) },
  { name: 'Decision', cell: ({ decision }) => <Badge tone={TONES[decision] ?? ''}>{decision}</Badge>, tight: true },
  { name: 'Reason', cell: ({ reason_code: reason }) => reason },
  { name: 'Messages', cell: ({ count: many }) => count(many), right: true },
];

const LIVE: readonly Column<Happening>[] = [
  { name: 'Time', cell: ({ timestamp }) => clock(timestamp), tight: true },
  {
    name: 'Decision',
    cell: ({ payload: { decision } }) => <Badge tone={TONES[String(decision)] ?? ''}>{text(decision)}</Badge>,
    tight: true,
  },
  { name: 'Reason', cell: ({ payload }) => text(payload.reason_code) },
  { name: 'Where', cell: ({ payload }) => `${text(payload.room)}:${text(payload.channel)}` },
  { name: 'Rules', cell: ({ payload: { rules } }) => (Array.isArray(rules) ? visible(rules.join(', ')) : '–') },
];

/** The decisions of content inspection, and the policy. */
export function CasilView(): VNode {
  const policy = useLive<CasilSnapshot>(() => command('op.casil.get', {}), 3_000);
  return (
    <div class="view">
      <div class="view-head">
        <h1>CASIL</h1>
        {policy.value !== undefined && (
          <Badge tone={policy.value.enabled ? 'good' : ''}>
            {policy.value.enabled ? `inspects, mode ${policy.value.mode}` : 'switched off'}
          </Badge>
        )}
      </div>
      {policy.problem !== '' && <Note tone="bad">{policy.problem}</Note>}
      {policy.value?.enabled === false && (
        <Note tone="">
          No message is inspected. Start the server with <code>ARQONBUS_CASIL_ENABLED=true</code>, or send{' '}
          <code>op.casil.reload</code> with <code>{'{"enabled": true}'}</code>.
        </Note>
      )}
      {may('op.rules.explain') && <Trial />}
      {policy.value?.decisions !== undefined && (
        <Panel title="Decisions since the start" flush>
          <Table
            label="Decisions by room and reason"
            rows={policy.value.decisions}
            keyOf={({ room, decision, reason_code: reason }) => `${room} ${decision} ${reason}`}
            columns={COUNTED}
            empty={<Empty title="Nothing was decided yet." />}
          />
        </Panel>
      )}
      {isAtLeast('admin') && <Decisions />}
      {policy.value !== undefined && <Policy of={policy.value} />}
    </div>
  );
}

function Decisions(): VNode {
  const feed = useHappenings('casil_*', LIMIT);
  return (
    <Panel title="Decisions as they are made" flush>
      {feed.problem !== '' && <Note tone="bad">{feed.problem}</Note>}
      <Table
        label="Decisions as they are made"
        rows={feed.shown}
        keyOf={({ event_id }) => event_id}
        columns={LIVE}
        empty={<Empty title="None lately.">Messages that pass untouched are told once a second at most.</Empty>}
      />
    </Panel>
  );
}

function Policy({ of: policy }: { readonly of: CasilSnapshot }): VNode {
  const { decisions: _decisions, enabled: _enabled, loaded_at: loaded, ...settings } = policy;
  const shown = Object.entries(settings).map(([name, value]): [string, string] => {
    const told = Array.isArray(value) ? value.join(', ') || 'none' : String(value);
    return [name.replaceAll('_', ' '), visible(told)];
  });
  return (
    <Panel title="The policy in force">
      <Facts of={[...shown, ['loaded at', loaded]]} />
    </Panel>
  );
}

/** Explains the outcome for a text; nothing is sent. */
function Trial(): VNode {
  const [room, setRoom] = useState('science');
  const [said, setSaid] = useState('');
  const [told, setTold] = useState<Explanation['publish']>();
  const [problem, setProblem] = useState('');
  const tryIt = (): void => {
    const [name = '', channel = 'general'] = room.trim().split(':');
    command('op.rules.explain', { room: name, channel, payload: { text: said } }).then(
      ({ publish }) => {
        setTold(publish);
        setProblem('');
      },
      (error) => setProblem(sentenceOf(error)),
    );
  };
  return (
    <Panel title="Try a text">
      <div class="stack">
        <div class="row">
          <Field label="Room, or room:channel" value={room} onInput={setRoom} />
          <Field label="Text" value={said} onInput={setSaid} placeholder="what somebody might send" search grow />
        </div>
        <div class="row">
          <Button tone="primary" disabled={said === '' || room.trim() === ''} onClick={tryIt}>
            Inspect
          </Button>
          {told !== undefined && (
            <span class="row" role="status">
              <Badge tone={TONES[told.casil?.decision ?? ''] ?? ''}>{told.casil?.decision ?? 'not inspected'}</Badge>
              {told.casil !== undefined && (
                <span>
                  {told.casil.reason_code}
                  {told.casil.rules.length > 0 && ` (${told.casil.rules.join(', ')})`}
                </span>
              )}
              {!told.allowed && <span>{told.reason}</span>}
            </span>
          )}
        </div>
        {problem !== '' && <Note tone="bad">{problem}</Note>}
      </div>
    </Panel>
  );
}
