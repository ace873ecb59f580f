// Says on standard error which packages' modules are loaded, in every thread.
import { writeSync } from "node:fs";
import { registerHooks } from "node:module";

registerHooks({
  load(url, context, next) {
    const name = /.*\/node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(url)?.[1];
    if (name === "fastify" || name?.startsWith("@opentelemetry/")) writeSync(2, `loaded ${name}\n`);
    return next(url, context);
  },
});
