import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { execa } from "execa";
import { describe, expect, it } from "vitest";
import { type CompletionNode, completionNodes } from "../../src/cli/completion/nodes.ts";
import { createProgram } from "../../src/cli/program.ts";
import { openTerminal } from "../support/terminal.ts";
import { temporaryDirectory } from "../support/world.ts";
import { hookd } from "./support.ts";

const nodes = completionNodes(await createProgram([]));
const namesOf = ({ path }: CompletionNode) => path.map(([name]) => name).join(" ");

/** A home with the script in it, for a shell that has to be on this machine. */
async function homeFor(shell: "zsh" | "fish", name: string): Promise<string> {
  try {
    execFileSync(shell, ["--version"]);
  } catch (error) {
    throw new Error(`this test asks a real ${shell}, which is not here: apt-get install ${shell}`, {
      cause: error,
    });
  }
  const home = temporaryDirectory();
  const { stdout, exitCode } = await hookd(["completion", shell]);
  expect(exitCode).toBe(0);
  writeFileSync(join(home, name), stdout);
  return home;
}

describe("a real fish with the script", () => {
  /** What it offers for each of these lines, by name, with descriptions. */
  async function offered(lines: readonly string[]): Promise<Map<string, string>[]> {
    const home = await homeFor("fish", "hookd.fish");
    writeFileSync(join(home, "notes.yaml"), "");
    const asks = lines.map((line) => `complete -C '${line}'; echo ---`);
    const { stdout } = await execa("fish", ["--no-config", "-c", `source hookd.fish; ${asks.join("; ")}`], {
      cwd: home,
      env: { HOME: home, PATH: process.env.PATH ?? "" },
      extendEnv: false,
    });
    return stdout.split("\n---").map((part) => {
      const found = part.split("\n").filter((line) => line !== "");
      return new Map(found.map((line) => line.split("\t") as [string, string]));
    });
  }

  it("offers each command's subcommands and options, with their descriptions", async () => {
    const words = await offered(nodes.map((node) => `hookd ${namesOf(node)} `));
    const options = await offered(nodes.map((node) => `hookd ${namesOf(node)} --`));
    for (const [index, node] of nodes.entries()) {
      for (const { name, description } of node.commands)
        expect(words[index]?.get(name), `${namesOf(node)} ${name}`).toBe(description);
      for (const { flags, description } of node.options) {
        const long = flags.filter((flag) => flag.startsWith("--"));
        for (const flag of long)
          expect(options[index]?.get(flag), `${namesOf(node)} ${flag}`).toBe(description);
      }
    }
  });

  it("completes what was begun: behind aliases and values, values of a list, paths, and nothing else", async () => {
    const given = await offered([
      "hookd webh",
      "hookd webhook rot",
      "hookd webhooks list --user add --o",
      "hookd webhooks list --user ",
      "hookd completion ",
      "hookd help dl",
      "hookd bench --plant",
      "hookd top --sort ",
      "hookd serve --config no",
    ]);
    expect(given.slice(0, 9).map((found) => [...found.keys()])).toEqual([
      ["webhooks"],
      ["rotate-secret"],
      ["--off", "--on"],
      [],
      ["bash", "fish", "zsh"],
      ["dlq"],
      [],
      ["backlog", "oldest", "p99", "rate", "success", "trouble"],
      ["notes.yaml"],
    ]);
  });
});

describe("a real zsh, in a terminal,", () => {
  /** Its line editor, where the script has been taken in by `load`. */
  async function typing(load: string) {
    const home = await homeFor("zsh", "_hookd");
    writeFileSync(join(home, "notes.yaml"), "");
    const { keys, waitFor } = openTerminal(["zsh", "-f", "-i"], { env: { HOME: home }, rows: 60 });
    await waitFor(/[%#]\s*$/);
    keys("-l", `PS1='> '; cd ~; ${load}; clear`);
    keys("Enter");
    await waitFor(/^> *\n*$/);
    return {
      /** Types the line on an empty screen, and Tab. */
      completes(line: string, looks: RegExp): Promise<string> {
        keys("C-u", "C-l");
        keys("-l", line);
        keys("Tab");
        return waitFor(looks);
      },
    };
  }

  const BY_HAND = "autoload -Uz compinit; compinit -u -D; source ~/_hookd";
  const FROM_FPATH = "fpath=(~ $fpath); autoload -Uz compinit; compinit -u -D";

  it("offers each command's subcommands, with their descriptions", async () => {
    const { completes } = await typing(BY_HAND);
    for (const node of nodes.filter(({ commands }) => commands.length > 1)) {
      const line = `hookd ${namesOf(node)}`.trim();
      const screen = await completes(`${line} `, new RegExp(`^> ${line}\\n(.*\\n)*\\w`));
      for (const { name, description } of node.commands)
        expect(screen.replaceAll(/ +/g, " ")).toContain(`\n${name} -- ${description.slice(0, 60)}`);
    }
  });

  it.each([
    ["sourced", BY_HAND],
    ["found in fpath", FROM_FPATH],
  ])("completes what was begun, with the script %s", async (_, load) => {
    const { completes } = await typing(load);
    await completes("hookd webh", /^> hookd webhooks\n/);
    await completes("hookd webhook rot", /^> hookd webhook rotate-secret\n/);
    await completes(
      "hookd webhooks list --user add --o",
      /--o\n--off +-- only those switched off\n--on +-- only those switched on\n/,
    );
    await completes("hookd completion ", /^> hookd completion\nbash +fish +zsh\n/);
    await completes("hookd help dl", /^> hookd help dlq\n/);
    await completes(
      "hookd top --sort ",
      /^> hookd top --sort\nbacklog +oldest +p99 +rate +success +trouble\n/,
    );
    await completes("hookd serve --config no", /^> hookd serve --config notes\.yaml\n/);
    await completes(
      "hookd serve --",
      /\n--listen +-- where the API is served \(HOOKD_LISTEN; 127\.0\.0\.1:8420\)\n/,
    );
  });
});
