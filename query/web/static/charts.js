// Draws the charts of a page from the figures that their tables tell too. Without this script the tables are there alone.
"use strict";
(() => {
  const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const zone = document.documentElement.dataset.zone;
  const language = document.documentElement.lang;
  const figure = new Intl.NumberFormat(language);
  const DAYS = [1, 2, 7, 14].map((days) => days * 86400);

  const options = (place, chart, words) => {
    const moment = new Intl.DateTimeFormat(language, {
      timeZone: chart.step < 86400 ? zone : "UTC",
      dateStyle: "medium",
      ...(chart.step < 86400 ? { timeStyle: "short" } : {}),
    });
    const isDaily = chart.step >= 86400;
    const mark = new Intl.DateTimeFormat(language, {
      timeZone: isDaily ? "UTC" : zone,
      ...(isDaily ? { month: "short", day: "numeric" } : { weekday: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23" }),
    });
    const marked = (_plot, marks) => marks.map((seconds) => mark.format(new Date(seconds * 1000)));
    const axis = { stroke: style("quiet"), grid: { stroke: style("line"), width: 1 }, ticks: { stroke: style("line"), width: 1 } };
    const last = chart.times.length - 1;
    const tell = (plot) => {
      const at = plot.cursor.idx;
      words.textContent =
        at === null || at === undefined
          ? "\u00a0"
          : `${moment.format(new Date(chart.times[Math.min(at, last)] * 1000))} · ${chart.series
              .map((one) => `${one.label} ${figure.format(one.figures[Math.min(at, last)])}`)
              .join(" · ")}`;
    };
    return {
      width: place.clientWidth,
      height: 200,
      padding: [null, 32, null, null], // half of the last mark
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), isDaily ? "UTC" : zone),
      legend: { show: false },
      cursor: { drag: { x: false, y: false }, points: { size: 6 } },
      scales: { y: { range: (_plot, _least, most) => [0, Math.max(most, 1) * 1.05] } },
      axes: [
        { ...axis, size: 34, space: isDaily ? 60 : 90, values: marked, ...(isDaily ? { incrs: DAYS } : {}) },
        { ...axis, size: 60, values: (_plot, marks) => marks.map((one) => (Number.isInteger(one) ? figure.format(one) : "")) },
      ],
      series: [
        {},
        ...chart.series.map((one) => ({
          label: one.label,
          stroke: style(one.kind),
          width: 1.5,
          paths: uPlot.paths.stepped({ align: 1 }),
          points: { show: false },
        })),
      ],
      hooks: { setCursor: [tell] },
    };
  };

  const draw = (box) => {
    const place = box.querySelector(".plot");
    const chart = JSON.parse(box.dataset.chart);
    box.hidden = false;
    place.replaceChildren();
    const words = box.querySelector(".chart-at");
    words.textContent = "\u00a0";
    // The last step is as wide as the others.
    const times = [...chart.times, chart.times.at(-1) + chart.step];
    const figures = chart.series.map((one) => [...one.figures, one.figures.at(-1)]);
    const plot = new uPlot(options(place, chart, words), [times, ...figures], place);
    box.plot = plot;
  };

  const all = [...document.querySelectorAll("figure[data-chart]")];
  const drawAll = () => all.forEach(draw);
  drawAll();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  new ResizeObserver(() => {
    for (const box of all) {
      const width = box.querySelector(".plot").clientWidth;
      if (box.plot && width && width !== box.plot.width) {
        box.plot.setSize({ width, height: 200 });
      }
    }
  }).observe(document.body);
})();
