import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import { Choice, Field, Note, Panel } from '../components/parts.tsx';
import { phase, refusal, signIn } from '../session/session.ts';

/** The sign-in form; shows a status during the first connection. */
export function SignIn(): VNode {
  const [kind, setKind] = useState('token');
  const [secret, setSecret] = useState('');
  const [stay, setStay] = useState(false);
  if (phase.value !== 'asking') {
    return (
      <main class="sign-in">
        <p class="muted" role="status">
          Connecting to the bus…
        </p>
      </main>
    );
  }
  const submit = (event: Event): void => {
    event.preventDefault();
    void signIn(
      secret === '' ? { kind: 'none' } : { kind: kind === 'key' ? 'key' : 'token', secret: secret.trim() },
      stay,
    );
  };
  return (
    <main class="sign-in">
      <form onSubmit={submit}>
        <h1 class="hidden-text">ArqonBus</h1>
        <Panel title="Sign in to the bus">
          <div class="stack">
            {refusal.value !== '' && (
              <Note tone="bad">
                {refusal.value}
                <br />
                <span>
                  Make a token with <code>arqon token mint</code>, or take the key from ARQONBUS_HTTP_API_KEY.
                </span>
              </Note>
            )}
            <Choice
              label="With"
              value={kind}
              onChange={setKind}
              options={[
                ['token', 'a token'],
                ['key', 'the API key'],
              ]}
            />
            <Field
              label={kind === 'key' ? 'API key' : 'Token'}
              type="password"
              autocomplete="current-password"
              value={secret}
              onInput={setSecret}
            />
            <label class="check">
              <input type="checkbox" checked={stay} onChange={({ currentTarget }) => setStay(currentTarget.checked)} />
              Stay signed in while this tab is open
            </label>
            <button type="submit" class="button primary">
              Sign in
            </button>
            <p class="muted">It is kept in the memory of this page, and never in the address.</p>
          </div>
        </Panel>
      </form>
    </main>
  );
}
