import { backlog } from "./scenarios/backlog.ts";
import { batch } from "./scenarios/batch.ts";
import { broadcast } from "./scenarios/broadcast.ts";
import { flood } from "./scenarios/flood.ts";
import { fullDisk } from "./scenarios/full-disk.ts";
import { hot } from "./scenarios/hot.ts";
import { isolation } from "./scenarios/isolation.ts";
import { max } from "./scenarios/max.ts";
import { outage } from "./scenarios/outage.ts";
import { peak } from "./scenarios/peak.ts";
import { readers } from "./scenarios/readers.ts";
import { registry } from "./scenarios/registry.ts";
import { retention } from "./scenarios/retention.ts";
import { slowDisk } from "./scenarios/slow-disk.ts";
import { steady } from "./scenarios/steady.ts";
import { tail } from "./scenarios/tail.ts";
import type { Scenario } from "./stage.ts";

/** All there are, in the order in which they are told. */
export const SCENARIOS: readonly Scenario[] = [
  steady,
  max,
  batch,
  isolation,
  flood,
  outage,
  backlog,
  peak,
  hot,
  broadcast,
  registry,
  retention,
  readers,
  tail,
  slowDisk,
  fullDisk,
];
