import { readFileSync } from "node:fs";
import { createConfig, lintFromString } from "@redocly/openapi-core";
import { describe, expect, test } from "vitest";
import { problemBody, toProblem } from "../../src/api/problems.ts";
import { PROBLEMS, Problem, type ProblemCode } from "../../src/domain/problem.ts";
import { setup } from "./world.ts";

describe("the OpenAPI document", () => {
  test("passes Redocly's strict rules", async () => {
    const { call } = await setup();
    const { text } = await call("GET", "/v1/openapi.json");
    const config = await createConfig({ extends: ["recommended-strict"] });
    const problems = await lintFromString({ source: text, config, absoluteRef: "openapi.json" });
    expect(
      problems.map(({ ruleId, message, location }) => `${ruleId} ${location[0]?.pointer}: ${message}`),
    ).toEqual([]);
  });

  test("is looked at by a linter that finds what is wrong", async () => {
    const config = await createConfig({ extends: ["recommended-strict"] });
    const source =
      '{"openapi":"3.1.0","info":{"title":"x","version":"1"},"paths":{"/a":{"get":{"responses":{}}}}}';
    expect((await lintFromString({ source, config, absoluteRef: "a.json" })).length).toBeGreaterThan(3);
  });

  test("has every route that fastify has, and no other", async () => {
    const { call, api } = await setup();
    const { json: document } = await call("GET", "/v1/openapi.json");
    const documented = Object.entries(document.paths as Record<string, object>).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
    );
    const alias = (route: string) => route.replace(/ \/(webhooks|events|publish)/, " /v1/$1");
    const served: string[] = [];
    for (const [method, path] of routesOf(api.server.printRoutes({ commonPrefix: false }))) {
      const { statusCode } = await api.server.inject({
        method: method as "GET",
        url: path.replaceAll(/[{}]/g, ""),
      });
      if (method !== "HEAD" && statusCode !== 405) served.push(alias(`${method} ${path}`));
    }
    expect([...new Set(served)].sort()).toEqual([...documented].sort());
  });

  test("names each call once, with a tag, a summary, and what it can answer", async () => {
    const { call } = await setup();
    const { json: document } = await call("GET", "/v1/openapi.json");
    const operations = Object.values(document.paths as Record<string, Record<string, Operation>>).flatMap(
      (path) => Object.values(path),
    );
    expect(new Set(operations.map(({ operationId }) => operationId)).size).toBe(operations.length);
    const tags = document.tags.map(({ name }: { name: string }) => name);
    for (const {
      tags: [tag],
      summary,
      responses,
    } of operations) {
      expect(tags).toContain(tag);
      expect(summary).toMatch(/^[A-Z]/);
      expect(Object.keys(responses)).toEqual(expect.arrayContaining(["400", "500"]));
    }
  });
});

interface Operation {
  readonly operationId: string;
  readonly tags: readonly string[];
  readonly summary: string;
  readonly responses: object;
}

/** Method and `/path/{id}` of each line of fastify's tree, with those that only answer 405. */
function routesOf(tree: string): [method: string, path: string][] {
  const routes: [string, string][] = [];
  const stack: string[] = [];
  for (const line of tree.split("\n")) {
    const match = /^([│ ]*)[├└]── (\S+)(?: \((.*)\))?$/.exec(line);
    if (match === null) continue;
    const [, indent = "", part = "", methods = ""] = match;
    stack.length = indent.length / 4;
    stack.push(part);
    const path = stack.join("").replaceAll(/:(\w+)/g, "{$1}");
    for (const method of methods.split(", ").filter((name) => name !== "")) routes.push([method, path]);
  }
  return routes;
}

