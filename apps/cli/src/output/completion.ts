import type { Command } from 'commander';

export interface Word {
  readonly word: string;
  readonly description: string;
}

/** The words that may follow each path of commands; the path of the root is ''. */
export interface WordTree {
  readonly paths: readonly {
    readonly path: string;
    readonly commands: readonly Word[];
    readonly options: readonly Word[];
  }[];
}

export function toWordTree(program: Command): WordTree {
  const globals = optionsOf(program);
  const visit = (command: Command, path: string): WordTree['paths'] => [
    {
      path,
      commands: command.commands.map((child) => ({
        word: child.name(),
        description: child.description(),
      })),
      options: command.parent === null ? globals : [...optionsOf(command), ...globals],
    },
    ...command.commands.flatMap((child) => visit(child, `${path} ${child.name()}`.trim())),
  ];
  return { paths: visit(program, '') };
}

function optionsOf(command: Command): readonly Word[] {
  return command.options.flatMap((option) =>
    option.long === undefined || option.long === null
      ? []
      : [{ word: option.long, description: option.description }],
  );
}

const wordsOf = (entry: WordTree['paths'][number]): string =>
  [...entry.commands, ...entry.options].map(({ word }) => word).join(' ');

/** Words of the command line that are commands: the first two at most, options skipped. */
const BASH_PATH = `  local word path='' i
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=\${COMP_WORDS[i]}
    [[ $word == -* ]] && continue
    case " $commands " in *" \${path:+$path }$word,"*) path="\${path:+$path }$word" ;; esac
  done`;

export function bashCompletion(tree: WordTree): string {
  const known = tree.paths.map(({ path }) => `${path},`).join(' ');
  const cases = tree.paths.map((entry) => `    '${entry.path}') words='${wordsOf(entry)}' ;;`);
  return [
    '_lariat() {',
    `  local commands=' ${known} ' words=''`,
    '  COMPREPLY=()',
    BASH_PATH,
    '  case "$path" in',
    ...cases,
    '  esac',
    '  COMPREPLY=($(compgen -W "$words" -- "${COMP_WORDS[COMP_CWORD]}"))',
    '}',
    'complete -o default -F _lariat lariat ./lariat',
    '',
  ].join('\n');
}

const quote = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

export function zshCompletion(tree: WordTree): string {
  const describe = ({ word, description }: Word): string =>
    quote(`${word}:${description.replaceAll(':', '\\:')}`);
  const cases = tree.paths.map((entry) => {
    const words = [...entry.commands, ...entry.options].map(describe).join(' ');
    return `    ${quote(entry.path)}) words=(${words}) ;;`;
  });
  const known = tree.paths.map(({ path }) => quote(path)).join(' ');
  return [
    '#compdef lariat',
    '_lariat() {',
    `  local -a words_before words known=(${known})`,
    "  local at='' word",
    '  words_before=("${(@)words[2,CURRENT-1]}")',
    '  words=()',
    '  for word in $words_before; do',
    '    [[ $word == -* ]] && continue',
    '    local next="${at:+$at }$word"',
    '    (( ${known[(Ie)$next]} )) && at=$next',
    '  done',
    '  local -a offered',
    '  case "$at" in',
    ...cases.map((line) => line.replace(') words=(', ') offered=(')),
    '  esac',
    "  _describe 'lariat' offered || _files",
    '}',
    'compdef _lariat lariat ./lariat',
    '',
  ].join('\n');
}

const fishQuote = (text: string): string =>
  `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;

export function fishCompletion(tree: WordTree): string {
  const lines = tree.paths.flatMap((entry) => {
    const at = `__lariat_at ${fishQuote(entry.path)}`;
    return [
      ...entry.commands.map(
        ({ word, description }) =>
          `complete -c lariat -n ${fishQuote(at)} -f -a ${word} -d ${fishQuote(description)}`,
      ),
      ...entry.options.map(
        ({ word, description }) =>
          `complete -c lariat -n ${fishQuote(at)} -l ${word.slice(2)} -d ${fishQuote(description)}`,
      ),
    ];
  });
  const known = tree.paths.map(({ path }) => fishQuote(path)).join(' ');
  return [
    'function __lariat_at',
    `    set -l known ${known}`,
    "    set -l at ''",
    '    for word in (commandline -opc)[2..-1]',
    '        set -l next (string trim "$at $word")',
    '        contains -- $next $known; and set at $next',
    '    end',
    '    test "$at" = "$argv[1]"',
    'end',
    ...lines,
    '',
  ].join('\n');
}
