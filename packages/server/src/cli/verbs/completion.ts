import { Argument, Command } from 'commander';
import { print } from '../terminal/output.ts';
import { StyledText } from '../terminal/styled-text.ts';
import { below, pathOf, withExamples } from '../verb.ts';

type Shell = 'bash' | 'zsh' | 'fish';

/** The possible words after one command path. */
interface Words {
  /** `token inspect`; empty for the program itself. */
  readonly path: string;
  readonly verbs: readonly { readonly name: string; readonly summary: string }[];
  readonly options: readonly { readonly name: string; readonly summary: string }[];
}

/** `arqon completion`. */
export function completionVerb(): Command {
  const verb = new Command('completion')
    .description('Print a script for shell completion of verbs and options.')
    .addArgument(new Argument('<shell>').choices(['bash', 'zsh', 'fish']));
  withExamples(
    verb,
    'source <(arqon completion bash)',
    'arqon completion fish > ~/.config/fish/completions/arqon.fish',
  );
  return verb.action(async (shell: Shell) => {
    await print(StyledText.layout(completionScript(verb.parent!, shell).trimEnd()));
  });
}

/** The script, generated from the command tree; completion runs no program. */
function completionScript(program: Command, shell: Shell): string {
  const all = [program, ...below(program)].map(wordsOf);
  if (shell === 'fish') return fish(all);
  const bash = bashScript(all);
  // zsh can run bash completions.
  return shell === 'bash' ? bash : `autoload -U +X bashcompinit && bashcompinit\n${bash}`;
}

function wordsOf(command: Command): Words {
  const help = command.createHelp();
  const names = command.options.filter(({ hidden }) => !hidden);
  return {
    path: pathOf(command).split(' ').slice(1).join(' '),
    verbs: help.visibleCommands(command).map((verb) => ({ name: verb.name(), summary: sentence(verb.summary()) })),
    options: [...names, ...help.visibleOptions(command)]
      .map(({ long, description }) => ({ name: long ?? '', summary: sentence(description) }))
      .filter(({ name }, index, list) => name !== '' && list.findIndex((other) => other.name === name) === index),
  };
}

function bashScript(all: readonly Words[]): string {
  const cases = all.map(({ path, verbs, options }) => {
    const words = [...verbs, ...options].map(({ name }) => name).join(' ');
    return `    '${path}') words='${words}' ;;`;
  });
  const paths = all.filter(({ path }) => path !== '').map(({ path }) => `'${path}'`);
  return `# bash completion for arqon; load it with: source <(arqon completion bash)
_arqon() {
  local path='' word next words=''
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    next="\${path:+$path }$word"
    case "$next" in ${paths.join('|')}) path="$next" ;; esac
  done
  case "$path" in
${cases.join('\n')}
  esac
  COMPREPLY=($(compgen -W "$words" -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _arqon arqon
`;
}

function fish(all: readonly Words[]): string {
  const lines = all.flatMap(({ path, verbs, options }) => {
    const condition =
      path === ''
        ? '__fish_use_subcommand'
        : path
            .split(' ')
            .map((verb) => `__fish_seen_subcommand_from ${verb}`)
            .join('; and ');
    return [
      ...verbs.map(({ name, summary }) => `complete -c arqon -n '${condition}' -a ${name} -d ${quote(summary)}`),
      ...options.map(
        ({ name, summary }) => `complete -c arqon -n '${condition}' -l ${name.slice(2)} -d ${quote(summary)}`,
      ),
    ];
  });
  return `# fish completion for arqon; load it with: arqon completion fish | source\n${lines.join('\n')}\n`;
}

/** The first sentence. */
function sentence(text: string): string {
  return text.split(/[.;:](?:\s|$)/, 1)[0]!;
}

function quote(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}
