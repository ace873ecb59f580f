import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { type Check, ok, problem, warning } from "./check.ts";

const PEM = /-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g;

export const certificates: Check = {
  name: "certificates",
  about:
    "`net.ca_file`, where it is set, can be read and holds certificates (a warning where one has expired).",
  run({ config }) {
    const path = config.net.caFile;
    if (path === null) return ok("the well-known ones are trusted");
    let found: X509Certificate[];
    try {
      found = (readFileSync(path, "utf8").match(PEM) ?? []).map((pem) => new X509Certificate(pem));
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      return problem(
        `net.ca_file ${path} cannot be read: ${why}`,
        "put a PEM file there that hookd's user can read",
      );
    }
    if (found.length === 0)
      return problem(`net.ca_file ${path} holds no certificate`, "put a PEM file there");
    const expired = found.filter(({ validToDate }) => validToDate.getTime() < Date.now());
    if (expired.length > 0) {
      return warning(
        `${path}: ${expired.length} of ${found.length} certificates have expired`,
        "replace them: receivers that are vouched for by them cannot be delivered to",
      );
    }
    return ok(`the well-known ones are trusted, and ${found.length} of ${path}`);
  },
};
