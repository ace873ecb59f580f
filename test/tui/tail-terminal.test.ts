import { expect, test } from "vitest";
import { startDaemon } from "../support/daemon.ts";
import { setup } from "./setup.ts";

const TAIL = ["deliveries", "tail"];
/** Slow enough that nothing is tried again while a test looks. */
const LATER = { retry: { schedule: ["1h", "1h"] } };

test("attempts show as they settle, below exact counts, and the terminal is left as it was", async () => {
  const { receiver, register, publish, terminal } = await setup();
  await register("order.paid", LATER);
  await register("user.created");
  receiver.answer = ({ path }) => ({ status: path === "/order.paid" ? 503 : 200 });
  const { waitFor, keys, tmux } = terminal(TAIL);
  await waitFor(/No attempts yet/);
  await publish("order.paid");
  await publish("user.created");
  const screen = await waitFor(/attempts 2 .*\n(.*\n)+.*user\.created/);
  expect(screen).toMatch(/^hookd tail {2}http:\/\/127.0.0.1:\d+ +LIVE\n/);
  expect(screen).toMatch(/retrying +order\.paid +503 +\d+ ms +1 +at \d\d:\d\d:\d\d +default/);
  expect(screen).toMatch(/success +user\.created +200 +\d+ ms +1 /);
  expect(screen).toMatch(/since start: {2}attempts 2 {2}success 1 {2}retrying 1 {2}dead 0/);
  await waitFor(/queue 1 .*breakers open 0/);
  keys("q");
  expect(await waitFor(/exit: \d+/)).toMatch(/^before\nexit: 0\n+$/);
  expect(tmux("display-message", "-p", "#{cursor_flag} #{alternate_on}")).toBe("1 0\n");
  // Typed characters are echoed again, and lines are lines.
  keys("hello", "Enter");
  await waitFor(/hello\nhello/);
});

test("escape sequences in a response are text, in the rows and in the detail pane", async () => {
  const { receiver, register, publish, terminal } = await setup();
  await register("order.paid", LATER);
  const body =
    "\u001b]0;pwned\u0007\u001b[2J\u001b]52;c;cHduZWQ=\u0007\u202eboom\u009b31m\nline two\r\u001b[1;1Hgone";
  receiver.answer = () => ({ status: 500, body });
  const { waitFor, keys, tmux, screen } = terminal(TAIL, { columns: 200 });
  tmux("set-option", "-s", "set-clipboard", "on");
  await waitFor(/No attempts yet/);
  await publish("order.paid");
  await waitFor((text) => text.includes("500") && text.includes("\\x1b]0;pwned\\x07\\x1b[2J\\x1b]52;"));
  keys("Enter");
  const pane = await waitFor(/attempt 1 {2}retry {2}500/);
  expect(pane).toContain("    \\x1b]0;pwned\\x07\\x1b[2J\\x1b]52;c;cHduZWQ=\\x07\\u202eboom\\x9b31m\n");
  expect(pane).toContain("    line two\\r\\x1b[1;1Hgone\n");
  expect(tmux("display-message", "-p", "#{pane_title}")).not.toContain("pwned");
  expect(() => tmux("show-buffer")).toThrow("no buffers");
  expect(screen({ hasEscapes: true })).not.toContain("\u202e");
});

test("a pause holds the rows still and counts those that come; the newest show when it ends", async () => {
  const { register, publish, terminal } = await setup();
  await register("first");
  await register("second");
  const { waitFor, keys } = terminal(TAIL);
  await waitFor(/No attempts yet/);
  await publish("first");
  await waitFor(/success +first/);
  keys("Space");
  await waitFor(/PAUSED, 0 newer/);
  await publish("second");
  expect(await waitFor(/PAUSED, 1 newer/)).not.toMatch(/success +second/);
  keys("Space");
  expect(await waitFor(/success +second/)).toContain("LIVE");
});

