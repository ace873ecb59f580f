import type { Command } from "commander";
import type { JobBody } from "../http-api.ts";
import { formatAgo } from "../lib/format.ts";
import { segment } from "./client.ts";
import { addClientOptions, addCommand, addGroup, runClient } from "./command.ts";
import { doneOf, followJob } from "./follow.ts";
import { addListOptions, type ListOptions, printList } from "./lists.ts";
import { statusColour } from "./status-colour.ts";
import { type Column, printFields } from "./table.ts";
import type { Terminal } from "./terminal.ts";

const ID = "job_01kb8zs5xjf7crc7a9vpz4h3tn";

export function addJobCommands(program: Command): void {
  const group = addGroup(program, "jobs", "Bulk work: replays, purges, broadcasts", [
    "hookd jobs list",
    `hookd jobs get ${ID} --wait`,
  ]).alias("job");

  addListOptions(
    addCommand(group, "list", "List jobs, newest first", ["hookd jobs list"])
      .alias("ls")
      .option("--user <user>", "of this user only"),
  ).action(
    runClient<[], ListOptions & { user?: string }>(async (call) => {
      const now = Date.now();
      const columns: Column<JobBody>[] = [
        { title: "ID", text: ({ id }) => id },
        { title: "KIND", text: ({ kind }) => kind },
        { title: "STATUS", text: ({ status }) => status, colour: ({ status }) => statusColour(status) },
        { title: "DONE", text: doneOf },
        {
          title: "CREATED",
          text: ({ created_at }) => created_at,
          shown: ({ created_at }) => formatAgo(created_at, now),
        },
      ];
      const query = { user_id: call.options.user };
      await printList(call, { method: "GET", path: "/jobs", query }, columns, "No jobs.");
    }),
  );

  addCommand(group, "get <id>", "Show how far a job is", [`hookd jobs get ${ID} --wait`])
    .option("--wait", "wait until it has ended; exits 0 only when it is done")
    .action(
      runClient<[string], { wait?: boolean }>(async (call) => {
        const { client, terminal, args, options } = call;
        if (options.wait === true) {
          if (!(await followJob(call, args[0]))) process.exitCode = 1;
          return;
        }
        const answer = await client.call<JobBody>({ method: "GET", path: `/jobs/${segment(args[0])}` });
        if (client.isJson) terminal.json(answer.text);
        else printJob(terminal, answer.body);
      }),
    );

  addCommand(group, "cancel <id>", "Stop a job; what it did stays done", [`hookd jobs cancel ${ID}`]).action(
    runClient<[string]>(async ({ client, terminal, args }) => {
      const answer = await client.call<JobBody>({ method: "POST", path: `/jobs/${segment(args[0])}/cancel` });
      if (client.isJson) terminal.json(answer.text);
      else printJob(terminal, answer.body);
    }),
  );
  addClientOptions(group);
}

function printJob(terminal: Terminal, job: JobBody): void {
  printFields(terminal, [
    ["id", job.id],
    ["kind", job.kind],
    ["status", { text: job.status, colour: statusColour(job.status) }],
    ["done", doneOf(job)],
    ["created", job.created_at],
    ["ended", job.completed_at],
  ]);
}
