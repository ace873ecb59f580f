import { type CompletionNode, nameOf, stepsOf, valuedFlags } from "./nodes.ts";

/**
 * A bash completion script. `_hookd_at` says for a command what there is: words, options, options behind which a value
 * stands, and those whose value is a path.
 */
export function bashCompletion(nodes: readonly CompletionNode[]): string {
  const cases = nodes.map((node) => {
    const files = node.options.filter(({ value }) => value === "file").flatMap(({ flags }) => flags);
    return `    ${quote(nameOf(node))})
      words=${quote([...node.commands.map(({ name }) => name), ...node.values].join(" "))}
      options=${quote(node.options.flatMap(({ flags }) => flags).join(" "))}
      valued=${quote(between(valuedFlags(node)))}
      files=${quote(between(files))}
${choiceCases(node)}      ;;`;
  });
  const steps = stepsOf(nodes).map(({ from, to }) => `    ${from.map(quote).join("|")}) at=${quote(to)} ;;`);
  return `# Completion of hookd for bash, made by: hookd completion bash
_hookd_at() {
  words="" options="" valued="" files="" choices=""
  case "$1" in
${cases.join("\n")}
  esac
}

_hookd() {
  local current="\${COMP_WORDS[COMP_CWORD]}" previous="\${COMP_WORDS[COMP_CWORD-1]}"
  local at="" words options valued files choices index
  for ((index = 1; index < COMP_CWORD; index++)); do
    case "$at/\${COMP_WORDS[index]}" in
${steps.map((step) => `  ${step}`).join("\n")}
    esac
  done
  _hookd_at "$at" "$previous"
  if [[ "$valued" == *" $previous "* ]]; then
    if [[ -n "$choices" ]]; then
      COMPREPLY=($(compgen -W "$choices" -- "$current"))
    elif [[ "$files" == *" $previous "* ]]; then
      compopt -o filenames 2>/dev/null
      mapfile -t COMPREPLY < <(compgen -f -- "$current")
    fi
  elif [[ "$current" == -* ]]; then
    COMPREPLY=($(compgen -W "$options" -- "$current"))
  else
    COMPREPLY=($(compgen -W "$words" -- "$current"))
  fi
}

complete -F _hookd hookd
`;
}

/** Values of options that have a list of them. */
function choiceCases({ options }: CompletionNode): string {
  const listed = options.filter(({ value }) => typeof value !== "string");
  if (listed.length === 0) return "";
  const lines = listed.map(
    ({ flags, value }) =>
      `        ${flags.map(quote).join("|")}) choices=${quote((value as readonly string[]).join(" "))} ;;`,
  );
  return `      case "$2" in\n${lines.join("\n")}\n      esac\n`;
}

/** With a space round each, so that one can be looked for with its spaces. */
function between(flags: readonly string[]): string {
  return flags.map((flag) => ` ${flag} `).join("");
}

function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
