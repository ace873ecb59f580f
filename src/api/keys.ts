import { type Static, Type } from "typebox";
import { type KeyId, parseId } from "../domain/ids.ts";
import { type ApiKey, SCOPES, type Scope } from "../domain/key.ts";
import { makeKey } from "../domain/key-text.ts";
import { Problem } from "../domain/problem.ts";
import { keyOf, notFound, sees, userForRead, userForWrite } from "./access.ts";
import type { Api, ApiContext } from "./context.ts";
import { invalid, timeField } from "./fields.ts";
import { answerPage } from "./lists.ts";
import * as schemas from "./schemas.ts";

const tag = "keys";

export function keyRoutes(api: Api, context: ApiContext): void {
  const { engine, render } = context;

  api.route({
    method: "POST",
    url: "/keys",
    config: {
      operationId: "createKey",
      summary: "Make an API key; it is shown this once",
      tag,
      scope: "manage",
    },
    schema: { body: schemas.KeyCreate, response: { 201: schemas.KeyCreated } },
    async handler(request, reply) {
      const { body } = request;
      const owner = ownerOf(keyOf(request), body);
      const { text, hash } = makeKey(context.randomBytes);
      const created = await engine.createKey({
        ...owner,
        name: body.name ?? null,
        hash,
        expiresAt: expiryOf(body.expires_at, context.clock.now()),
      });
      reply.code(201).header("cache-control", "no-store");
      return { ...render.key(created), key: text };
    },
  });

  api.route({
    method: "GET",
    url: "/keys",
    config: {
      operationId: "listKeys",
      summary: "API keys, newest first, without their text",
      tag,
      scope: "manage",
      problems: ["not_found", "invalid_cursor"],
    },
    schema: {
      querystring: Type.Object({ user_id: Type.Optional(schemas.UserId), ...schemas.paging }, schemas.closed),
      response: { 200: schemas.KeyList },
    },
    handler(request) {
      const key = keyOf(request);
      const userId = userForRead(key, request.query.user_id) ?? null;
      return answerPage(context, {
        list: "keys",
        key,
        query: request.query,
        read: (page) => engine.listKeys(userId, page),
        show: (items) => items.map(render.key),
      });
    },
  });

  api.route({
    method: "DELETE",
    url: "/keys/:id",
    config: {
      operationId: "deleteKey",
      summary: "Revoke an API key",
      tag,
      scope: "manage",
      problems: ["not_found"],
    },
    schema: {
      params: Type.Object({ id: schemas.KeyIdText }, schemas.closed),
      response: { 204: Type.Null({ description: "Revoked." }) },
    },
    async handler(request, reply) {
      const { id } = request.params;
      const seq = parseId("key", id, engine.salt);
      const key = seq === null ? null : await engine.getKey(seq as KeyId);
      if (key === null || !sees(keyOf(request), key.userId)) throw notFound("API key", id);
      if (!(await engine.deleteKey(key.id))) throw notFound("API key", id);
      context.auth.forget(key.id);
      return reply.code(204).send();
    },
  });
}

/** Whose the new key is, and what it may do: never more than the one that makes it. */
function ownerOf(maker: ApiKey, body: Static<typeof schemas.KeyCreate>): Pick<ApiKey, "userId" | "scopes"> {
  if (body.is_admin === true) {
    if (maker.userId !== null) throw new Problem("forbidden", "only an admin key makes admin keys");
    if (body.user_id !== undefined)
      throw invalid("user_id", "does not go with is_admin: an admin key is for every user");
    if (body.scopes !== undefined) throw invalid("scopes", "does not go with is_admin: an admin key has all");
    return { userId: null, scopes: SCOPES };
  }
  if (body.scopes === undefined) throw invalid("scopes", `is missing: give some of ${SCOPES.join(", ")}`);
  const userId = userForWrite(maker, body.user_id);
  const above =
    maker.userId === null ? undefined : body.scopes.find((scope) => !maker.scopes.includes(scope));
  if (above !== undefined) {
    throw new Problem("forbidden", `the API key lacks the scope ${above}, so it cannot give it away`, {
      details: { field: "scopes", scope: above },
    });
  }
  return { userId, scopes: body.scopes as readonly Scope[] };
}

function expiryOf(given: string | null | undefined, nowMs: number): number | null {
  if (given === null || given === undefined) return null;
  const expiresAt = timeField(given, "expires_at");
  if (expiresAt <= nowMs) throw invalid("expires_at", "lies in the past", given);
  return expiresAt;
}
