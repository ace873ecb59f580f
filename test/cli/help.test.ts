import { describe, expect, it } from "vitest";
import { createProgram } from "../../src/cli/program.ts";
import { commandsOf, helpOf, pathOf } from "./examples.ts";
import { hookd } from "./support.ts";

const commands = commandsOf(await createProgram([]));

describe("help", () => {
  it("knows every command of the issue", () => {
    const names = commands.map(pathOf);
    for (const [group, members] of [
      [
        "webhooks",
        [
          "add",
          "list",
          "get",
          "update",
          "remove",
          "rotate-secret",
          "test",
          "enable",
          "disable",
          "pause",
          "resume",
        ],
      ],
      ["events", ["send"]],
      ["deliveries", ["list", "get", "explain", "retry", "cancel", "replay"]],
      ["dlq", ["list", "replay", "purge"]],
      ["jobs", ["list", "get", "cancel"]],
      ["keys", ["create", "list", "revoke"]],
      ["config", ["check", "print"]],
      ["backups", ["list", "delete"]],
    ] as const) {
      expect(names).toEqual(expect.arrayContaining(members.map((member) => `hookd ${group} ${member}`)));
    }
    const alone = [
      "serve",
      "listen",
      "verify",
      "completion",
      "doctor",
      "version",
      "backup",
      "restore",
      "pause",
      "resume",
    ];
    expect(names).toEqual(expect.arrayContaining(alone.map((name) => `hookd ${name}`)));
  });

  it.each(commands.map((command) => [pathOf(command), command] as const))(
    "of %s says what it does and has an example of its own",
    (path, command) => {
      const help = helpOf(command);
      expect(command.description()).not.toBe("");
      expect(help).toMatch(/\nExamples?:\n {2}\$ /);
      const example = help.slice(help.lastIndexOf("Example"));
      expect(example).toContain(command.parent === null ? "hookd " : path);
    },
  );

  it("gives every client command the same options", () => {
    const groups = ["webhooks", "events", "deliveries", "dlq", "jobs", "keys", "backups"];
    const clients = commands.filter(
      (command) =>
        groups.includes(command.parent?.name() ?? "") ||
        ["backup", "pause", "resume"].includes(command.name()),
    );
    expect(clients.length).toBeGreaterThan(20);
    for (const command of clients) {
      const names = command.options.map(({ long }) => long);
      expect(names, pathOf(command)).toEqual(
        expect.arrayContaining(["--server", "--key", "--data-dir", "--json", "--curl"]),
      );
    }
  });

  it("no two commands of a group share a name or an alias", () => {
    for (const group of commands) {
      const names = group.commands.flatMap((command) => [command.name(), ...command.aliases()]);
      expect(new Set(names).size, pathOf(group)).toBe(names.length);
    }
  });
});

describe("exit codes", () => {
  it.concurrent.each([
    [0, ["--help"], /Usage: hookd/, /^$/],
    [0, ["help", "dlq"], /hookd dlq/, /^$/],
    [
      0,
      ["version"],
      /^hookd\t\d+\.\d+\.\d+\ncommit\t.*\nnode\t24\..*\nsqlite\t3\..*\nplatform\t\w+ \w+\n$/,
      /^$/,
    ],
    [0, ["--version"], /^\d+\.\d+\.\d+\n$/, /^$/],
    [0, ["config", "check"], /good/, /^$/],
    [2, [], /^$/, /Usage: hookd/],
    [2, ["webhook"], /^$/, /Usage: hookd webhooks/],
    [2, ["delivries"], /^$/, /unknown command 'delivries'\n\(Did you mean deliveries\?\)/],
    [2, ["dlq", "lst"], /^$/, /unknown command 'lst'\n\(Did you mean list\?\)/],
    [2, ["events", "send", "a"], /^$/, /nothing says what the payload is/],
    [2, ["events", "send", "a", "{"], /^$/, /not JSON.*\n.*--content-type/],
    [2, ["events", "send", "a", "@/nonexistent"], /^$/, /\/nonexistent: ENOENT/],
    [2, ["webhooks", "add", "--event", "a"], /^$/, /required option '--url <url>'/],
    [
      2,
      ["webhooks", "add", "--event", "a", "--url", "b", "--retry", "x"],
      /^$/,
      /'--retry <schedule>'.*1s,5s,30s/,
    ],
    [2, ["webhooks", "update", "wh_1"], /^$/, /nothing to change/],
    [2, ["webhooks", "get", ".."], /^$/, /"\.\." is no id/],
    [2, ["dlq", "replay"], /^$/, /nothing says which deliveries.*\n.*--all/],
    [2, ["deliveries", "replay", "--status", "dead"], /^$/, /nothing says which deliveries.*\n.*--all/],
    [2, ["dlq", "replay", "--all", "--event", "a"], /^$/, /--all does not go with a filter/],
    [2, ["jobs", "list", "--server", "ftp://x"], /^$/, /--server: "ftp:\/\/x" is no http/],
    [2, ["serve", "--config", "/nonexistent"], /^$/, /\/nonexistent: the configuration cannot be read/],
    [2, ["serve", "--dev", "--listen", "0.0.0.0:0"], /^$/, /listen on 127\.0\.0\.1/],
    [
      1,
      ["jobs", "list", "--data-dir", "/nonexistent"],
      /^$/,
      /no API key: \/nonexistent\/admin\.key.*\n.*--key/,
    ],
    [
      1,
      ["jobs", "list", "--server", "http://hookd.example"],
      /^$/,
      /no API key for http:\/\/hookd\.example\n/,
    ],
  ] as const)("%i for hookd %j", async (code, args, stdout, stderr) => {
    const result = await hookd(args);
    expect(result.stdout).toMatch(stdout);
    expect(result.stderr).toMatch(stderr);
    expect(result.exitCode).toBe(code);
  });

  it("an unknown HOOKD_ variable is told by the daemon, and no concern of its clients", async () => {
    const env = { HOOKD_STOR_URL: "x" };
    const check = await hookd(["config", "check"], { env });
    expect(check).toMatchObject({
      exitCode: 2,
      stderr: expect.stringContaining("did you mean HOOKD_STORE_URL?"),
    });
    expect((await hookd(["version"], { env })).exitCode).toBe(0);
  });
});
