import type { VNode } from 'preact';
import { useEffect } from 'preact/hooks';
import { useKeyboard } from '../components/keyboard.tsx';
import { startAsking } from '../session/questions.ts';
import { startSampling } from '../session/sampling.ts';
import { begin, phase } from '../session/session.ts';
import { Shell } from './shell.tsx';
import { SignIn } from './sign-in.tsx';

export function App(): VNode {
  useKeyboard();
  useEffect(() => {
    startSampling();
    startAsking();
    begin();
  }, []);
  if (phase.value === 'open' || phase.value === 'away') return <Shell />;
  return <SignIn />;
}
