import { createServer, type IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";
import { onTestFinished } from "vitest";
import { until } from "../support/world.ts";
import { type CollectedSpan, decodeExport } from "./otlp.ts";

export interface Collector {
  readonly url: string;
  readonly port: number;
  readonly spans: readonly CollectedSpan[];
  /** Of every request. */
  readonly headers: readonly IncomingHttpHeaders[];
  readonly paths: readonly string[];
  /** The status that it answers with from now on; null: it does not answer. Spans count with a 200 only. */
  status: number | null;
  /** Resolves once so many spans, that `pick` takes, have come. */
  waitFor(count: number, pick?: (span: CollectedSpan) => boolean): Promise<readonly CollectedSpan[]>;
  stop(): Promise<void>;
}

/** An OTLP receiver on loopback: real HTTP, and protobuf read byte by byte. Stops with the test. */
export async function startCollector(port = 0): Promise<Collector> {
  const spans: CollectedSpan[] = [];
  const headers: IncomingHttpHeaders[] = [];
  const paths: string[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("error", () => {});
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      headers.push(request.headers);
      paths.push(`${request.method} ${request.url}`);
      if (collector.status === null) return;
      if (collector.status === 200) spans.push(...decodeExport(Buffer.concat(chunks)));
      response.writeHead(collector.status, { "content-type": "application/x-protobuf" }).end();
    });
  });
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  const bound = (server.address() as AddressInfo).port;
  const collector: Collector = {
    url: `http://127.0.0.1:${bound}`,
    port: bound,
    spans,
    headers,
    paths,
    status: 200,
    waitFor: (count, pick = () => true) =>
      until(`${count} spans have come`, () => {
        const found = spans.filter(pick);
        return found.length >= count && found;
      }),
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  onTestFinished(() => collector.stop());
  return collector;
}
