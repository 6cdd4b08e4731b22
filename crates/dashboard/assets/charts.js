// Charts of the last minutes of one app, drawn by uPlot, with a mark where an instance ended or was restarted.

import { $, bytes, make, number, percent, seconds, setText, short } from "./dom.js";

/* global uPlot */

const KEPT = 600;
const HEIGHT = 150;
const MARKS = new Set(["exited", "renewing", "start_failed", "blocked", "health_failed"]);

const CHARTS = [
  { title: "Traffic", series: [["rate", "per second"], ["waiting", "waiting"]], form: number, ticks: short },
  { title: "Time", series: [["p50", "half within"], ["p99", "99 of 100 within"]], form: seconds },
  { title: "CPU", series: [["cpu", "of one processor"]], form: percent },
  { title: "Memory", series: [["memory", "resident"]], form: bytes, steps: powersOfTwo() },
];
// Ticks of bytes at whole kilobytes and megabytes.
function powersOfTwo() {
  return Array.from({ length: 45 }, (_, power) => 2 ** power);
}

const COLUMNS = ["rate", "waiting", "p50", "p99", "cpu", "memory"];

export class Charts {
  constructor() {
    this.at = [];
    this.columns = {};
    this.marks = [];
    this.charts = CHARTS.map((kind) => this.make(kind));
    $("charts").append(...this.charts.map((chart) => chart.figure));
    new ResizeObserver(() => this.resize()).observe($("charts"));
    const redraw = () => {
      for (const chart of this.charts) this.remake(chart);
    };
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
    this.clear();
  }

  make(kind) {
    const figure = make("figure", "chart");
    const title = make("b", "", kind.title);
    const values = kind.series.map(([, label], at) => {
      const value = make("b");
      const series = make("span", kind.series.length > 1 ? `series-${at + 1}` : "", value, ` ${label}`);
      return { series, value };
    });
    const caption = make("figcaption", "", title, ...values.map((it) => it.series));
    const canvas = make("div");
    // What is drawn stands in words above it, and in the figures.
    canvas.setAttribute("aria-hidden", "true");
    figure.append(caption, canvas);
    return { kind, figure, canvas, values, title, plot: null };
  }

  // What the times are of: of responses, or of waiting for a worker.
  name(unit) {
    setText(this.charts[0].title, unit === "requests" ? "Requests" : "Connections");
    setText(this.charts[1].title, unit === "requests" ? "Time to first byte" : "Time in the queue");
  }

  clear() {
    this.at = [];
    for (const column of COLUMNS) this.columns[column] = [];
    this.marks = [];
    this.draw();
  }

  // What the server has kept.
  load(figures) {
    this.at = figures.at.map((at) => at / 1000);
    for (const column of COLUMNS) this.columns[column] = figures[column];
    this.draw();
  }

  push(at, figures) {
    const second = at / 1000;
    if (this.at.length && second <= this.at[this.at.length - 1]) return;
    this.at.push(second);
    for (const column of COLUMNS) this.columns[column].push(figures[column] ?? null);
    if (this.at.length > KEPT) {
      this.at.shift();
      for (const column of COLUMNS) this.columns[column].shift();
    }
    this.draw();
  }

  mark(event) {
    if (MARKS.has(event.event)) this.marks.push(event.at / 1000);
    if (this.marks.length > 500) this.marks.shift();
  }

  draw() {
    for (const chart of this.charts) {
      if (!chart.plot) this.remake(chart);
      const last = this.at.length - 1;
      for (const [at, [column]] of chart.kind.series.entries()) {
        const value = last < 0 ? null : this.columns[column][last];
        setText(chart.values[at].value, value === null ? "–" : chart.kind.form(value));
      }
      chart.plot?.setData(this.data(chart));
    }
  }

  data(chart) {
    return [this.at, ...chart.kind.series.map(([column]) => this.columns[column])];
  }

  resize() {
    for (const chart of this.charts) {
      const width = chart.canvas.clientWidth;
      if (width > 0 && chart.plot && chart.plot.width !== width) {
        chart.plot.setSize({ width, height: HEIGHT });
      } else if (width > 0 && !chart.plot) {
        this.remake(chart);
      }
    }
  }

  remake(chart) {
    const width = chart.canvas.clientWidth;
    // It is not shown now.
    if (width === 0) return;
    chart.plot?.destroy();
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    const axis = { stroke: colour("--quiet"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false } };
    const form = (_, values) => values.map((value) => (value === null ? "" : (chart.kind.ticks ?? chart.kind.form)(value)));
    const time = (_, values) => values.map((at) => clockOf(at));
    const options = {
      width,
      height: HEIGHT,
      legend: { show: false },
      cursor: { show: false },
      scales: {
        x: { time: true },
        y: { range: (_, least, most) => [0, most > 0 ? most * 1.1 : 1] },
      },
      axes: [
        { ...axis, values: time, space: 70, size: 28 },
        { ...axis, values: form, size: 62, space: 32, ...(chart.kind.steps && { incrs: chart.kind.steps }) },
      ],
      series: [
        {},
        ...chart.kind.series.map((_, at) => ({
          stroke: colour(`--series-${at + 1}`),
          width: 1.5,
          points: { show: false },
          spanGaps: false,
        })),
      ],
      hooks: { draw: [(plot) => this.drawMarks(plot, colour("--mark"))] },
    };
    chart.plot = new uPlot(options, this.data(chart), chart.canvas);
  }

  drawMarks(plot, colour) {
    const { min, max } = plot.scales.x;
    const { top, height } = plot.bbox;
    plot.ctx.save();
    plot.ctx.strokeStyle = colour;
    plot.ctx.globalAlpha = 0.6;
    plot.ctx.lineWidth = devicePixelRatio;
    plot.ctx.setLineDash([3 * devicePixelRatio, 3 * devicePixelRatio]);
    for (const at of this.marks) {
      if (at < min || at > max) continue;
      const x = Math.round(plot.valToPos(at, "x", true));
      plot.ctx.beginPath();
      plot.ctx.moveTo(x, top);
      plot.ctx.lineTo(x, top + height);
      plot.ctx.stroke();
    }
    plot.ctx.restore();
  }
}

function clockOf(at) {
  return new Date(at * 1000).toLocaleTimeString("en-GB");
}