test("a filter holds what has all its words, as it is typed", async () => {
  const { receiver, register, publish, terminal } = await setup();
  await register("order.paid", LATER);
  await register("user.created");
  receiver.answer = ({ path }) => ({ status: path === "/order.paid" ? 503 : 200, body: "nope" });
  const { waitFor, keys } = terminal(TAIL);
  await waitFor(/No attempts yet/);
  await publish("order.paid");
  await publish("user.created");
  await waitFor(/user\.created +200/);
  keys("/", "503");
  await waitFor(
    (text) => text.includes("/503") && !text.includes("user.created") && text.includes("order.paid"),
  );
  keys(" !nope", "Enter");
  await waitFor(/filter: 503 !nope[\s\S]*No row matches the filter/);
  keys("Escape");
  await waitFor(/order\.paid +503[\s\S]*user\.created +200/);
});

test("the detail pane says what happened and why, r delivers, c copies the id", async () => {
  const { receiver, register, publish, terminal } = await setup();
  const webhook = await register("order.paid", { ...LATER, headers: { "x-team": "billing" } });
  receiver.answer = () => ({ status: 503, body: "closed for lunch" });
  const { waitFor, keys, tmux } = terminal([...TAIL, "--failed"]);
  tmux("set-option", "-s", "set-clipboard", "on");
  await waitFor(/No attempts yet/);
  const id = await publish("order.paid");
  await waitFor(/order\.paid +503/);
  keys("Enter");
  const pane = await waitFor(/^ {4}closed for lunch$/m);
  expect(pane).toContain(`${id}  retrying\n`);
  expect(pane).toMatch(/why +Attempt 1: The receiver is not available \(503\)/);
  expect(pane).toMatch(/next +The next attempt is due in 1h /);
  expect(pane).toContain(`${webhook}  ${receiver.url}/order.paid`);
  expect(pane).toMatch(/x-team: \*\*\*/);
  expect(pane).not.toContain("billing");
  keys("c");
  await waitFor(new RegExp(`copied ${id}`));
  expect(tmux("show-buffer")).toBe(id);
  receiver.answer = () => ({ status: 200, body: "welcome back" });
  keys("r");
  const after = await waitFor(/attempt 2 {2}success {2}200/);
  expect(after).toContain(`${id}  success\n`);
  expect(after).toMatch(/next +Nothing: it is delivered\./);
  expect(receiver.received).toHaveLength(2);
  keys("r");
  await waitFor(/already_delivered/);
  keys("Escape");
  await waitFor(/OUTCOME/);
});

test("a daemon that goes away is waited for, and said to be back", async () => {
  const { daemon, register, publish, terminal } = await setup();
  await register("order.paid");
  const { waitFor, keys } = terminal(TAIL, { columns: 150 });
  await waitFor(/No attempts yet/);
  await publish("order.paid");
  await waitFor(/success +order\.paid/);
  await daemon.kill();
  await waitFor(/RECONNECTING in \d+s: .*127\.0\.0\.1/);
  const port = Number(new URL(daemon.server).port);
  await startDaemon({ dataDir: daemon.dataDir, port });
  const screen = await waitFor(/Connected again\./);
  expect(screen).toMatch(/LIVE[\s\S]*success +order\.paid/);
  await publish("order.paid");
  await waitFor(/attempts 2 /);
  keys("C-c");
  await waitFor(/^before\nexit: 130\n+$/);
});

test("a wrong key ends it with the error of every command, and no colours are used where none are wanted", async () => {
  const { register, publish, terminal } = await setup();
  const wrong = terminal(TAIL, { env: { HOOKD_API_KEY: "hk_wrong" } });
  expect(await wrong.waitFor(/exit: \d/)).toMatch(/before\nhookd: .*\(401 unauthorized\)\n[\s\S]*exit: 1/);
  await register("order.paid");
  const { waitFor, screen } = terminal(TAIL, { env: { NO_COLOR: "1" } });
  await waitFor(/No attempts yet/);
  await publish("order.paid");
  await waitFor(/success +order\.paid/);
  expect(screen({ hasEscapes: true })).not.toContain("\u001b[32m");
});
