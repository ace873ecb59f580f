import { Box, render, Text, useInput, useWindowSize } from "ink";
import { createElement as h, useEffect, useSyncExternalStore } from "react";
import { keysOf } from "./keys.ts";
import type { Line, Span } from "./line.ts";
import type { Ending, Screen } from "./screen.ts";

/** Frames a second at most: keys should feel immediate, and rows come ten times a second. */
const FRAMES_PER_SECOND_MAX = 20;

export interface AppProps {
  readonly screen: Screen;
  readonly isColourful: boolean;
}

/** Draws a screen's lines, and hands it the keys. */
export function App({ screen, isColourful }: AppProps) {
  const size = useWindowSize();
  useSyncExternalStore(screen.subscribe, screen.version);
  useEffect(() => screen.resize(size), [screen, size]);
  useInput((input, key) => {
    for (const pressed of keysOf(input, key)) screen.press(pressed);
  });
  const lines = screen.lines(Date.now()).map((line, index) =>
    // Lines have no identity of their own: what stands in a row of the terminal is redrawn where it differs.
    h(Text, { key: index, wrap: "truncate" }, ...drawn(line, isColourful)),
  );
  return h(Box, { flexDirection: "column" }, ...lines);
}

function drawn(line: Line, isColourful: boolean) {
  // An empty Text has no height.
  if (line.length === 0) return [" "];
  return joined(line).map((span, index) => h(Text, { key: index, ...styleOf(span, isColourful) }, span.text));
}

/** Neighbours that look alike as one: a row of ten columns is three elements, which halves what a frame costs. */
function joined(line: Line): Span[] {
  const spans: Span[] = [];
  for (const span of line) {
    const last = spans.at(-1);
    if (last === undefined || !isAlike(last, span)) spans.push(span);
    else spans[spans.length - 1] = { ...last, text: last.text + span.text };
  }
  return spans;
}

function isAlike(a: Span, b: Span): boolean {
  return a.ink === b.ink && a.isDim === b.isDim && a.isBold === b.isBold && a.isInverse === b.isInverse;
}

function styleOf({ ink, isDim, isBold, isInverse }: Span, isColourful: boolean) {
  return {
    ...(ink !== undefined && isColourful ? { color: ink } : {}),
    ...(isDim === true && isColourful ? { dimColor: true } : {}),
    ...(isBold === true ? { bold: true } : {}),
    ...(isInverse === true ? { inverse: true } : {}),
  };
}

/** Fills the terminal with a screen until it ends; then the terminal is as it was. */
export async function show(screen: Screen, isColourful: boolean): Promise<Ending> {
  const app = render(h(App, { screen, isColourful }), {
    alternateScreen: true,
    // A terminal is one, whatever the environment says of continuous integration.
    interactive: true,
    exitOnCtrlC: false,
    incrementalRendering: true,
    maxFps: FRAMES_PER_SECOND_MAX,
  });
  try {
    return await Promise.race([screen.ended, app.waitUntilExit().then((): Ending => "quit")]);
  } finally {
    screen.stop();
    app.unmount();
    await app.waitUntilExit().catch(() => undefined);
  }
}
