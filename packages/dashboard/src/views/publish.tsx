import type { Explanation, JsonObject } from '@arqonbus/protocol';
import type { VNode } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { Badge, Button, Note } from '../components/parts.tsx';
import { act } from '../components/toasts.tsx';
import { count, plural } from '../format/quantity.ts';
import type { At } from '../model/at.ts';
import { client, command, sentenceOf } from '../session/session.ts';
import { fieldsOf, SchemaFields } from './schema-fields.tsx';

/** Debounce time before the bus is queried, milliseconds. */
const PAUSE_MS = 350;

/** A form to write, check and publish a message. */
export function PublishForm({ room, channel }: At): VNode {
  const [text, setText] = useState('{"text": "hello"}');
  const payload = parse(text);
  const { explanation, problem } = useExplanation({ room, channel }, typeof payload === 'string' ? undefined : text);
  const fields = fieldsOf(explanation?.effective.schema?.schema);
  const send = (): void => {
    const { value: now } = client;
    if (typeof payload === 'string' || now === null) return;
    void act(
      () => now.publish({ room, channel }, payload),
      ({ sequence, delivered }) =>
        `Sent${sequence === undefined ? '' : ` as number ${count(sequence)}`}, to ${count(delivered)} here.`,
    );
  };
  return (
    <div class="panel-body stack">
      {fields.length > 0 && typeof payload !== 'string' && (
        <SchemaFields fields={fields} value={payload} onChange={(next) => setText(JSON.stringify(next, null, 2))} />
      )}
      <label class="field">
        Payload, a JSON object
        <textarea
          class="input"
          value={text}
          spellcheck={false}
          onInput={({ currentTarget }) => setText(currentTarget.value)}
        />
      </label>
      {typeof payload === 'string' && <Note tone="warn">{payload}</Note>}
      {problem !== '' && <Note tone="bad">{problem}</Note>}
      <div class="row">
        <Button tone="primary" disabled={typeof payload === 'string'} onClick={send}>
          Send
        </Button>
        {explanation !== undefined && typeof payload !== 'string' && <Outlook of={explanation} />}
      </div>
    </div>
  );
}

/** A one-line summary of what would happen. */
function Outlook({ of: { publish, receivers } }: { readonly of: Explanation }): VNode {
  const { allowed, reason, error_code: code, casil, schema } = publish;
  const isRedacted = casil?.decision === 'ALLOW_WITH_REDACTION';
  return (
    <span class="row" role="status">
      <Badge tone={allowed ? 'good' : 'bad'}>{allowed ? 'would be sent' : (code ?? 'would be refused')}</Badge>
      {allowed && <span class="muted">to {plural(receivers.connections, 'connection')} of this node</span>}
      {isRedacted && <Badge tone="warn">redacted: {casil.rules.join(', ') || casil.reason_code}</Badge>}
      {schema?.ok === false && (
        <Badge tone="warn">
          schema: {schema.path} should be {schema.expected}
        </Badge>
      )}
      {!allowed && reason !== undefined && <span>{reason}</span>}
    </span>
  );
}

/** The payload, or why it is invalid. */
function parse(text: string): JsonObject | string {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as JsonObject;
    return 'A payload is a JSON object: put it in braces, as in {"value": 1}.';
  } catch (error) {
    return `This is not JSON yet: ${error instanceof Error ? error.message : String(error)}`;
  }
}

function useExplanation(at: At, text: string | undefined): { explanation: Explanation | undefined; problem: string } {
  const [explanation, setExplanation] = useState<Explanation>();
  const [problem, setProblem] = useState('');
  const { room, channel } = at;
  useEffect(() => {
    if (text === undefined) return;
    let isOver = false;
    const timer = setTimeout(() => {
      command('op.rules.explain', { room, channel, payload: JSON.parse(text) as JsonObject }).then(
        (told) => {
          if (isOver) return;
          setExplanation(told);
          setProblem('');
        },
        (error) => {
          if (!isOver) setProblem(sentenceOf(error));
        },
      );
    }, PAUSE_MS);
    return () => {
      isOver = true;
      clearTimeout(timer);
    };
  }, [room, channel, text]);
  return { explanation, problem };
}
