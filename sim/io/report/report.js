'use strict';
// Charts over simulated time, or over the steps of a training. All share one window: a zoom in one is a zoom in all.

const report = JSON.parse(document.getElementById('data').textContent);
const tooltip = document.getElementById('tooltip');
const resetButton = document.getElementById('reset');
const margin = {top: 10, right: 12, bottom: 22, left: 52};
const everything = [0, report.end];
let view = everything;

// ---- numbers

const digits = v => {
  const a = Math.abs(v);
  return a >= 100 ? v.toFixed(0) : a >= 10 ? String(+v.toFixed(1)) : String(+v.toFixed(2));
};

const si = v => {
  const units = ['', 'k', 'M', 'G', 'T'];
  let u = 0;
  for (; Math.abs(v) >= 1000 && u < units.length - 1; ++u) v /= 1000;
  return digits(v) + units[u];
};

const seconds = v => v === 0 ? '0' : v < 1e-3 ? digits(v * 1e6) + ' µs' : v < 1 ? digits(v * 1e3) + ' ms' : digits(v) + ' s';

const format = {
  s: seconds,
  share: v => digits(100 * v) + ' %',
  '1/s': v => si(v) + '/s',
  count: si,
  number: v => v === 0 || Math.abs(v) >= 1 ? si(v) : String(+v.toPrecision(2)),
  W: v => si(v) + 'W',
};

// A point in time: "45s", "12m", "1h05m", "2d03h", to the second where `exact`.
function clock(t, exact) {
  const two = n => String(n).padStart(2, '0');
  const s = Math.round(t), d = Math.floor(s / 86400), h = Math.floor(s / 3600) % 24, m = Math.floor(s / 60) % 60;
  if (exact) return (d ? d + 'd ' : '') + h + ':' + two(m) + ':' + two(s % 60);
  if (d) return h ? d + 'd' + two(h) + 'h' : d + 'd';
  if (h) return m ? h + 'h' + two(m) : h + 'h';
  if (m) return s % 60 ? m + 'm' + two(s % 60) : m + 'm';
  return s % 60 + 's';
}

// Round steps of which about `count` fit into `span`.
function niceStep(span, count) {
  const rough = span / count, power = 10 ** Math.floor(Math.log10(rough));
  return power * [1, 2, 5, 10].find(k => k * power >= rough * 0.999);
}

function timeStep(span, count) {
  const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400];
  return steps.find(s => s >= span / count) || 86400 * Math.ceil(span / count / 86400);
}

// What the charts are drawn over.
const along = {
  time: {text: clock, step: timeStep},
  steps: {
    text: (t, exact) => exact ? Math.round(t).toLocaleString('en') + ' steps' : si(t),
    step: (span, count) => Math.max(1, niceStep(span, count)),
  },
}[report.over];

// Index of the last sample at or before t; -1 before the first.
function indexAt(times, t) {
  let low = 0, high = times.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle] <= t) low = middle + 1; else high = middle;
  }
  return low - 1;
}

// ---- drawing

function svg(parent, name, attributes, text) {
  const node = document.createElementNS('http://www.w3.org/2000/svg', name);
  for (const key in attributes) node.setAttribute(key, attributes[key]);
  if (text !== undefined) node.textContent = text;
  parent.append(node);
  return node;
}

function html(parent, name, className, text) {
  const node = document.createElement(name);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  parent.append(node);
  return node;
}

const lineClass = line => line.faint ? 'line faint' : 'line';
const stroke = line => `stroke: var(--${line.color})` + (line.dash ? `; stroke-dasharray: ${line.dash}` : '');

class Chart {
  constructor(spec) {
    this.spec = spec;
    this.format = format[spec.unit];
    this.hidden = new Set();
    const figure = html(document.getElementById(spec.small ? 'small' : 'charts'), 'figure');
    const caption = html(figure, 'figcaption', '', spec.title);
    html(caption, 'span', '', spec.note);
    this.svg = svg(figure, 'svg', {role: 'img', 'aria-label': `${spec.title} over ${report.over}`});
    // The small ones have the lines of the others.
    if (!spec.small) this.buildLegend(html(figure, 'div', 'legend'));
    this.listen();
  }

  buildLegend(legend) {
    for (const line of this.spec.lines) {
      const button = html(legend, 'button');
      button.setAttribute('aria-pressed', 'true');
      const swatch = svg(button, 'svg', {'aria-hidden': 'true'});
      svg(swatch, 'path', {d: 'M1 4H17', class: lineClass(line), style: stroke(line) + '; stroke-width: 2.5'});
      button.append(line.name);
      button.addEventListener('click', () => {
        if (!this.hidden.delete(line)) this.hidden.add(line);
        button.setAttribute('aria-pressed', String(!this.hidden.has(line)));
        this.draw();
      });
    }
    if (this.spec.omitted) html(legend, 'span', 'hint', `and ${this.spec.omitted} more in ${report.rest}`);
  }

