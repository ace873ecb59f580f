export { safeJson, safeText } from "../lib/safe-text.ts";
