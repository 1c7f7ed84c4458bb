import type { Envelope } from '@arqonbus/protocol';
import type { VNode } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import { JsonTree } from '../components/json-tree.tsx';
import { Button, Facts, Panel, SureButton } from '../components/parts.tsx';
import { act, copy } from '../components/toasts.tsx';
import { moment } from '../format/quantity.ts';
import { visible } from '../format/visible.ts';
import { asCode, asCurl } from '../model/snippets.ts';
import { BASE } from '../session/base.ts';
import { credentials } from '../session/credentials.ts';
import { link } from '../session/route.ts';
import { disconnect, isAtLeast, may } from '../session/session.ts';
import { block } from './blocking.ts';

/** One message in full, its sender, and actions. */
export function MessageView({
  envelope,
  onClose,
}: {
  readonly envelope: Envelope;
  readonly onClose: () => void;
}): VNode {
  const { id, type, from = '', timestamp = '', metadata, payload } = envelope;
  const { subject, name, type: kind, role } = metadata?.sender ?? {};
  const top = useRef<HTMLDivElement>(null);
  useEffect(() => top.current?.scrollIntoView({ block: 'nearest' }), []);
  const isClient = from.startsWith('arq_client_');
  return (
    <div ref={top}>
      <Panel
        title="Message"
        actions={
          <span class="row">
            <Button small onClick={() => copy(asCurl(BASE, envelope, credentials.value.kind), 'The curl command was')}>
              Copy as curl
            </Button>
            <Button small onClick={() => copy(asCode(envelope), 'The code was')}>
              Copy as code
            </Button>
            <Button small onClick={() => copy(JSON.stringify(envelope, null, 2), 'The envelope was')}>
              Copy JSON
            </Button>
            <Button small tone="plain" label="Close the message" onClick={onClose}>
              ✕
            </Button>
          </span>
        }
      >
        <div class="stack">
          <Facts
            of={[
              ['From', name === undefined ? '–' : visible(name)],
              ['Subject', subject === undefined ? 'none' : visible(subject)],
              ['Kind', [kind, role].filter(Boolean).join(', ') || '–'],
              ['Connection', isClient ? <a href={link('clients', from)}>{from}</a> : visible(from)],
              [
                'Sent',
                <span key="sent" title={timestamp}>
                  {moment(timestamp)}
                </span>,
              ],
              ['Type', type],
              ['Id', <code key="id">{id}</code>],
              ['Sequence', metadata?.sequence ?? 'live only'],
            ]}
          />
          <div class="row">
            {subject !== undefined && may('op.access.block') && (
              <Button small tone="danger" onClick={() => void block(subject)}>
                Block {visible(subject)}
              </Button>
            )}
            {isClient && isAtLeast('admin') && (
              <SureButton small onClick={() => void act(() => disconnect(from), 'The connection was closed.')}>
                Disconnect
              </SureButton>
            )}
          </div>
          <JsonTree name="payload" value={payload} />
          {metadata !== undefined && <JsonTree name="metadata" value={metadata} level={3} />}
        </div>
      </Panel>
    </div>
  );
}
