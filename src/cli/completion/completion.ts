import { Argument, type Command } from "commander";
import { addCommand, type Call, run } from "../command.ts";
import { bashCompletion } from "./bash.ts";
import { fishCompletion } from "./fish.ts";
import { type CompletionNode, completionNodes } from "./nodes.ts";
import { zshCompletion } from "./zsh.ts";

const SHELLS: Readonly<Record<string, (nodes: readonly CompletionNode[]) => string>> = {
  bash: bashCompletion,
  zsh: zshCompletion,
  fish: fishCompletion,
};

export function addCompletionCommand(program: Command): void {
  addCommand(
    program,
    "completion",
    "Print a script with which the shell completes hookd's commands and options",
    [
      "source <(hookd completion bash)",
      "mkdir -p ~/.local/share/bash-completion/completions && " +
        "hookd completion bash > ~/.local/share/bash-completion/completions/hookd",
      "mkdir -p ~/.zfunc && hookd completion zsh > ~/.zfunc/_hookd  # with fpath=(~/.zfunc $fpath) " +
        "before compinit",
      "mkdir -p ~/.config/fish/completions && hookd completion fish > ~/.config/fish/completions/hookd.fish",
    ],
  )
    .addArgument(new Argument("<shell>", "whose script").choices(Object.keys(SHELLS)))
    .action(run<[string]>(completion));
}

async function completion({ args, terminal }: Call<[string], object>): Promise<void> {
  // Asked for by name this command is loaded alone: the script is of all there are.
  const { createProgram } = await import("../program.ts");
  const script = SHELLS[args[0]]?.(completionNodes(await createProgram([]))) ?? "";
  for (const line of script.trimEnd().split("\n")) terminal.line(line);
}
