import type { CommandResult } from '@arqonbus/protocol';
import type { VNode } from 'preact';
import { useLive } from '../components/live.ts';
import { Badge, Empty, Note, SureButton } from '../components/parts.tsx';
import { type Column, Table } from '../components/table.tsx';
import { act } from '../components/toasts.tsx';
import { ago } from '../format/quantity.ts';
import { visible } from '../format/visible.ts';
import { command } from '../session/session.ts';

type Lease = CommandResult<'op.lease.list'>['leases'][number];

/** The leased keys, their holders and expiry. */
export function LeasesPanel(): VNode {
  const leases = useLive(() => command('op.lease.list', { limit: 500 }), 2_000);
  const columns: readonly Column<Lease>[] = [
    { name: 'Keys', cell: ({ namespace, keys }) => visible(`${namespace}: ${keys.join(', ')}`) },
    {
      name: 'Held by',
      cell: ({ subject, is_own: isOwn }) => (
        <>
          {subject === null ? 'a client without a subject' : visible(subject)}{' '}
          {isOwn && <Badge tone="accent">you</Badge>}
        </>
      ),
    },
    { name: 'Token', cell: ({ token }) => token, right: true },
    { name: 'Since', cell: ({ acquired_at: at }) => ago(at), tight: true },
    { name: 'Ends', cell: ({ expires_at: at }) => ago(at), tight: true },
    {
      name: '',
      cell: ({ lease_id: id, is_own: isOwn }) =>
        isOwn && (
          <SureButton
            small
            onClick={() =>
              void act(() => command('op.lease.release', { lease_id: id }), 'The keys are free.').then(leases.reload)
            }
          >
            Release
          </SureButton>
        ),
      tight: true,
    },
  ];
  return (
    <>
      {leases.problem !== '' && <Note tone="bad">{leases.problem}</Note>}
      <Table
        label="Leases"
        rows={leases.value?.leases ?? []}
        keyOf={({ lease_id: id }) => id}
        columns={columns}
        empty={
          <Empty title={leases.value === undefined ? 'Asking for the leases…' : 'Nobody holds a key.'}>
            <code>await client.leases.acquire('printer/3')</code> takes one.
          </Empty>
        }
      />
    </>
  );
}
