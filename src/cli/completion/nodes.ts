import type { Command } from "commander";

/** One command as shells complete it. */
export interface CompletionNode {
  /** The words that lead to it, its aliases at each step included: `[["webhooks", "webhook"], ["add", "create"]]`. */
  readonly path: readonly (readonly string[])[];
  readonly commands: readonly Named[];
  readonly options: readonly CompletionOption[];
  /** Values that its first argument can have; empty where it takes any, or none. */
  readonly values: readonly string[];
}

export interface Named {
  readonly name: string;
  readonly description: string;
}

export interface CompletionOption {
  /** `["-h", "--help"]` */
  readonly flags: readonly string[];
  readonly description: string;
  /** What stands behind it: nothing, a path, one of these, or anything. */
  readonly value: "none" | "file" | "any" | readonly string[];
}

/** Every command of the program, the program itself first: what commander knows is all that shells are told. */
export function completionNodes(program: Command): CompletionNode[] {
  return nodesOf(program, []);
}

function nodesOf(command: Command, path: readonly (readonly string[])[]): CompletionNode[] {
  // As help shows them: nothing hidden, and commander's own (`help`, `--help`) among them.
  const help = command.createHelp();
  const commands = help.visibleCommands(command);
  const node: CompletionNode = {
    path,
    commands: commands.map((one) => ({ name: one.name(), description: help.subcommandDescription(one) })),
    options: help.visibleOptions(command).map((option) => ({
      flags: [option.short, option.long].filter((flag) => flag !== undefined),
      description: option.description,
      value: valueKind(option.flags, option.argChoices),
    })),
    values: command.registeredArguments[0]?.argChoices ?? [],
  };
  const named = commands.filter((one) => one.name() !== "help");
  const below = named.flatMap((one) => nodesOf(one, [...path, [one.name(), ...one.aliases()]]));
  if (named.length === commands.length) return [node, ...below];
  // `help` takes what stands beside it.
  const helped = node.commands.filter(({ name }) => name !== "help");
  return [node, ...below, { path: [...path, ["help"]], commands: helped, options: [], values: [] }];
}

function valueKind(flags: string, choices: readonly string[] | undefined): CompletionOption["value"] {
  if (choices !== undefined) return choices;
  if (/<(file|dir)>/.test(flags)) return "file";
  return flags.includes("<") ? "any" : "none";
}

/** How scripts name a command: its words, with slashes; the program is the empty one. */
export function nameOf({ path }: CompletionNode): string {
  return path.map(([name]) => `/${name}`).join("");
}

/** How each word leads from one command to the next: `/webhooks` and `webhook` in place of each other, say. */
export function stepsOf(
  nodes: readonly CompletionNode[],
): { readonly from: readonly string[]; readonly to: string }[] {
  return nodes
    .filter(({ path }) => path.length > 0)
    .map((node) => {
      const parent = nameOf({ ...node, path: node.path.slice(0, -1) });
      return { from: (node.path.at(-1) ?? []).map((word) => `${parent}/${word}`), to: nameOf(node) };
    });
}

/** Option flags of a command behind which a value stands. */
export function valuedFlags({ options }: CompletionNode): string[] {
  return options.filter(({ value }) => value !== "none").flatMap(({ flags }) => flags);
}
