import { connect, type Socket } from "node:net";
import { onTestFinished } from "vitest";

/** A connection that keeps what it was told, and tells when something holds. */
export function open(port: number, options: { allowHalfOpen?: boolean } = {}) {
  const socket: Socket = connect({ port, host: "127.0.0.1", ...options });
  socket.setNoDelay(true);
  let text = "";
  let isEnded = false;
  let wake = () => {};
  socket.on("data", (chunk) => {
    text += chunk.toString("latin1");
    wake();
  });
  for (const event of ["end", "error", "close"]) {
    socket.on(event, () => {
      isEnded = true;
      wake();
    });
  }
  onTestFinished(() => void socket.destroy());
  const until = async (holds: () => boolean) => {
    while (!holds()) await new Promise<void>((resolve) => (wake = resolve));
  };
  return {
    socket,
    send: (bytes: string | Buffer) => new Promise<void>((resolve) => socket.write(bytes, () => resolve())),
    answers: async (count: number) => {
      await until(() => (text.match(/HTTP\/1\.1 \d/g) ?? []).length >= count || isEnded);
      return text;
    },
    ended: () => until(() => isEnded),
    get text() {
      return text;
    },
  };
}

/** Of the answers in what a connection was told. */
export const statuses = (text: string) =>
  [...text.matchAll(/HTTP\/1\.1 (\d+)/g)].map((match) => Number(match[1]));
