import { ArqonBusError } from '@arqonbus/client';
import type { JsonObject } from '@arqonbus/protocol';
import type { VNode } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { JsonTree } from '../components/json-tree.tsx';
import { Badge, Button, Empty, Field, Note, Panel } from '../components/parts.tsx';
import { act } from '../components/toasts.tsx';
import { ago, clock, count, span } from '../format/quantity.ts';
import { visible } from '../format/visible.ts';
import { answerOf, type Question } from '../model/questions.ts';
import { credentials } from '../session/credentials.ts';
import { questions, settle, subject } from '../session/questions.ts';
import { callOneself, client, welcome } from '../session/session.ts';

/** Requests that wait for the user of this page. */
export function QuestionsPanel(): VNode {
  const { value: open } = questions.open;
  const { value: refused } = questions.refused;
  return (
    <Panel
      title="Waiting for you"
      actions={open.length > 0 && <Badge tone="accent">{count(open.length)} to answer</Badge>}
    >
      <div class="stack">
        {open.map((one) => (
          <Asked key={one.id} question={one} />
        ))}
        {open.length === 0 && <Empty title="Nobody waits for an answer.">{<HowToAsk />}</Empty>}
        {refused > 0 && (
          <Note tone="warn">{count(refused)} more came than this page holds; answer some to make room.</Note>
        )}
        {credentials.value.kind === 'none' && <YourName />}
      </div>
    </Panel>
  );
}

function HowToAsk(): VNode {
  const { value: name } = subject;
  const to = name === null ? `'${welcome.value?.client_id ?? ''}'` : `'@${visible(name)}'`;
  return (
    <>
      An agent asks you with{' '}
      <code>
        client.request({to}, {'{ question: … }'})
      </code>
      .
    </>
  );
}

function Asked({ question }: { readonly question: Question }): VNode {
  const { id, who, asked, deadline, payload } = question;
  const [written, write] = useState('');
  const { question: text, text: plain } = payload as { question?: unknown; text?: unknown };
  const title = [text, plain].find((one) => typeof one === 'string');
  const answer = (reply: JsonObject): void => {
    void act(
      async () => {
        await sendAnswer(question, reply);
        settle(id);
      },
      `Your answer went to ${visible(who)}.`,
    );
  };
  return (
    <section class="question" aria-label={`Question of ${visible(who)}`}>
      <div class="row">
        <strong>{visible(who)}</strong>
        <span class="muted">asked {ago(asked)}</span>
        <Deadline at={deadline} />
      </div>
      {title !== undefined && <p class="question-text">{visible(title.slice(0, 2_000))}</p>}
      {(title === undefined || Object.keys(payload).length > 1) && <JsonTree value={payload} />}
      <label class="field">
        Your answer: text, or a JSON object
        <textarea
          class="input"
          value={written}
          spellcheck={false}
          onInput={({ currentTarget }) => write(currentTarget.value)}
        />
      </label>
      <div class="row">
        <Button tone="primary" disabled={written.trim() === ''} onClick={() => answer(answerOf(written))}>
          Answer
        </Button>
        <Button onClick={() => answer({ approved: true })}>Approve</Button>
        <Button onClick={() => answer({ approved: false })}>Refuse</Button>
        <span class="bar-spring" />
        <Button small tone="plain" onClick={() => settle(id)}>
          Leave it
        </Button>
      </div>
    </section>
  );
}

/** A countdown to the deadline. */
function Deadline({ at }: { readonly at: string | null }): VNode | null {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 1_000);
    return () => clearInterval(timer);
  }, []);
  if (at === null) return null;
  const left = Math.max(0, (Date.parse(at) - now) / 1000);
  return (
    <Badge tone={left < 30 ? 'bad' : 'warn'}>
      <span title={clock(at)}>{span(left)} left</span>
    </Badge>
  );
}

/** Without authentication, users choose a name. */
function YourName(): VNode {
  const [name, setName] = useState(subject.value ?? '');
  const { value: known } = subject;
  useEffect(() => setName(known ?? ''), [known]);
  const given = name.trim();
  return (
    <div class="row your-name">
      <Field label="You are" placeholder="a name, as in @ada" value={name} onInput={setName} grow />
      <Button
        disabled={given === (known ?? '')}
        onClick={() =>
          void act(
            () => callOneself(given),
            given === '' ? 'You have no name now.' : `You are ${visible(given)}: @${visible(given)} reaches you.`,
          )
        }
      >
        Take this name
      </Button>
    </div>
  );
}

/** Replies to the requesting connection or, if that is closed, to the mailbox of its subject. */
async function sendAnswer({ id, from, subject: asker }: Question, payload: JsonObject): Promise<void> {
  const { value: now } = client;
  if (now === null) throw new ArqonBusError('NOT_CONNECTED', 'There is no session.');
  try {
    await now.reply({ id, from }, payload);
  } catch (error) {
    const isGone = error instanceof ArqonBusError && error.code === 'TARGET_NOT_FOUND';
    if (!isGone || asker === undefined) throw error;
    await now.reply({ id, from: `@${asker}` }, payload);
  }
}
