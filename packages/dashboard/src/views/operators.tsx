import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import { Panel, Tabs } from '../components/parts.tsx';
import { may } from '../session/session.ts';
import { CronPanel } from './cron.tsx';
import { LeasesPanel } from './leases.tsx';
import { OmegaPanel } from './omega.tsx';
import { StorePanel } from './store.tsx';
import { WebhooksPanel } from './webhooks.tsx';

const PARTS = [
  { title: 'Webhooks', view: WebhooksPanel, needs: 'op.webhook.list' },
  { title: 'Cron', view: CronPanel, needs: 'op.cron.list' },
  { title: 'Store', view: StorePanel, needs: 'op.store.list' },
  { title: 'Leases', view: LeasesPanel, needs: 'op.lease.list' },
  { title: 'Omega', view: OmegaPanel, needs: 'op.omega.status' },
] as const;

/** The server's operators: webhooks, scheduled events, stored values. */
export function OperatorsView(): VNode {
  const parts = PARTS.filter(({ needs }) => may(needs));
  const [title, setTitle] = useState<string>(parts[0]?.title ?? '');
  const Shown = parts.find((one) => one.title === title)?.view;
  return (
    <div class="view">
      <div class="view-head">
        <h1>Operators</h1>
      </div>
      <Panel title={title} flush>
        <Tabs label="Operators" tabs={parts.map((one) => one.title)} chosen={title} onChoose={setTitle} />
        {Shown !== undefined && <Shown />}
      </Panel>
    </div>
  );
}