describe("errors", () => {
  test("are all in docs/ERRORS.md, as the code has them", () => {
    const text = readFileSync(new URL("../../docs/ERRORS.md", import.meta.url), "utf8");
    const rows = [...text.matchAll(/^\| `(\w+)` \| (\d+) \| (yes|no) \| (.+) \|$/gm)].map(
      ([, ...row]) => row,
    );
    expect(rows).toEqual(
      Object.entries(PROBLEMS).map(([code, { status, retryable, title }]) => [
        code,
        String(status),
        retryable ? "yes" : "no",
        title,
      ]),
    );
  });

  test("that nobody foresaw tell nothing, and are in the log", async () => {
    const { call, admin, engine, logged } = await setup();
    engine.listJobs = () => Promise.reject(new Error("SELECT whsec_x FROM secrets"));
    const answer = await call("GET", "/v1/jobs", { key: admin });
    expect(answer).toMatchObject({ status: 500, json: { code: "internal" } });
    expect(answer.text).not.toContain("SELECT");
    expect(logged.join("")).toContain(answer.json.request_id);
  });

  test.each(Object.keys(PROBLEMS) as ProblemCode[])("%s of the engine becomes an answer", (code) => {
    const problem = toProblem(new Problem(code, "why", { details: { webhook_id: 7, field: "x" } }));
    expect(problemBody(problem, "req_1", { a: 1, b: 2 })).toMatchObject({
      type: `urn:hookd:problem:${code}`,
      status: PROBLEMS[code].status,
      detail: "why",
      request_id: "req_1",
      webhook_id: expect.stringMatching(/^wh_/),
    });
  });
});

describe("the system's calls", () => {
  test("tell that hookd lives and takes events", async () => {
    const { call, api } = await setup();
    expect(await call("GET", "/healthz")).toMatchObject({
      status: 200,
      json: { status: "ok", version: "1.2.3" },
    });
    expect(await call("GET", "/readyz")).toMatchObject({ status: 200, json: { status: "ready" } });
    expect((await api.server.inject({ method: "HEAD", url: "/healthz" })).statusCode).toBe(200);
  });

  test("HEAD answers as GET does, without a body, and asks for the same key", async () => {
    const { api, admin, keyFor } = await setup();
    const publisher = await keyFor("acme", "publish");
    const ask = async (method: "GET" | "HEAD", url: string, key?: { text: string }) => {
      const headers = key === undefined ? {} : { authorization: `Bearer ${key.text}` };
      return api.server.inject({ method, url, headers, remoteAddress: "10.1.2.3" });
    };
    for (const url of ["/v1/webhooks", "/webhooks", "/v1/jobs", "/v1/keys", "/v1/deliveries/x", "/metrics"]) {
      for (const key of [undefined, publisher, admin]) {
        const head = await ask("HEAD", url, key);
        expect(head.statusCode, url).toBe((await ask("GET", url, key)).statusCode);
        expect(head.body).toBe("");
      }
      expect((await ask("HEAD", url)).statusCode).toBe(401);
      expect((await ask("HEAD", url, publisher)).statusCode).toBe(403);
    }
  });

  test("show metrics to this machine, and to others only with a key that reads", async () => {
    const { api, keyFor } = await setup();
    const get = async (remoteAddress: string, headers: Record<string, string> = {}) =>
      (await api.server.inject({ url: "/metrics", remoteAddress, headers })).statusCode;
    expect(await get("127.0.0.1")).toBe(200);
    expect(await get("::1")).toBe(200);
    expect(await get("127.0.0.1", { "x-forwarded-for": "8.8.8.8" })).toBe(401);
    expect(await get("10.0.0.5")).toBe(401);
    expect(await get("10.0.0.5", { authorization: `Bearer ${(await keyFor("acme", "publish")).text}` })).toBe(
      403,
    );
    expect(await get("10.0.0.5", { authorization: `Bearer ${(await keyFor("acme", "read")).text}` })).toBe(
      200,
    );
  });

  test("name each request, by the caller's name where that is harmless", async () => {
    const { call } = await setup();
    const idOf = async (given: string) =>
      (await call("GET", "/healthz", { headers: { "x-request-id": given } })).headers["x-request-id"];
    expect(await idOf("abc-1")).toBe("abc-1");
    expect(await idOf("a b")).toMatch(/^req_[0-9a-f]{12}_\w+$/);
    expect(await idOf("x".repeat(65))).not.toBe(await idOf("x".repeat(65)));
  });
});

test("listening leaves the configuration fit to be sent to threads", async () => {
  const { api } = await setup();
  await api.listen();
  expect(structuredClone(api.context.config)).toEqual(api.context.config);
});
