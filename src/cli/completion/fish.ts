import { type CompletionNode, nameOf, stepsOf } from "./nodes.ts";

/** A fish completion script: a line for each command and option, with the command at which it stands. */
export function fishCompletion(nodes: readonly CompletionNode[]): string {
  const steps = stepsOf(nodes).map(
    ({ from, to }) => `            case ${from.map(quote).join(" ")}\n                set at ${quote(to)}`,
  );
  return `# Completion of hookd for fish, made by: hookd completion fish
function __hookd_at
    set -l at ''
    set -l words (commandline -opc)
    for word in $words[2..-1]
        switch "$at/$word"
${steps.join("\n")}
        end
    end
    test "$at/" = "$argv[1]/"
end

complete -c hookd -f
${nodes.flatMap(linesOf).join("\n")}
`;
}

function linesOf(node: CompletionNode): string[] {
  const condition = `complete -c hookd -n ${quote(`__hookd_at '${nameOf(node)}'`)}`;
  return [
    ...node.commands.map(
      ({ name, description }) => `${condition} -a ${quote(name)} -d ${quote(description)}`,
    ),
    ...node.values.map((value) => `${condition} -a ${quote(value)}`),
    ...node.options.map(({ flags, description, value }) => {
      const names = flags.map((flag) =>
        flag.startsWith("--") ? `-l ${flag.slice(2)}` : `-s ${flag.slice(1)}`,
      );
      return `${condition} ${names.join(" ")}${valueText(value)} -d ${quote(description)}`;
    }),
  ];
}

function valueText(value: CompletionNode["options"][number]["value"]): string {
  if (value === "none") return "";
  if (value === "file") return " -rF";
  return value === "any" ? " -x" : ` -x -a ${quote(value.join(" "))}`;
}

/** In fish's single quotes, a backslash stands before a quote and before itself. */
function quote(text: string): string {
  return `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
}
