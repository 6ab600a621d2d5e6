/** `fuse4fs completion`: scripts for bash, zsh and fish from the definitions in program.ts. */

import { Argument, type Command, type Option } from "commander";
import { MOUNT_OPTIONS } from "../mount/option_table.ts";
import { print } from "./output.ts";
import type { Shell } from "./shells.ts";

export function completion(program: Command, shell: string): void {
  print(completionScript(program, shell as Shell));
}

/** The script as text. */
function completionScript(program: Command, shell: Shell): string {
  const commands = program.commands.map(describe);
  const writers = { bash: bashScript, zsh: zshScript, fish: fishScript };
  return writers[shell](commands);
}

/** What the scripts say of a command. */
interface CommandWords {
  readonly name: string;
  readonly summary: string;
  readonly options: readonly OptionWords[];
  readonly arguments: readonly Argument[];
  /** The fixed values of the first argument that has some; or the commands below this one. */
  readonly choices: readonly string[];
}

interface OptionWords {
  readonly short: string | undefined;
  readonly long: string | undefined;
  readonly takesValue: boolean;
  /** The value is a file of this system. */
  readonly takesFile: boolean;
  readonly text: string;
}

/** A command with others below it is offered with the options of all of them. */
function describe(command: Command): CommandWords {
  const below = command.commands;
  const options = [command, ...below].flatMap((each) => each.options.map(describeOption));
  const fixed = command.registeredArguments.find(({ argChoices }) => argChoices !== undefined);
  return {
    name: command.name(),
    summary: command.summary(),
    options: options.filter(({ long }, index) =>
      options.findIndex((other) => other.long === long) === index
    ),
    arguments: below.length > 0
      ? [new Argument("<command>", "command").choices(below.map((each) => each.name()))]
      : command.registeredArguments,
    choices: below.length > 0 ? below.map((each) => each.name()) : fixed?.argChoices ?? [],
  };
}

function describeOption({ short, long, required, flags, description }: Option): OptionWords {
  return {
    short,
    long,
    takesValue: required,
    takesFile: flags.includes("<path>"),
    text: description,
  };
}

/** Mount options as they are typed: those with a value end in an equals sign. */
const MOUNT_WORDS = MOUNT_OPTIONS.flatMap(({ names, argument, argumentIsOptional, doc }) =>
  names.filter((name) => !name.endsWith("*")).map((name) => ({
    word: argument === undefined || argumentIsOptional ? name : `${name}=`,
    doc,
  }))
);

function words({ options }: CommandWords): string {
  return options.flatMap(({ short, long }) => [short, long]).filter((word) => word !== undefined)
    .join(" ");
}

function bashScript(commands: readonly CommandWords[]): string {
  const names = commands.map(({ name }) => name).join(" ");
  const cases = commands.map((command) =>
    `    ${command.name}) words="${words(command)} --help ${command.choices.join(" ")}" ;;`
  );
  const mountWords = MOUNT_WORDS.map(({ word }) => word).join(" ");
  return `# Completion of fuse4fs for bash: source <(fuse4fs completion bash)
_fuse4fs() {
  local current="\${COMP_WORDS[COMP_CWORD]}" previous="\${COMP_WORDS[COMP_CWORD-1]}"
  local command="\${COMP_WORDS[1]}" words="" file
  COMPREPLY=()
  if [[ $previous == -o || $previous == --options ]]; then
    # Options behind the first comma keep what stands before them.
    local before=""
    [[ $current == *,* ]] && before="\${current%,*},"
    compopt -o nospace
    COMPREPLY=($(compgen -P "$before" -W "${mountWords}" -- "\${current##*,}"))
    return
  fi
  case "$command" in
${cases.join("\n")}
    *) words="${words(mountOf(commands))} --help --version" ;;
  esac
  if [[ $COMP_CWORD -eq 1 && $current != -* ]]; then
    words="${names}"
  fi
  COMPREPLY=($(compgen -W "$words" -- "$current"))
  if [[ $current != -* ]]; then
    compopt -o filenames
    while IFS= read -r file; do COMPREPLY+=("$file"); done < <(compgen -f -- "$current")
  fi
}
complete -F _fuse4fs fuse4fs
`;
}

