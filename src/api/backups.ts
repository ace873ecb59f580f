import { Type } from "typebox";
import type { Backup } from "../engine/port.ts";
import { notFound } from "./access.ts";
import type { Api, ApiContext } from "./context.ts";
import { time, timeOrNull } from "./render.ts";
import * as schemas from "./schemas.ts";

const params = Type.Object({ name: Type.String() }, schemas.closed);
const tag = "operation";

/** Copies of the database. They stay where hookd runs: payloads of all users are in them, and no call sends them out. */
export function backupRoutes(api: Api, context: ApiContext): void {
  const { engine, log } = context;

  api.route({
    method: "POST",
    url: "/backups",
    config: {
      operationId: "createBackup",
      summary: "Begin a copy of the database; it goes on without the caller",
      tag,
      scope: "admin",
      isBodyOptional: true,
      problems: ["backup_running", "backup_exists", "disk_full", "shutting_down"],
    },
    schema: { body: schemas.BackupCreate, response: { 202: schemas.Backup } },
    async handler(request, reply) {
      const backup = await engine.createBackup(request.body.name ?? null);
      log.info({ name: backup.name, path: backup.path }, "a backup has begun");
      reply.code(202);
      return shown(backup);
    },
  });

  api.route({
    method: "GET",
    url: "/backups",
    config: {
      operationId: "listBackups",
      summary: "Backups, newest first: those made, the one being made, and recent failures",
      tag,
      scope: "admin",
    },
    schema: { response: { 200: schemas.BackupList } },
    async handler() {
      return { data: (await engine.listBackups()).map(shown) };
    },
  });

  api.route({
    method: "GET",
    url: "/backups/:name",
    config: {
      operationId: "getBackup",
      summary: "How far a backup is",
      tag,
      scope: "admin",
      problems: ["not_found"],
    },
    schema: { params, response: { 200: schemas.Backup } },
    async handler(request) {
      const backup = await engine.getBackup(request.params.name);
      if (backup === null) throw notFound("backup", request.params.name);
      return shown(backup);
    },
  });

  api.route({
    method: "DELETE",
    url: "/backups/:name",
    config: {
      operationId: "deleteBackup",
      summary: "Delete a backup; one that is being made is given up",
      tag,
      scope: "admin",
      problems: ["not_found"],
    },
    schema: { params, response: { 204: Type.Null({ description: "Deleted." }) } },
    async handler(request, reply) {
      if ((await engine.getBackup(request.params.name)) === null)
        throw notFound("backup", request.params.name);
      await engine.deleteBackup(request.params.name);
      return reply.code(204).send();
    },
  });
}

function shown(backup: Backup) {
  const { name, path, state, bytes, progress, error } = backup;
  return {
    name,
    path,
    state,
    bytes,
    progress,
    created_at: time(backup.createdAt),
    completed_at: timeOrNull(backup.completedAt),
    error,
  };
}
