import { environmentName, KEY_NAMES, KEYS, type Key, type KeyName } from "./keys.ts";
import type { Setting } from "./load.ts";

const HEADER = `# hookd's configuration, complete, with the defaults. Start with: hookd serve --config FILE
#
# Every key can be left out. The environment overrides the file (HOOKD_DELIVERY_TIMEOUT for delivery.timeout; lists
# with commas), and flags override both. Durations: 500ms, 15s, 5m, 24h, 3d. Sizes: bytes, or KiB, MiB, GiB.
# What is in force, and from where: hookd config print
#
# live: a change of the file is taken up at SIGHUP (systemctl reload hookd). restart: at the next start.
`;
const WIDTH = 118;

/** The text of config.example.yaml: every key with its default, what it may be and why. */
export function exampleYaml(): string {
  return yamlOf(
    (name) => ({
      value: flow(KEYS[name].default),
      before: wrap(`${KEYS[name].why} ${noteOf(KEYS[name])}`),
    }),
    HEADER,
  );
}

/** Settings in force as YAML, each with where it is from. */
export function settingsYaml(settings: readonly Setting[]): string {
  const byName = new Map(settings.map((setting) => [setting.name, setting]));
  return yamlOf((name) => {
    const setting = byName.get(name);
    const origin = setting?.origin ?? "default";
    const note = origin === "environment" ? environmentName(name) : origin;
    return { value: `${flow(setting?.raw)} # ${note}, ${KEYS[name].change}`, before: [] };
  }, "");
}

/** What it may be, and when a change takes effect. */
function noteOf({ kind, change }: Key<unknown>): string {
  return kind.range === "" ? `[${change}]` : `[${kind.range}; ${change}]`;
}

function yamlOf(
  line: (name: KeyName) => { value: string; before: readonly string[] },
  header: string,
): string {
  let text = header;
  let section = "";
  for (const name of KEY_NAMES) {
    const { value, before } = line(name);
    const [first = "", second] = name.split(".");
    const indent = second === undefined ? "" : "  ";
    if (second !== undefined && first !== section) {
      section = first;
      text += `${text === "" ? "" : "\n"}${first}:\n`;
    } else if (before.length > 0) {
      text += "\n";
    }
    for (const comment of before) text += `${indent}# ${comment}\n`;
    text += `${indent}${second ?? first}: ${value}\n`;
  }
  return text;
}

/** A value in YAML's flow style, quoted only where it must be. */
function flow(raw: unknown): string {
  if (Array.isArray(raw)) return `[${raw.map(flow).join(", ")}]`;
  if (typeof raw === "object" && raw !== null) {
    return `{${Object.entries(raw)
      .map(([name, value]) => `${name}: ${flow(value)}`)
      .join(", ")}}`;
  }
  if (typeof raw !== "string") return String(raw);
  return /^[A-Za-z0-9./][A-Za-z0-9./_:-]*$/.test(raw) && !isOtherScalar(raw) ? raw : JSON.stringify(raw);
}

/** Text that YAML would take for a number, a boolean or null. */
function isOtherScalar(text: string): boolean {
  return /^(true|false|null|[\d.]+|0x[\da-f]+|[\d.]+e\d+|\.inf|\.nan)$/i.test(text) || text.endsWith(":");
}

function wrap(text: string): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + word.length + 5 > WIDTH) {
      lines.push(line);
      line = word;
    } else {
      line = line === "" ? word : `${line} ${word}`;
    }
  }
  return [...lines, line];
}
