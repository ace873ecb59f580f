import type { Command } from "commander";

/** Every command of a program, itself first. */
export function commandsOf(command: Command): Command[] {
  return [command, ...command.commands.flatMap(commandsOf)];
}

/** `hookd webhooks add` */
export function pathOf(command: Command): string {
  return command.parent === null ? command.name() : `${pathOf(command.parent)} ${command.name()}`;
}

/** What `--help` prints. */
export function helpOf(command: Command): string {
  let text = "";
  command.configureOutput({ writeOut: (part) => (text += part) }).outputHelp();
  return text;
}

/** The command lines that a help text shows. */
export function examplesIn(help: string): string[] {
  return [...help.matchAll(/^ {2}\$ (.+)$/gm)].map((match) => match[1] ?? "");
}

/** The command that a line runs: of all paths in it the longest, `webhooks add`; empty where it runs none. */
export function commandIn(line: string, program: Command): string {
  const words = /\bhookd ((?:[a-z-]+ ?)*)/.exec(line)?.[1]?.trim().split(" ") ?? [];
  let command = program;
  const path: string[] = [];
  for (const word of words) {
    const next = command.commands.find((one) => one.name() === word || one.aliases().includes(word));
    if (next === undefined) break;
    command = next;
    path.push(next.name());
  }
  return path.join(" ");
}
