import { addressRules } from "./address-rules.ts";
import { archive } from "./archive.ts";
import { certificates } from "./certificates.ts";
import type { Check } from "./check.ts";
import { clock } from "./clock.ts";
import { collector } from "./collector.ts";
import { daemon } from "./daemon.ts";
import { dataDirectory } from "./data-dir.ts";
import { database } from "./database.ts";
import { diskSpace } from "./disk-space.ts";
import { diskSync } from "./disk-sync.ts";
import { fileSystem } from "./file-system.ts";
import { keyFiles } from "./key-files.ts";
import { listenAddress } from "./listen-address.ts";
import { masterKey } from "./master-key.ts";
import { nameServers } from "./name-servers.ts";
import { openFiles } from "./open-files.ts";
import { reach } from "./reach.ts";
import { resources } from "./resources.ts";
import { versions } from "./versions.ts";

/** What is made first, and alone where it fails: every other check needs the configuration. */
export const CONFIGURATION = {
  name: "configuration",
  about: "The file, the environment (HOOKD_*) and the flags can be used. The rest is checked once they can.",
};

/** All others, in their order: what others rest on comes first. */
export const CHECKS: readonly Check[] = [
  versions,
  dataDirectory,
  fileSystem,
  keyFiles,
  database,
  masterKey,
  diskSpace,
  diskSync,
  openFiles,
  resources,
  clock,
  nameServers,
  addressRules,
  certificates,
  listenAddress,
  daemon,
  archive,
  collector,
  reach,
];