  // Those behind the others first.
  visible() { return this.spec.lines.filter(line => !this.hidden.has(line)).sort((a, b) => b.faint - a.faint); }
  x(t) { return margin.left + (t - view[0]) / (view[1] - view[0]) * this.width; }
  y(v) { return margin.top + this.height * (this.top - v) / (this.top - this.bottom); }
  timeAt(x) { return view[0] + Math.min(1, Math.max(0, (x - margin.left) / this.width)) * (view[1] - view[0]); }

  draw() {
    const box = this.svg.getBoundingClientRect();
    this.width = Math.max(50, box.width - margin.left - margin.right);
    this.height = box.height - margin.top - margin.bottom;
    this.svg.setAttribute('viewBox', `0 0 ${box.width} ${box.height}`);  // a narrower sheet of paper shrinks it
    this.svg.replaceChildren();
    this.fitY();
    this.drawAxes();
    const clip = 'clip' + charts.indexOf(this);
    svg(svg(this.svg, 'clipPath', {id: clip}), 'rect',
        {x: margin.left, y: 0, width: this.width, height: margin.top + this.height + 1});
    const plot = svg(this.svg, 'g', {'clip-path': `url(#${clip})`});
    if (report.warmup > view[0]) this.drawWarmup(plot);
    for (const line of this.visible()) this.drawLine(plot, line);
    for (const mark of this.spec.marks) this.drawMark(plot, mark);
    this.cursor = svg(this.svg, 'g', {});
  }

  // From zero, or the smallest value, to the largest in the window; a limit is shown where it is near. Latencies of the
  // warm-up, when servers start cold, would hide all others.
  fitY() {
    let most = this.spec.fromZero ? 0 : -Infinity, least = this.spec.fromZero ? 0 : Infinity;
    const from = this.spec.unit === 's' && view[1] > report.warmup ? Math.max(view[0], report.warmup) : view[0];
    for (const {t, v} of this.visible())
      for (let i = Math.max(0, indexAt(t, from)); i < t.length && t[i] <= view[1]; ++i) {
        if (v[i] === null) continue;
        most = Math.max(most, v[i]);
        least = Math.min(least, v[i]);
      }
    if (most < least) most = least = 0;
    for (const {y} of this.spec.marks) if (y < 3 * most) most = Math.max(most, y * 1.08);
    if (this.spec.whole) most = Math.max(most, 1);
    this.step = most > least ? niceStep(most - least, this.spec.small ? 3 : 4) : Math.abs(most) || 1;
    if (this.spec.whole) this.step = Math.max(1, Math.round(this.step));
    this.bottom = Math.floor(least / this.step + 1e-9) * this.step;
    this.top = Math.max(this.bottom + this.step, Math.ceil(most / this.step - 1e-9) * this.step);
  }

  drawAxes() {
    const right = margin.left + this.width, bottom = margin.top + this.height;
    for (let i = 0; this.bottom + i * this.step <= this.top + 1e-4 * this.step; ++i) {
      const v = (Math.round(this.bottom / this.step) + i) * this.step, y = Math.round(this.y(v)) + 0.5;
      svg(this.svg, 'path', {d: `M${margin.left} ${y}H${right}`, class: i === 0 ? 'axis' : 'grid'});
      svg(this.svg, 'text', {x: margin.left - 7, y: y + 4, 'text-anchor': 'end'}, this.format(v));
    }
    const step = along.step(view[1] - view[0], this.width / 72);
    for (let t = Math.ceil(view[0] / step) * step; t <= view[1] + 1e-6; t += step) {
      const x = this.x(t), anchor = x > right - 14 ? 'end' : 'middle';
      svg(this.svg, 'path', {d: `M${x} ${bottom}v4`, class: 'axis'});
      svg(this.svg, 'text', {x: anchor === 'end' ? right : x, y: bottom + 17, 'text-anchor': anchor}, along.text(t));
    }
  }

  drawWarmup(plot) {
    const width = this.x(Math.min(report.warmup, view[1])) - margin.left;
    svg(plot, 'rect', {x: margin.left, y: margin.top, width, height: this.height, class: 'warmup'});
    if (width > 60) svg(plot, 'text', {x: margin.left + 6, y: margin.top + 13}, 'warm-up');
  }

  drawMark(plot, mark) {
    if (mark.y > this.top) return;
    const y = this.y(mark.y), right = margin.left + this.width;
    svg(plot, 'path', {d: `M${margin.left} ${y}H${right}`, class: 'mark'});
    svg(plot, 'text', {x: right - 4, y: y - 4, 'text-anchor': 'end', class: 'mark-label'}, `${mark.name} ${this.format(mark.y)}`);
  }

