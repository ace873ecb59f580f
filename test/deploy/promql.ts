/** A series that an expression reads. */
export interface Selector {
  readonly name: string;
  readonly matchers: readonly { readonly label: string; readonly operator: string; readonly value: string }[];
  /** Has a `[range]`. */
  readonly isRange: boolean;
  /** The function that it is an argument of, directly; null for none. */
  readonly within: string | null;
  /** Every function and aggregation around it. */
  readonly around: readonly string[];
}

export interface Expression {
  readonly selectors: readonly Selector[];
  /** Labels that are grouped by, or matched on. */
  readonly groupings: readonly string[];
}

type Kind = "number" | "scalar" | "vector" | "range" | "string";

/** Functions of PromQL that hookd's rules use: what they take, and what they give. */
const FUNCTIONS: Readonly<Record<string, { takes: readonly Kind[]; gives: Kind }>> = {
  absent: { takes: ["vector"], gives: "vector" },
  avg_over_time: { takes: ["range"], gives: "vector" },
  clamp_min: { takes: ["vector", "number"], gives: "vector" },
  deriv: { takes: ["range"], gives: "vector" },
  histogram_quantile: { takes: ["number", "vector"], gives: "vector" },
  increase: { takes: ["range"], gives: "vector" },
  max_over_time: { takes: ["range"], gives: "vector" },
  predict_linear: { takes: ["range", "number"], gives: "vector" },
  rate: { takes: ["range"], gives: "vector" },
  resets: { takes: ["range"], gives: "vector" },
  time: { takes: [], gives: "number" },
};
const AGGREGATIONS = ["sum", "min", "max", "avg", "count"];
/** Loosest first. */
const OPERATORS = [
  ["or"],
  ["and", "unless"],
  ["==", "!=", "<=", "<", ">=", ">"],
  ["+", "-"],
  ["*", "/", "%"],
];
const TOKEN =
  /\s*(?:(?<number>\d+(?:\.\d+)?(?:e[+-]?\d+)?(?![\w]))|(?<duration>\d+(?:ms|[smhdwy])(?!\w))|(?<name>[A-Za-z_:][\w:]*)|(?<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|(?<sign>=~|!~|==|!=|<=|>=|[-+*/%<>=(){}[\],]))/y;

interface Token {
  readonly kind: string;
  readonly text: string;
}

/**
 * Reads the part of PromQL that is used here, strictly: an unknown function, a wrong argument or a stray character is an
 * error. Written here because no parser for Node is kept up.
 */
export function parsePromql(text: string): Expression {
  const tokens = tokensOf(text);
  const selectors: Selector[] = [];
  const groupings: string[] = [];
  let at = 0;

  const peek = (): string => tokens[at]?.text ?? "";
  const fail = (what: string): never => {
    throw new Error(
      `${what} at "${tokens
        .slice(at, at + 4)
        .map((token) => token.text)
        .join(" ")}" in: ${text}`,
    );
  };
  const take = (wanted?: string): Token => {
    const token = tokens[at];
    if (!token || (wanted !== undefined && token.text !== wanted))
      return fail(`${wanted ?? "more"} is expected`);
    at += 1;
    return token;
  };
  const taken = (wanted: string): boolean => {
    if (peek() !== wanted) return false;
    at += 1;
    return true;
  };

  function binary(level: number, around: readonly string[]): Kind {
    const operators = OPERATORS[level];
    if (!operators) return unary(around);
    let left = binary(level + 1, around);
    while (operators.includes(peek())) {
      const operator = take().text;
      if (taken("on") || taken("ignoring")) groupings.push(...names());
      const right = binary(level + 1, around);
      for (const side of [left, right])
        if (side !== "vector" && side !== "number") fail(`${operator} on a ${side}`);
      if (level <= 1 && (left !== "vector" || right !== "vector")) fail(`${operator} needs vectors`);
      left = left === "vector" || right === "vector" ? "vector" : "number";
    }
    return left;
  }

  function unary(around: readonly string[]): Kind {
    if (taken("-")) return unary(around);
    if (taken("(")) {
      const kind = binary(0, around);
      take(")");
      return kind;
    }
    const token = take();
    if (token.kind === "number") return "number";
    if (token.kind !== "name") return fail(`${token.text} is not expected`);
    if (AGGREGATIONS.includes(token.text)) return aggregation(token.text, around);
    if (peek() === "(") return call(token.text, around);
    return selector(token.text, null, around);
  }

  function aggregation(name: string, around: readonly string[]): Kind {
    if (taken("by") || taken("without")) groupings.push(...names());
    take("(");
    if (binary(0, [...around, name]) !== "vector") fail(`${name} needs a vector`);
    take(")");
    if (taken("by") || taken("without")) groupings.push(...names());
    return "vector";
  }

  function call(name: string, around: readonly string[]): Kind {
    const known = FUNCTIONS[name];
    if (!known) return fail(`${name} is no function that is known here`);
    take("(");
    for (const [index, wanted] of known.takes.entries()) {
      if (index > 0) take(",");
      const isSelector = tokens[at]?.kind === "name" && !FUNCTIONS[peek()] && !AGGREGATIONS.includes(peek());
      const given =
        wanted === "range" && isSelector
          ? selector(take().text, name, [...around, name])
          : binary(0, [...around, name]);
      if (given !== wanted) fail(`${name} needs a ${wanted}, not a ${given}`);
    }
    take(")");
    return known.gives;
  }

  function selector(name: string, within: string | null, around: readonly string[]): Kind {
    const matchers: { label: string; operator: string; value: string }[] = [];
    if (taken("{")) {
      while (!taken("}")) {
        const label = take().text;
        const operator = take().text;
        if (!["=", "!=", "=~", "!~"].includes(operator)) fail(`${operator} is no matcher`);
        const value = take();
        if (value.kind !== "string") fail(`${value.text} is no string`);
        matchers.push({ label, operator, value: value.text.slice(1, -1) });
        if (peek() !== "}") take(",");
      }
    }
    const isRange = taken("[");
    if (isRange) {
      if (take().kind !== "duration") fail("no duration");
      take("]");
    }
    selectors.push({ name, matchers, isRange, within, around });
    return isRange ? "range" : "vector";
  }

  function names(): string[] {
    const found: string[] = [];
    take("(");
    while (!taken(")")) {
      found.push(take().text);
      if (peek() !== ")") take(",");
    }
    return found;
  }

  const kind = binary(0, []);
  if (at < tokens.length) fail("the end is expected");
  if (kind === "range") fail("a range is no result");
  return { selectors, groupings };
}

function tokensOf(text: string): Token[] {
  const tokens: Token[] = [];
  const trimmed = text.trim();
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < trimmed.length) {
    const from = TOKEN.lastIndex;
    const match = TOKEN.exec(trimmed);
    const found = Object.entries(match?.groups ?? {}).find(([, part]) => part !== undefined);
    if (!found) throw new Error(`"${trimmed.slice(from, from + 20)}" is no PromQL in: ${text}`);
    tokens.push({ kind: found[0], text: found[1] ?? "" });
  }
  return tokens;
}
