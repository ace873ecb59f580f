export interface ServerEvent {
  readonly name: string;
  readonly data: string;
}

/** One attempt with its excerpt has some 8 KB at most; what goes on for longer without an end is no stream of hookd. */
const BLOCK_MAX = 1024 * 1024;

/**
 * Reads server-sent events (WHATWG HTML, 9.2) as hookd writes them: one `event:` and one `data:` line, ended by an
 * empty line. Comments, which hookd sends as heartbeats, come as null: they say that the connection lives.
 */
export async function* readServerEvents(
  chunks: AsyncIterable<Uint8Array>,
): AsyncGenerator<ServerEvent | null> {
  const decoder = new TextDecoder();
  let waiting = "";
  for await (const chunk of chunks) {
    waiting += decoder.decode(chunk, { stream: true });
    const blocks = waiting.split("\n\n");
    waiting = blocks.pop() ?? "";
    for (const block of blocks) yield eventOf(block);
    if (waiting.length > BLOCK_MAX) throw new Error(`an event of more than ${BLOCK_MAX} characters`);
  }
}

function eventOf(block: string): ServerEvent | null {
  let name = "message";
  let data: string | null = null;
  for (const line of block.split("\n")) {
    if (line.startsWith("event: ")) name = line.slice(7);
    else if (line.startsWith("data: ")) data = line.slice(6);
  }
  return data === null ? null : { name, data };
}
