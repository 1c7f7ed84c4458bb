import type { DeadLetter, WebhookRule } from '@arqonbus/protocol';
import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import { useLive } from '../components/live.ts';
import { Button, Empty, Note, SureButton } from '../components/parts.tsx';
import { type Column, Table } from '../components/table.tsx';
import { act } from '../components/toasts.tsx';
import { preview } from '../format/preview.ts';
import { ago, count } from '../format/quantity.ts';
import { visible, visibleLine } from '../format/visible.ts';
import { command } from '../session/session.ts';

/** Webhook rules and their dead letters. */
export function WebhooksPanel(): VNode {
  const hooks = useLive(() => command('op.webhook.list', { limit: 500 }), 3_000);
  const [chosen, choose] = useState<string>();
  const columns: readonly Column<WebhookRule>[] = [
    { name: 'Posts to', cell: ({ url }) => visible(url) },
    {
      name: 'What',
      cell: ({ room, channel }) => (room === null ? 'all rooms' : `${room}:${channel ?? '*'}`),
      tight: true,
    },
    { name: 'On', cell: ({ on }) => on.join(', '), tight: true },
    { name: 'Queued', cell: ({ queued }) => count(queued), right: true },
    { name: 'Delivered', cell: ({ delivered }) => count(delivered), right: true },
    { name: 'Failed', cell: ({ failed }) => count(failed), right: true },
    {
      name: 'Dead letters',
      cell: ({ rule_id: id, dead_letters: dead }) =>
        dead === 0 ? (
          '0'
        ) : (
          <Button small tone="danger" onClick={() => choose(id === chosen ? undefined : id)}>
            {count(dead)}
          </Button>
        ),
      right: true,
    },
    {
      name: '',
      cell: ({ rule_id: id }) => (
        <SureButton
          small
          onClick={() =>
            void act(() => command('op.webhook.unregister', { rule_id: id }), 'The webhook is gone.').then(hooks.reload)
          }
        >
          Remove
        </SureButton>
      ),
      tight: true,
    },
  ];
  return (
    <>
      {hooks.problem !== '' && <Note tone="bad">{hooks.problem}</Note>}
      <Table
        label="Webhooks"
        rows={hooks.value?.rules ?? []}
        keyOf={({ rule_id: id }) => id}
        columns={columns}
        chosen={chosen}
        empty={
          <Empty title={hooks.value === undefined ? 'Asking for the webhooks…' : 'No webhook is registered.'}>
            <code>npx arqon webhook register https://example.org/hook science</code> posts a room’s events.
          </Empty>
        }
      />
      {chosen !== undefined && <DeadLetters rule={chosen} reload={hooks.reload} />}
    </>
  );
}

function DeadLetters({ rule, reload }: { readonly rule: string; readonly reload: () => void }): VNode {
  const letters = useLive(() => command('op.webhook.dead_letters', { rule_id: rule, limit: 100 }), 5_000, rule);
  const retry = (id?: string): void => {
    void act(
      () => command('op.webhook.retry', { rule_id: rule, ...(id === undefined ? {} : { delivery_id: id }) }),
      ({ requeued }) => `${count(requeued)} will be posted again.`,
    ).then(() => {
      letters.reload();
      reload();
    });
  };
  const columns: readonly Column<DeadLetter>[] = [
    { name: 'Given up', cell: ({ failed_at: at }) => ago(at), tight: true },
    { name: 'Attempts', cell: ({ attempts }) => count(attempts), right: true },
    { name: 'Last error', cell: ({ last_error: error }) => visible(error), wide: true },
    {
      name: 'Event',
      cell: ({ envelope }) => <code>{visibleLine(preview(envelope.payload, 160), 161)}</code>,
      wide: true,
    },
    {
      name: '',
      cell: ({ delivery_id: id }) => (
        <Button small onClick={() => retry(id)}>
          Retry
        </Button>
      ),
      tight: true,
    },
  ];
  return (
    <div class="panel-body stack">
      <div class="row">
        <h3>Dead letters</h3>
        <SureButton small onClick={() => retry()}>
          Retry all
        </SureButton>
      </div>
      {letters.problem !== '' && <Note tone="bad">{letters.problem}</Note>}
      <Table
        label="Dead letters"
        rows={letters.value?.dead_letters ?? []}
        keyOf={({ delivery_id: id }) => id}
        columns={columns}
        empty={<Empty title="There are none any more." />}
      />
    </div>
  );
}
