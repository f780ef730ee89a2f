/** Figures of evaluations as SVG, drawn without a browser. The only importer of echarts. */
import { CustomChart, type CustomSeriesOption, LineChart, ScatterChart } from "echarts/charts";
import { GridComponent, LegendComponent, TitleComponent } from "echarts/components";
import { init, use } from "echarts/core";
import { LabelLayout } from "echarts/features";
import { SVGRenderer } from "echarts/renderers";
import type { Interval } from "../base/statistics.ts";

use([
  LineChart,
  ScatterChart,
  CustomChart,
  GridComponent,
  LegendComponent,
  TitleComponent,
  LabelLayout,
  SVGRenderer,
]);

export interface Point {
  readonly x: number;
  readonly y: Interval;
  /** Beside the point. */
  readonly label?: string;
}

export interface Series {
  readonly name: string;
  /** Joined by a line, in this order; else each stands for itself. */
  readonly isLine: boolean;
  readonly points: readonly Point[];
}

export interface Plot {
  readonly title: string;
  readonly x: string;
  readonly y: string;
  readonly series: readonly Series[];
}

const SIZE = { width: 960, height: 720 };
const INK = "#30343b";
const COLOURS = ["#3b6fb6", "#c2571a", "#2f8f5b", "#8d4fa8", "#8a6d1f"];

interface Extent {
  readonly min: number;
  readonly max: number;
}

/** x is logarithmic; intervals are bars through the points. */
export function svgOf({ title, x, y, series }: Plot): string {
  const chart = init(null, null, { renderer: "svg", ssr: true, ...SIZE });
  try {
    chart.setOption({
      ...looks(title),
      legend: { top: 40, left: 16, itemGap: 32, data: series.map(({ name }) => name) },
      grid: { left: 64, right: 140, top: 80, bottom: 56 },
      xAxis: {
        type: "log",
        name: x,
        ...axisText,
        nameGap: 32,
        axisLabel: { ...axisText.axisLabel, showMinLabel: false, showMaxLabel: false },
        axisLine: { onZero: false },
        min: ({ min }: Extent) => min / 1.3,
        max: ({ max }: Extent) => max * 1.3,
      },
      yAxis: { type: "value", scale: true, name: y, ...axisText, nameGap: 44 },
      series: series.flatMap((each, i) => [marks(each), bars(each, COLOURS[i % COLOURS.length]!)]),
    });
    return chart.renderToSVGString();
  } finally {
    chart.dispose();
  }
}

/** Lines over a linear x, without marks: what changes from step to step. */
export interface Curves {
  readonly title: string;
  readonly x: string;
  readonly series: readonly {
    readonly name: string;
    readonly points: readonly (readonly [x: number, y: number])[];
  }[];
}

const CURVES_SIZE = { width: 620, height: 300 };

export function curvesSvg({ title, x, series }: Curves): string {
  const chart = init(null, null, { renderer: "svg", ssr: true, ...CURVES_SIZE });
  try {
    chart.setOption({
      ...looks(title),
      legend: { top: 36, left: 16, itemGap: 24, data: series.map(({ name }) => name) },
      grid: { left: 64, right: 24, top: 72, bottom: 48 },
      xAxis: { type: "value", min: "dataMin", max: "dataMax", name: x, ...axisText, nameGap: 28 },
      yAxis: { type: "value", scale: true, axisLabel: axisText.axisLabel },
      series: series.map(({ name, points }) => ({
        name,
        type: "line" as const,
        showSymbol: points.length < 3,
        lineStyle: { width: 1.5 },
        data: points.map((point) => [...point]),
      })),
    });
    return chart.renderToSVGString();
  } finally {
    chart.dispose();
  }
}

const looks = (title: string) => ({
  animation: false,
  backgroundColor: "#ffffff",
  color: COLOURS,
  textStyle: { color: INK, fontFamily: "sans-serif" },
  title: { text: title, left: 16, top: 12, textStyle: { color: INK, fontSize: 16 } },
});

const axisText = {
  nameLocation: "middle",
  nameTextStyle: { color: INK },
  axisLabel: { color: INK },
} as const;

function marks({ name, isLine, points }: Series) {
  return {
    name,
    type: isLine ? ("line" as const) : ("scatter" as const),
    symbol: "circle",
    symbolSize: 6,
    data: points.map((point) => ({ name: point.label ?? "", value: [point.x, point.y.estimate] })),
    label: { show: true, position: "right" as const, formatter: "{b}", color: INK, fontSize: 11 },
    labelLayout: { moveOverlap: "shiftY" as const, hideOverlap: true },
  };
}

/** From the lower to the upper end of each interval. */
function bars({ name, points }: Series, colour: string): CustomSeriesOption {
  return {
    name,
    type: "custom",
    z: 1,
    data: points.map(({ x, y }) => [x, y.low, y.high]),
    renderItem: (_, api) => {
      const [left, low] = api.coord([api.value(0), api.value(1)]) as [number, number];
      const [, high] = api.coord([api.value(0), api.value(2)]) as [number, number];
      return {
        type: "line",
        shape: { x1: left, y1: low, x2: left, y2: high },
        style: { stroke: colour, lineWidth: 1.5, opacity: 0.55 },
      };
    },
  };
}
