"use strict";
(function () {
  const charts = JSON.parse(document.getElementById("data").textContent);
  const root = document.documentElement;
  const edge = "\u200b";  // label of a band's edges, which the legend leaves out
  const large = 340, small = 200, printed = 330, printedLarge = 680;
  let drawn = [];

  function remembered(value) {
    try {  // which a browser may refuse for files
      if (value) localStorage.setItem("footlight-theme", value);
      return localStorage.getItem("footlight-theme");
    } catch (error) {
      return null;
    }
  }

  function isDark() {
    if (root.dataset.theme) return root.dataset.theme === "dark";
    return matchMedia("(prefers-color-scheme: dark)").matches;
  }

  function color(name) {
    return getComputedStyle(root).getPropertyValue("--" + name).trim();
  }

  function brief(value) {
    if (value === null || value === undefined) return "–";
    const size = Math.abs(value);
    if (size >= 1e6) return +(value / 1e6).toPrecision(4) + " M";
    if (size >= 1e4) return +(value / 1e3).toPrecision(4) + " k";
    if (size > 0 && size < 1e-3) return value.toExponential(1);
    return String(+value.toPrecision(4));
  }

  // A translucent version of one of the page's colors, which are all of the form #rrggbb.
  function faint(text, share) {
    return text + Math.round(share * 255).toString(16).padStart(2, "0");
  }

  function axis(extra) {
    return Object.assign({
      stroke: color("soft"), font: "11px system-ui, sans-serif", labelFont: "11px system-ui, sans-serif",
      grid: {stroke: color("grid"), width: 1}, ticks: {stroke: color("grid"), width: 1},
      values: (plot, ticks) => ticks.map(brief),
    }, extra);
  }

  function widest(plot, texts) {
    return 16 + 6.2 * Math.max(2, ...(texts || []).map((text) => text.length));
  }

  // A single level is shown above zero, or below; other values are padded by a tenth of their range.
  function range(plot, min, max) {
    if (min === null) return [0, 1];
    if (min < max) return uPlot.rangeNum(min, max, 0.1, true);
    return min === 0 ? [0, 1] : [Math.min(0, 1.2 * min), Math.max(0, 1.2 * min)];
  }

  function drawMarks(marks) {
    return (plot) => {
      const context = plot.ctx, ratio = devicePixelRatio, box = plot.bbox;
      context.save();
      context.font = 11 * ratio + "px system-ui, sans-serif";
      marks.forEach((mark, index) => {
        const x = plot.valToPos(mark.step, "x", true);
        if (x < box.left || x > box.left + box.width) return;
        context.strokeStyle = context.fillStyle = color(mark.severity);
        context.lineWidth = ratio;
        context.setLineDash([4 * ratio, 3 * ratio]);
        context.beginPath();
        context.moveTo(x, box.top);
        context.lineTo(x, box.top + box.height);
        context.stroke();
        const right = x > box.left + box.width / 2;
        const room = (right ? x - box.left : box.left + box.width - x) - 8 * ratio;
        let text = mark.text;
        while (text.length > 4 && context.measureText(text).width > room) text = text.slice(0, -2);
        if (text !== mark.text) text += "…";
        context.textAlign = right ? "right" : "left";
        context.fillText(text, x + (right ? -4 : 4) * ratio, box.top + (12 + 13 * (index % 6)) * ratio);
      });
      context.restore();
    };
  }

  function makeSeries(chart) {
    const series = [{label: chart.xlabel, value: (plot, value) => brief(value)}];
    const data = [chart.x], bands = [];
    const isLone = (values) => values.filter((value) => value !== null).length === 1;
    chart.series.forEach((line) => {
      const stroke = color("c" + (line.color < 0 ? "gray" : line.color));
      series.push({
        label: line.label, spanGaps: true, value: (plot, value) => brief(value),
        stroke: line.style === "thin" ? faint(stroke, line.color < 0 ? 1 : 0.65) : stroke,
        width: line.style === "thin" ? 1 : 1.8, dash: line.style === "dashed" ? [7, 4] : undefined,
        points: {show: isLone(line.y), size: 7},
      });
      data.push(line.y);
      if (!line.low) return;
      const at = series.length;
      for (const values of [line.low, line.high]) {
        series.push({label: edge, spanGaps: true, width: 0, points: {show: false}, stroke: "transparent"});
        data.push(values);
      }
      bands.push({series: [at + 1, at], fill: faint(stroke, 0.2)});
    });
    return {series, data, bands};
  }

  // The edges of a band are series, too: they follow their curve, and have no entry in the legend.
  // Gray curves are drawn first, below the others, but are named last.
  function arrangeLegend(chart) {
    return (plot) => {
      let place = 0;
      plot.root.querySelectorAll(".u-series").forEach((row, index) => {
        if (index === 0) return;
        if (plot.series[index].label === edge) row.style.display = "none";
        else if (chart.series[place++].color < 0) row.parentNode.append(row);
      });
    };
  }

  function followCurve(plot, index, options) {
    if (index === null || options.show === undefined) return;
    for (let at = index + 1; at < plot.series.length && plot.series[at].label === edge; at++) {
      plot.setSeries(at, {show: options.show}, false);
    }
  }

  // Two fingers stretch the steps between them, in all charts of the same axis. As after a zoom with
  // the mouse, a double tap shows all steps again.
  function stretch(chart) {
    return (plot) => {
      let held = null;
      const touched = (event) => {
        const left = plot.over.getBoundingClientRect().left;
        return [...event.targetTouches].map((touch) => touch.clientX - left).sort((a, b) => a - b);
      };
      const hold = (event) => {
        held = event.targetTouches.length === 2 ? touched(event).map((x) => plot.posToVal(x, "x")) : null;
      };
      plot.over.addEventListener("touchstart", hold, {passive: true});
      plot.over.addEventListener("touchend", hold, {passive: true});
      plot.over.addEventListener("touchcancel", hold, {passive: true});
      plot.over.addEventListener("touchmove", (event) => {
        if (!held || event.targetTouches.length !== 2) return;
        event.preventDefault();
        const [left, right] = touched(event), apart = right - left, steps = held[1] - held[0];
        if (apart < 10 || !(steps > 0)) return;
        const min = held[0] - left * steps / apart;
        const max = min + plot.over.clientWidth * steps / apart;
        for (const each of drawn) {
          if (each.chart.xlabel !== chart.xlabel) continue;
          const all = each.plot.data[0];
          const [first, last] = [Math.max(min, all[0]), Math.min(max, all[all.length - 1])];
          if (first < last) each.plot.setScale("x", {min: first, max: last});
        }
      }, {passive: false});
    };
  }

  function draw(place, widthInPrint) {
    const chart = charts[+place.dataset.chart];
    place.replaceChildren();
    if (!chart.x.length) return;
    const {series, data, bands} = makeSeries(chart);
    const width = widthInPrint ? (chart.large ? printedLarge : printed) : Math.max(place.clientWidth, 240);
    const narrow = width < 480;
    const plot = new uPlot({
      width, height: chart.large ? (narrow ? 250 : large) : small,
      scales: {x: {time: false}, y: {range}}, series, bands, legend: {live: chart.series.length <= 16},
      cursor: {sync: {key: chart.xlabel, scales: ["x", null]}, focus: {prox: 16}}, focus: {alpha: 0.35},
      axes: [axis({label: chart.xlabel, labelSize: 16, size: 28, space: 60}), axis({size: widest})],
      hooks: {draw: [drawMarks(chart.marks)], ready: [arrangeLegend(chart), stretch(chart)], setSeries: [followCurve]},
    }, data, place);
    drawn.push({chart, plot, place, width});
  }

  function drawAll(inPrint) {
    drawn.forEach((each) => each.plot.destroy());
    drawn = [];
    document.querySelectorAll(".plot").forEach((place) => draw(place, inPrint));
  }

  document.getElementById("theme").addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    remembered(root.dataset.theme);
    drawAll(false);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawAll(false));

  let waiting = 0;
  addEventListener("resize", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => drawn.forEach((each) => {
      const width = Math.max(each.place.clientWidth, 240);
      if (width !== each.width) {
        each.width = width;
        each.plot.setSize({width, height: each.plot.height});
      }
    }), 150);
  });

  let before;
  addEventListener("beforeprint", () => {
    before = root.dataset.theme;
    root.dataset.theme = "light";
    document.querySelectorAll("details").forEach((each) => { each.open = true; });
    drawAll(true);
  });
  addEventListener("afterprint", () => {
    if (before) root.dataset.theme = before;
    else delete root.dataset.theme;
    drawAll(false);
  });

  const chosen = remembered();
  if (chosen === "dark" || chosen === "light") root.dataset.theme = chosen;
  drawAll(false);
})();
