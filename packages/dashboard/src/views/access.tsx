import type { AccessBlock, AccessRevocation, CommandResult } from '@arqonbus/protocol';
import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import { useLive } from '../components/live.ts';
import { Button, Empty, Field, Note, Panel } from '../components/parts.tsx';
import { type Column, Table } from '../components/table.tsx';
import { act } from '../components/toasts.tsx';
import { ago, moment } from '../format/quantity.ts';
import { visible } from '../format/visible.ts';
import { command } from '../session/session.ts';
import { block, unblock } from './blocking.ts';

/** Blocked subjects and revoked tokens. */
export function AccessView(): VNode {
  const [search, setSearch] = useState('');
  const kept = useLive<CommandResult<'op.access.list'>>(() => command('op.access.list', { limit: 500 }), 3_000);
  const wanted = search.trim().toLowerCase();
  const blocks = (kept.value?.blocks ?? []).filter(({ subject }) => subject.toLowerCase().includes(wanted));
  const columns: readonly Column<AccessBlock>[] = [
    { name: 'Subject', cell: ({ subject }) => visible(subject) },
    { name: 'Reason', cell: ({ reason }) => visible(reason) },
    { name: 'Until', cell: ({ until }) => (until === null ? 'taken back' : ago(until)), tight: true },
    { name: 'By', cell: ({ created_by: by }) => visible(by) },
    { name: 'Since', cell: ({ created_at: at }) => ago(at), tight: true },
    {
      name: '',
      cell: ({ subject }) => (
        <Button small onClick={() => void unblock(subject).then(kept.reload)}>
          Unblock
        </Button>
      ),
      tight: true,
    },
  ];
  return (
    <div class="view">
      <div class="view-head">
        <h1>Access</h1>
      </div>
      {kept.problem !== '' && <Note tone="bad">{kept.problem}</Note>}
      <BlockForm reload={kept.reload} />
      <Panel title="Blocked subjects" flush>
        <div class="filters">
          <Field label="Find" placeholder="subject" value={search} onInput={setSearch} search grow />
        </div>
        <Table
          label="Blocked subjects"
          rows={blocks}
          keyOf={({ subject }) => subject}
          columns={columns}
          empty={
            <Empty title={wanted === '' ? 'Nobody is blocked.' : 'Nobody like this is blocked.'}>
              Block somebody above, or where you see what they sent.
            </Empty>
          }
        />
        {kept.value?.next && <Empty title="These are the first 500." />}
      </Panel>
      <Panel title="Revoked tokens" flush>
        <Table
          label="Revoked tokens"
          rows={kept.value?.revocations ?? []}
          keyOf={({ jti, subject, created_at: at }) => `${jti} ${subject} ${at}`}
          columns={REVOCATIONS}
          empty={<Empty title="No token was revoked." />}
        />
      </Panel>
    </div>
  );
}

const REVOCATIONS: readonly Column<AccessRevocation>[] = [
  { name: 'Token', cell: ({ jti }) => (jti === null ? '–' : <code>{visible(jti)}</code>) },
  { name: 'Subject', cell: ({ subject }) => (subject === null ? '–' : visible(subject)) },
  { name: 'Issued before', cell: ({ issued_before: before }) => (before === null ? '–' : moment(before)) },
  { name: 'By', cell: ({ created_by: by }) => visible(by) },
  { name: 'Since', cell: ({ created_at: at }) => ago(at), tight: true },
];

function BlockForm({ reload }: { readonly reload: () => void }): VNode {
  const [subject, setSubject] = useState('');
  const [reason, setReason] = useState('');
  const [jti, setJti] = useState('');
  return (
    <Panel title="Keep somebody out">
      <div class="stack">
        <div class="row">
          <Field label="Subject" placeholder="the sub of the tokens" value={subject} onInput={setSubject} grow />
          <Field label="Reason, told to them" value={reason} onInput={setReason} grow />
          <Button
            tone="danger"
            disabled={subject.trim() === ''}
            onClick={() => {
              void block(subject.trim(), reason.trim() || 'blocked by an administrator').then(reload);
              setSubject('');
              setReason('');
            }}
          >
            Block
          </Button>
        </div>
        <div class="row">
          <Field label="Token id (jti)" placeholder="of one token that leaked" value={jti} onInput={setJti} grow />
          <Button
            tone="danger"
            disabled={jti.trim() === ''}
            onClick={() => {
              void act(() => command('op.access.revoke', { jti: jti.trim() }), 'The token is no longer valid.').then(
                reload,
              );
              setJti('');
            }}
          >
            Revoke the token
          </Button>
        </div>
      </div>
    </Panel>
  );
}
