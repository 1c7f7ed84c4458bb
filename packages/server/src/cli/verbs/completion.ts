import { Argument, Command } from 'commander';
import type { Shell } from '../completion.ts';
import { print } from '../terminal/output.ts';
import { withExamples } from '../verb.ts';

/** `arqon completion`. */
export function completionVerb(): Command {
  const verb = new Command('completion')
    .description('Print a script that makes a shell complete verbs and options.')
    .addArgument(new Argument('<shell>').choices(['bash', 'zsh', 'fish']));
  withExamples(
    verb,
    'source <(arqon completion bash)',
    'arqon completion fish > ~/.config/fish/completions/arqon.fish',
  );
  return verb.action(async (shell: Shell) => {
    const { completionScript } = await import('../completion.ts');
    await print(completionScript(verb.parent!, shell).trimEnd());
  });
}
