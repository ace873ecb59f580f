import { expect, test } from "vitest";
import { hookd } from "../cli/support.ts";
import { setup } from "./setup.ts";

/** Six dead of two webhooks: one says that they are gone wrong for good, the other that they cannot be taken. */
async function withDead() {
  const world = await setup();
  const { receiver, register, publish, daemon } = world;
  const ids = { orders: await register("order.paid"), users: await register("user.created") };
  receiver.answer = ({ path }) => ({ status: path === "/order.paid" ? 404 : 422, body: "\u001b[2Jno" });
  for (let count = 0; count < 4; count += 1) await publish("order.paid");
  for (let count = 0; count < 2; count += 1) await publish("user.created");
  await expect
    .poll(async () => (await daemon.call("GET", "/metrics")).text, { timeout: 10_000 })
    .toContain("hookd_dlq_size 6\n");
  return { ...world, ids };
}

test("the dead show in groups; one is looked at; a group is replayed and another purged, once that is confirmed", async () => {
  const { receiver, terminal, ids, daemon } = await withDead();
  const { waitFor, keys } = terminal(["dlq"], { columns: 140 });
  const screen = await waitFor(/user\.created +http/);
  expect(screen).toMatch(/6 dead\n/);
  expect(screen).toMatch(new RegExp(`> +4 +${ids.orders} +permanent +order\\.paid +${receiver.url}`));
  expect(screen).toMatch(new RegExp(`\\n +2 +${ids.users} +permanent`));
  keys("Enter");
  await waitFor(/404: 4\n[\s\S]*dlv_\w+ +404 +1 /);
  keys("Enter");
  expect(await waitFor(/attempt 1 {2}permanent {2}404/)).toContain("    \\x1b[2Jno\n");
  keys("Escape");
  await waitFor(/ANSWER/);
  keys("Escape");
  await waitFor(/6 dead/);
  receiver.answer = () => ({ status: 200 });
  keys("r");
  await waitFor(/Replay 4 deliveries\? y: yes, any other key: no/);
  keys("n");
  await waitFor(/up\/down select/);
  expect(receiver.received).toHaveLength(6);
  keys("r");
  await waitFor(/Replay 4 deliveries\?/);
  keys("y");
  await waitFor(/2 dead\n[\s\S]*Replayed 4\./);
  await receiver.waitFor(10);
  keys("p");
  await waitFor(/Delete 2 deliveries for good\?/);
  keys("y");
  await waitFor(/0 dead\n[\s\S]*Nothing is dead\.[\s\S]*Deleted 2\./);
  expect((await daemon.call("GET", "/v1/dlq")).json.data).toEqual([]);
  keys("q");
  await waitFor(/^before\nexit: 0\n+$/);
});

test("marked deliveries of a group are replayed by themselves", async () => {
  const { receiver, terminal } = await withDead();
  const { waitFor, keys } = terminal(["dlq"], { columns: 140 });
  await waitFor(/user\.created +http/);
  keys("Enter");
  await waitFor(/404: 4/);
  keys("Space", "Space");
  await waitFor(/2 marked\n/);
  receiver.answer = () => ({ status: 200 });
  keys("r");
  await waitFor(/Replay 2 deliveries\?/);
  keys("y");
  await waitFor(/404: 2\n[\s\S]*Replayed 2\./);
  await receiver.waitFor(8);
});

test("in a pipe the counts are printed, and other words are no command", async () => {
  const { env, ids } = await withDead();
  const plain = await hookd(["dlq"], { env });
  expect(plain).toMatchObject({
    exitCode: 0,
    stdout: `4\t${ids.orders}\tpermanent\n2\t${ids.users}\tpermanent\n`,
  });
  const json = await hookd(["dlq", "browse", "--json"], { env });
  expect(JSON.parse(json.stdout).data).toHaveLength(2);
  expect(await hookd(["dlq", "lst"], { env })).toMatchObject({ exitCode: 2 });
  expect((await hookd(["dlq", "--help"], { env })).stdout).toContain("replay");
});
