import type { Command } from "commander";
import { execa } from "execa";
import { describe, expect, it } from "vitest";
import { completionNodes } from "../../src/cli/completion-nodes.ts";
import { createProgram } from "../../src/cli/program.ts";
import { temporaryDirectory } from "../support/world.ts";
import { hookd } from "./support.ts";

const program = await createProgram([]);

function allOf(
  command: Command,
  words: readonly string[] = [],
): { command: Command; words: readonly string[] }[] {
  return [{ command, words }, ...command.commands.flatMap((one) => allOf(one, [...words, one.name()]))];
}

async function scriptOf(shell: string): Promise<string> {
  const { stdout, exitCode } = await hookd(["completion", shell]);
  expect(exitCode).toBe(0);
  return stdout;
}

/** What a real bash completes for each of these lines; the last word is the one being typed. */
async function completed(lines: readonly (readonly string[])[], cwd = "/"): Promise<string[][]> {
  const script = await scriptOf("bash");
  const asks = lines
    .map((words) => {
      const quoted = words.map((word) => `'${word}'`).join(" ");
      return `COMP_WORDS=(hookd ${quoted}); COMP_CWORD=${words.length}; COMPREPLY=(); ask\n`;
    })
    .join("");
  // The function that bash itself would call: as `complete` says, and not by its name here.
  const bash = `set -u\n${script}
ask() { $handler hookd "\${COMP_WORDS[COMP_CWORD]}" "\${COMP_WORDS[COMP_CWORD-1]}"; echo "\${COMPREPLY[*]-}"; }
handler=$(complete -p hookd | sed 's/.*-F \\([^ ]*\\) .*/\\1/')
${asks}`;
  const { stdout } = await execa("bash", ["--norc", "-c", bash], { cwd, stripFinalNewline: true });
  return stdout.split("\n").map((line) => line.split(" ").filter((word) => word !== ""));
}

describe("hookd completion bash", () => {
  it("completes each command's subcommands and options, in a real bash", async () => {
    const commands = allOf(program);
    const words = await completed(commands.map((one) => [...one.words, ""]));
    const options = await completed(commands.map((one) => [...one.words, "--"]));
    expect(commands.length).toBeGreaterThan(35);
    commands.forEach(({ command, words: path }, index) => {
      const below = command.commands.map((one) => one.name());
      expect(words[index], path.join(" ")).toEqual(expect.arrayContaining(below));
      const long = command.options.filter(({ hidden }) => !hidden).map((option) => option.long);
      expect(options[index], path.join(" ")).toEqual(expect.arrayContaining([...long, "--help"]));
    });
  });

  it("completes what was begun, behind aliases and options with values too", async () => {
    const [begun, alias, value, atValue, argument, helped, hidden] = await completed([
      ["webh"],
      ["webhook", "rot"],
      // A value that is also a command's name leads nowhere else.
      ["webhooks", "list", "--user", "add", "--o"],
      ["webhooks", "list", "--user", ""],
      ["completion", ""],
      ["help", "dl"],
      ["bench", "--plant"],
    ]);
    expect(begun).toEqual(["webhooks"]);
    expect(alias).toEqual(["rotate-secret"]);
    expect(value).toEqual(["--on", "--off"]);
    expect(atValue).toEqual([]);
    expect(argument).toEqual(["bash", "zsh", "fish"]);
    expect(helped).toEqual(["dlq"]);
    expect(hidden).toEqual([]);
  });

  it("completes paths where an option takes one", async () => {
    const cwd = temporaryDirectory();
    await execa("touch", ["hookd.yaml", "hosts"], { cwd });
    const [files] = await completed([["serve", "--config", "hoo"]], cwd);
    expect(files).toEqual(["hookd.yaml"]);
  });
});

describe("hookd completion", () => {
  it.each(["bash", "zsh", "fish"])("for %s has every command and option, and nothing else", async (shell) => {
    const script = await scriptOf(shell);
    for (const { path, commands, options } of completionNodes(program)) {
      const name = path.map(([word]) => `/${word}`).join("");
      expect(script, name).toContain(`'${name === "" ? "" : name}`);
      for (const one of commands) expect(script).toContain(one.name);
      for (const { flags } of options) {
        for (const flag of flags) {
          const written =
            shell === "fish" ? ` -${flag.startsWith("--") ? "l" : "s"} ${flag.replace(/^-+/, "")} ` : flag;
          expect(script, `${name} ${flag}`).toContain(written);
        }
      }
    }
    expect(script).not.toContain("plant-loss");
  });

  it.each(["zsh", "fish"])("for %s closes every quote it opens", async (shell) => {
    const script = await scriptOf(shell);
    // In both shells a quoted text ends at the next quote; a quote within is written '\'' or \'.
    const code = script
      .split("\n")
      .filter((line) => !line.trimStart().startsWith("#"))
      .join("\n");
    const rest =
      shell === "zsh"
        ? code.replaceAll(/'[^']*'/g, "").replaceAll("\\'", "")
        : code.replaceAll(/'(?:[^'\\]|\\.)*'/g, "");
    expect(rest).not.toContain("'");
  });

  it("of another shell is refused with the ones there are", async () => {
    expect(await hookd(["completion", "csh"])).toMatchObject({
      exitCode: 2,
      stdout: "",
      stderr: expect.stringContaining("Allowed choices are bash, zsh, fish"),
    });
  });
});
