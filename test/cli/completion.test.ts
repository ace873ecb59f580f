import { Command, Option } from "commander";
import { execa } from "execa";
import { describe, expect, it } from "vitest";
import { bashCompletion } from "../../src/cli/completion/bash.ts";
import { completionNodes } from "../../src/cli/completion/nodes.ts";
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
async function completed(
  lines: readonly (readonly string[])[],
  { cwd = "/", script }: { cwd?: string; script?: string } = {},
): Promise<string[][]> {
  const asks = lines
    .map((words) => {
      const quoted = words.map((word) => `'${word}'`).join(" ");
      return `COMP_WORDS=(hookd ${quoted}); COMP_CWORD=${words.length}; COMPREPLY=(); ask\n`;
    })
    .join("");
  // The function that bash itself would call: as `complete` says, and not by its name here.
  const bash = `set -u\n${script ?? (await scriptOf("bash"))}
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
      // A value that is also a command's name leads nowhere.
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

  it("completes the values of an option that has a list of them", async () => {
    const made = new Command("hookd").addOption(new Option("-o, --order <order>").choices(["none", "fifo"]));
    const script = bashCompletion(completionNodes(made));
    expect(
      await completed(
        [
          ["--order", ""],
          ["-o", "f"],
          ["none", ""],
        ],
        { script },
      ),
    ).toEqual([["none", "fifo"], ["fifo"], []]);
  });

  it("completes paths where an option takes one", async () => {
    const cwd = temporaryDirectory();
    await execa("touch", ["hookd.yaml", "hosts"], { cwd });
    const [files] = await completed([["serve", "--config", "hoo"]], { cwd });
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

  const described = completionNodes(program).flatMap(({ commands, options }) => [
    ...commands.map(({ name, description }) => ({ name, description })),
    ...options.flatMap(({ flags, description }) => flags.map((name) => ({ name, description }))),
  ]);

  it("for zsh keeps every description whole, as a shell reads its quotes", async () => {
    // Lists and single quotes are the same in bash.
    const lists = [...(await scriptOf("zsh")).matchAll(/^ +((?:words_|options_)=\(.*\))$/gm)].map(
      ([, list]) => list,
    );
    const bash = lists.map(
      (list) => `words_=() options_=(); ${list}; printf '%s\\n' "\${words_[@]}" "\${options_[@]}"`,
    );
    const { stdout } = await execa("bash", ["--norc", "-c", bash.join("\n")]);
    const lines = new Set(stdout.split("\n"));
    for (const { name, description } of described) expect(lines).toContain(`${name}:${description}`);
  });

  it("for fish keeps every description whole, as fish reads its quotes", async () => {
    // fish(1): in single quotes a backslash stands before a quote or another one, and nothing else is special.
    const read = (text: string) => text.replaceAll(/\\(['\\])/g, "$1");
    const quoted = [...(await scriptOf("fish")).matchAll(/ -d '((?:[^'\\]|\\.)*)'$/gm)].map(([, text = ""]) =>
      read(text),
    );
    const descriptions = new Set(quoted);
    for (const { description } of described) expect(descriptions).toContain(description);
    expect([...descriptions].some((text) => text.includes("'"))).toBe(true);
  });

  it("of another shell is refused with the ones there are", async () => {
    expect(await hookd(["completion", "csh"])).toMatchObject({
      exitCode: 2,
      stdout: "",
      stderr: expect.stringContaining("Allowed choices are bash, zsh, fish"),
    });
  });
});