function zshScript(commands: readonly CommandWords[]): string {
  const names = commands.map(({ name, summary }) => `    ${quote(`${name}:${summary}`)}`);
  const cases = commands.map((command) =>
    `    ${command.name})\n      _arguments ${
      [...command.options.map(zshOption), ...command.arguments.map(zshArgument)]
        .join(" \\\n        ")
    } ;;`
  );
  const mountWords = MOUNT_WORDS.map(({ word, doc }) => `    ${quote(zshValue(word, doc))}`);
  return `#compdef fuse4fs
# Completion of fuse4fs for zsh: fuse4fs completion zsh > a file _fuse4fs in a folder of $fpath
_fuse4fs_mount_options() {
  local -a options=(
${mountWords.join("\n")}
  )
  _values -s , 'mount option' $options
}
_fuse4fs() {
  local -a commands=(
${names.join("\n")}
  )
  if (( CURRENT == 2 )) && [[ $words[2] != -* ]]; then
    _describe command commands
    _files
    return
  fi
  local command=$words[2]
  if (( \${commands[(I)$command:*]} )); then
    shift words
    (( CURRENT-- ))
  else
    command=mount
  fi
  case $command in
${cases.join("\n")}
  esac
}
_fuse4fs "$@"
`;
}

function zshOption({ short, long, takesValue, takesFile, text }: OptionWords): string {
  const action = short === "-o" ? "_fuse4fs_mount_options" : takesFile ? "_files" : "";
  const value = takesValue ? `:value:${action}` : "";
  const spellings = [short, long].filter((word) => word !== undefined);
  const repeats = short === "-o" ? "*" : "";
  return spellings.map((word) => quote(`${repeats}${word}[${text}]${value}`)).join(" ");
}

function zshArgument(argument: Argument): string {
  const place = argument.variadic ? "*" : "";
  return quote(`${place}:${argument.name()}:${zshAction(argument)}`);
}

function zshAction(argument: Argument): string {
  if (argument.argChoices !== undefined) return `(${argument.argChoices.join(" ")})`;
  if (argument.name() === "MOUNTPOINT") return "_files -/";
  return isSystemPath(argument) ? "_files" : "";
}

/** `_values` takes `name[text]:value:`; a colon ends the name. */
function zshValue(word: string, doc: string): string {
  const text = doc.replaceAll(/[[\]:]/g, " ");
  return word.endsWith("=") ? `${word.slice(0, -1)}[${text}]:value:` : `${word}[${text}]`;
}

function fishScript(commands: readonly CommandWords[]): string {
  const names = commands.map(({ name }) => name).join(" ");
  const lines = commands.map(({ name, summary }) =>
    `complete -c fuse4fs -n "__fish_is_first_token" -a ${name} -d ${quote(summary)}`
  );
  for (const command of commands) {
    const others = commands.filter((other) => other !== command).map(({ name }) => name).join(" ");
    // Without a command, the options of a mount are the ones to offer.
    const condition = command === mountOf(commands)
      ? `not __fish_seen_subcommand_from ${others}`
      : `__fish_seen_subcommand_from ${command.name}`;
    lines.push(...command.options.map((option) => fishOption(option, condition)));
    for (const choice of command.choices) {
      lines.push(`complete -c fuse4fs -n "${condition}" -f -a ${choice}`);
    }
  }
  const mountWords = MOUNT_WORDS.map(({ word, doc }) => quote(`${word}\\t${doc}`)).join(" ");
  return `# Completion of fuse4fs for fish: fuse4fs completion fish | source
# Commands: ${names}
function __fuse4fs_mount_options
    __fish_append , (printf '%b\\n' ${mountWords})
end
${lines.join("\n")}
`;
}

function fishOption({ short, long, takesValue, takesFile, text }: OptionWords, condition: string) {
  const parts = [`complete -c fuse4fs -n "${condition}"`];
  if (short !== undefined) parts.push(`-s ${short.slice(1)}`);
  if (long !== undefined) parts.push(`-l ${long.slice(2)}`);
  if (short === "-o") parts.push(`-x -a "(__fuse4fs_mount_options)"`);
  else if (takesFile) parts.push("-r -F");
  else if (takesValue) parts.push("-x");
  return `${parts.join(" ")} -d ${quote(text)}`;
}

function mountOf(commands: readonly CommandWords[]): CommandWords {
  return commands.find(({ name }) => name === "mount") ?? commands[0];
}

/** Arguments in capitals are paths of this system; the others lie in the image. */
function isSystemPath(argument: Argument): boolean {
  return /^[A-Z]+$/.test(argument.name());
}

/** A word for any of the shells. */
function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
