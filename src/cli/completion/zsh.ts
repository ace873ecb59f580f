import { type CompletionNode, nameOf, stepsOf, valuedFlags } from "./nodes.ts";

/** A zsh completion script: to be sourced, or to lie in `fpath` as `_hookd`. */
export function zshCompletion(nodes: readonly CompletionNode[]): string {
  const cases = nodes.map((node) => {
    const files = node.options.filter(({ value }) => value === "file").flatMap(({ flags }) => flags);
    const words = [
      ...node.commands.map(({ name, description }) => described(name, description)),
      ...node.values.map((value) => described(value, "")),
    ];
    const options = node.options.flatMap(({ flags, description }) =>
      flags.map((flag) => described(flag, description)),
    );
    const choices = node.options.flatMap(({ flags, value }) =>
      typeof value === "string" ? [] : flags.map((flag) => `${quote(flag)} ${quote(value.join(" "))}`),
    );
    return `    (${quote(nameOf(node))})
      words_=(${words.join(" ")})
      options_=(${options.join(" ")})
      valued=(${valuedFlags(node).map(quote).join(" ")})
      files=(${files.map(quote).join(" ")})
      choices=(${choices.join(" ")})
      ;;`;
  });
  const steps = stepsOf(nodes).map(
    ({ from, to }) => `      (${from.map(quote).join("|")}) at=${quote(to)} ;;`,
  );
  return `#compdef hookd
# Completion of hookd for zsh, made by: hookd completion zsh
compdef _hookd hookd

_hookd_at() {
  case "$1" in
${cases.join("\n")}
  esac
}

_hookd() {
  local at="" previous="\${words[CURRENT-1]}"
  local -a words_ options_ valued files
  local -A choices
  local -i index
  for ((index = 2; index < CURRENT; index++)); do
    case "$at/\${words[index]}" in
${steps.join("\n")}
    esac
  done
  _hookd_at "$at"
  if (( \${valued[(Ie)$previous]} )); then
    if (( \${+choices[$previous]} )); then
      compadd -- \${=choices[$previous]}
    elif (( \${files[(Ie)$previous]} )); then
      _files
    fi
  elif [[ "$PREFIX" == -* ]]; then
    _describe -o option options_
  else
    _describe command words_
  fi
}

if [[ "\${funcstack[1]}" == "_hookd" ]]; then
  _hookd "$@"
fi
`;
}

/** \`name:description\`, as \`_describe\` takes it. */
function described(name: string, description: string): string {
  const plain = name.replaceAll(":", "\\:");
  return quote(description === "" ? plain : `${plain}:${description}`);
}

function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
