import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { dashboardText } from "../../scripts/generate-dashboard.ts";
import { faultsOf } from "./metric-use.ts";

interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly description?: string;
  readonly datasource?: { readonly type: string; readonly uid: string };
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly targets?: readonly {
    readonly refId: string;
    readonly expr: string;
    readonly legendFormat: string;
    readonly datasource: { readonly uid: string };
  }[];
}

const text = readFileSync(new URL("../../deploy/grafana-dashboard.json", import.meta.url), "utf8");
const dashboard = JSON.parse(text);
const panels: readonly Panel[] = dashboard.panels;
const shown = panels.filter((panel) => panel.type !== "row");

describe("the dashboard", () => {
  it("is what its script makes", () => {
    expect(text).toBe(dashboardText());
  });

  it("can be imported anywhere: the data source is a variable, and no id is another Grafana's", () => {
    expect(dashboard).not.toHaveProperty("id");
    const [source, instance] = dashboard.templating.list;
    expect(source).toMatchObject({ name: "datasource", type: "datasource", query: "prometheus" });
    expect(instance).toMatchObject({ name: "instance", type: "query", datasource: { uid: "$datasource" } });
    const uids = shown
      .flatMap((panel) => [panel, ...(panel.targets ?? [])])
      .map((one) => one.datasource?.uid);
    expect(new Set(uids)).toEqual(new Set(["$datasource"]));
  });

  it("chooses instances by a metric that there is", () => {
    const [, metric = "", label] =
      /^label_values\((\w+), (\w+)\)$/.exec(dashboard.templating.list[1].query.query) ?? [];
    expect(faultsOf(metric)).toEqual([]);
    expect(label).toBe("instance");
  });

  it("has ids and places of their own for all panels", () => {
    expect(new Set(panels.map((panel) => panel.id)).size).toBe(panels.length);
    for (const panel of panels) {
      expect(panel.gridPos.x + panel.gridPos.w, panel.title).toBeLessThanOrEqual(24);
      const over = panels.filter((other) => other.id > panel.id && isOver(panel.gridPos, other.gridPos));
      expect(over.map((other) => other.title)).toEqual([]);
    }
  });
});

describe.each(shown.map((panel) => [panel.title, panel] as const))("panel %s", (_title, panel) => {
  it("uses metrics and labels as the table has them", () => {
    const targets = panel.targets ?? [];
    expect(targets.length).toBeGreaterThan(0);
    const faults = targets.flatMap(({ expr }) => faultsOf(expr.replaceAll("$__rate_interval", "5m")));
    expect(faults).toEqual([]);
    expect(new Set(targets.map((target) => target.refId)).size).toBe(targets.length);
  });

  it("obeys the choice of instances, and says what it tells", () => {
    for (const { expr, legendFormat } of panel.targets ?? []) {
      const selectors = expr.match(/hookd_\w+/g) ?? [];
      expect(expr.split('{instance=~"$instance"')).toHaveLength(selectors.length + 1);
      const label = /\{\{(\w+)\}\}/.exec(legendFormat)?.[1];
      if (label !== undefined && label !== "instance") expect(expr).toContain(`by (${label})`);
    }
    expect(panel.description).toMatch(/\.$/);
  });
});

function isOver(a: Panel["gridPos"], b: Panel["gridPos"]): boolean {
  return a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h;
}