  // Samples without a value (no request in the interval) leave a gap; a lonely sample is a dot.
  drawLine(plot, line) {
    let path = '', area = '', run = 0;  // samples since the last gap
    const bottom = this.y(this.bottom);
    const end = () => {
      if (run === 1) path += 'h0';
      if (run > 0) area += `V${bottom}Z`;
      run = 0;
    };
    for (let i = Math.max(0, indexAt(line.t, view[0])); i < line.t.length; ++i) {
      if (line.v[i] === null) {
        end();
        continue;
      }
      const x = this.x(line.t[i]).toFixed(1), y = this.y(line.v[i]).toFixed(1);
      const to = line.step ? `H${x}V${y}` : `L${x} ${y}`;
      path += run ? to : `M${x} ${y}`;
      area += run ? to : `M${x} ${bottom}V${y}`;
      ++run;
      if (line.t[i] > view[1]) break;
    }
    end();
    if (line.fill) svg(plot, 'path', {d: area, class: 'area', style: `fill: var(--${line.color})`});
    svg(plot, 'path', {d: path, class: lineClass(line), style: stroke(line)});
  }

  // ---- looking closer

  listen() {
    let from = null;
    const at = event => event.clientX - this.svg.getBoundingClientRect().left;
    this.svg.addEventListener('pointerdown', event => {
      if (event.button !== 0) return;
      from = at(event);
      this.svg.setPointerCapture(event.pointerId);
    });
    this.svg.addEventListener('pointermove', event => {
      for (const chart of charts) chart.drawCursor(this.timeAt(at(event)));
      if (from !== null) this.drawSelection(from, at(event));
      this.showTooltip(event, this.timeAt(at(event)));
    });
    this.svg.addEventListener('pointerup', event => {
      if (from !== null && Math.abs(at(event) - from) > 6)
        zoom([this.timeAt(from), this.timeAt(at(event))].sort((a, b) => a - b));
      from = null;
    });
    const leave = () => {
      from = null;
      tooltip.hidden = true;
      for (const chart of charts) chart.cursor.replaceChildren();
    };
    this.svg.addEventListener('pointerleave', leave);
    this.svg.addEventListener('pointercancel', leave);
    this.svg.addEventListener('dblclick', () => zoom(everything));
  }

  // The sample that a line shows at t: the one in force for steps, else the nearest.
  sample(line, t) {
    let i = indexAt(line.t, t);
    if (!line.step && i + 1 < line.t.length && (i < 0 || line.t[i + 1] - t < t - line.t[i])) ++i;
    return i < 0 || line.v[i] === null ? null : {t: line.step ? t : line.t[i], v: line.v[i]};
  }

  drawCursor(t) {
    this.cursor.replaceChildren();
    const x = this.x(t);
    svg(this.cursor, 'path', {d: `M${x} ${margin.top}v${this.height}`, class: 'cross'});
    for (const line of this.visible()) {
      const s = this.sample(line, t);
      if (s && s.t >= view[0] && s.t <= view[1])
        svg(this.cursor, 'circle', {cx: this.x(s.t), cy: this.y(s.v), r: 3.5, class: 'dot', style: `fill: var(--${line.color})`});
    }
  }

  drawSelection(from, to) {
    const clamp = x => Math.min(margin.left + this.width, Math.max(margin.left, x));
    const [left, right] = [clamp(Math.min(from, to)), clamp(Math.max(from, to))];
    svg(this.cursor, 'rect', {x: left, y: margin.top, width: right - left, height: this.height, class: 'zoom'});
  }

  showTooltip(event, t) {
    tooltip.replaceChildren();
    html(tooltip, 'b', '', along.text(t, true));
    for (const line of this.visible()) {
      const s = this.sample(line, t), row = html(tooltip, 'div');
      html(row, 'i').style.background = `var(--${line.color})`;
      html(row, 'span', '', line.name);
      html(row, 'em', '', s ? this.format(s.v) : '–');
    }
    tooltip.hidden = false;
    const {width, height} = tooltip.getBoundingClientRect();
    const left = event.clientX + 16 + width > innerWidth ? event.clientX - 16 - width : event.clientX + 16;
    tooltip.style.left = Math.max(4, left) + 'px';
    tooltip.style.top = Math.max(4, Math.min(event.clientY + 12, innerHeight - height - 4)) + 'px';
  }
}

function zoom(window) {
  if (window[1] - window[0] < 1e-3) return;
  view = window;
  resetButton.hidden = view === everything;
  for (const chart of charts) chart.draw();
}

const charts = report.charts.map(spec => new Chart(spec));
if (!charts.length) html(document.getElementById('charts'), 'p', 'hint', 'No time series were recorded.');
resetButton.addEventListener('click', () => zoom(everything));
let drawnWidth = 0;
new ResizeObserver(([entry]) => {
  if (entry.contentRect.width === drawnWidth) return;
  drawnWidth = entry.contentRect.width;
  for (const chart of charts) chart.draw();
}).observe(document.getElementById('charts'));
