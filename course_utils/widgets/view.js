// Draws scenes (scene.py) and holds the controls: live in a notebook, where Python computes each
// frame, or from a recording on a web page, where there is no Python. No libraries.
//
// From above to below: the style · data: what arrives and how it changes · drawing: marks, axes,
// panels · the stage: picture, sentence, verdict · controls · live, in a notebook · playback, on a page.

const STYLE = `
:host { display: block; container-type: inline-size; }
:host, .root { --ink: #1c1e21; --soft: #5f6670; --line: color-mix(in srgb, var(--ink) 22%, transparent); --fill: #ffffff; --field: #ffffff;
  --blue: #0072B2; --vermillion: #c45000; --green: #00855f; --purple: #B0508A; --sky: #56B4E9; --grey: #6b7280;
  --low: #8fc3e6; --mid: #fbfbfb; --high: #f5bd85; --accent: #0072B2; --on-accent: #fff; }
.root.dark { --ink: #e8eaed; --soft: #a6adb7; --fill: #23262b; --field: #1f2226;
  --blue: #5bb8f0; --vermillion: #ff8f4a; --green: #2fc798; --purple: #e59ac4; --sky: #56B4E9; --grey: #9aa1ab;
  --low: #1f5f8c; --mid: #1a1c20; --high: #96551d; --accent: #5bb8f0; --on-accent: #10161c; }
* { box-sizing: border-box; }
.root { --text: 13px; color: var(--ink); font: var(--text)/1.45 system-ui, -apple-system, "Segoe UI",
  Roboto, "Helvetica Neue", sans-serif; display: grid; grid-template-columns: minmax(0, 1fr); gap: .9em 1.6em; padding: .3em 0 .5em; max-width: 1400px; }
.root.present { --text: var(--type, clamp(16px, 1.25vw, 22px)); max-width: none; }
@container (min-width: 860px) {
  .root.steered { grid-template-columns: minmax(0, 1fr) minmax(14em, 17em); grid-template-rows: auto 1fr; }
  .root.steered .controls { grid-column: 2; grid-row: 1 / span 2; }
  .root.slide { grid-template-columns: 4fr 3fr; }
  .root.slide > :first-child { grid-column: 1 / -1; } .root.slide .controls { order: 1; }
  .root.slide.rows { grid-template-columns: minmax(0, 5fr) minmax(0, 3fr); grid-template-rows: auto 1fr; }
  .root.slide.rows > :first-child { grid-column: 1; grid-row: 1 / span 2; } .root.slide.rows .controls { order: 0; }
  .root.slide .trying { min-height: 8.2em; } .root.slide .trying:has([open]) > p { display: none; } }
.panels { display: flex; flex-wrap: wrap; gap: .6em 1.2em; overflow-x: auto; }
.break { flex-basis: 100%; height: 0; }
figure { margin: 0; display: flex; flex-direction: column; min-width: 0; max-width: 100%; }
figcaption, .keys { display: flex; flex-wrap: wrap; gap: 0 1em; align-items: baseline; }
figcaption { margin-bottom: .35em; }
figcaption b { font-weight: 600; }
.key { white-space: nowrap; color: var(--soft); }
.key svg { height: .9em; vertical-align: -.1em; margin-right: .35em; overflow: visible; }
.plot { position: relative; margin-top: auto; }
.plot canvas, .plot svg.all { position: absolute; }
.plot svg.all { inset: 0; width: 100%; height: 100%; }
svg text { font-family: inherit; fill: var(--ink); }
svg .tick { fill: var(--soft); font-size: .92em; }
.said { margin-top: .5em; min-height: 2.9em; font-variant-numeric: tabular-nums; }
.verdict { margin-top: .45em; padding: .35em .7em; border-left: 4px solid var(--c); font-weight: 600;
  color: var(--c); background: color-mix(in srgb, var(--c) 9%, transparent); border-radius: 0 4px 4px 0; }
.alert { margin-top: .45em; color: var(--vermillion); font-weight: 600; } .alert:empty { display: none; }
.controls { display: flex; flex-direction: column; gap: .55em; min-width: 0; }
.buttons { display: flex; flex-wrap: wrap; gap: .45em; margin-bottom: .3em; }
button, select, input { font: inherit; color: inherit; accent-color: var(--accent); }
button, select, input[type=number], input[type=text] { background: var(--field); border: 1px solid var(--line);
  border-radius: 5px; padding: .28em .6em; min-height: 2.1em; }
button { cursor: pointer; } button:hover { border-color: var(--accent); } button:disabled { opacity: .5; cursor: default; }
button.play { background: var(--accent); color: var(--on-accent); border-color: var(--accent); font-weight: 600; min-width: 7em; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
.control { display: grid; grid-template-columns: minmax(0, 1fr) 5.6em; gap: .05em .5em; align-items: center; }
.control label { color: var(--soft); align-self: end; grid-column: 1 / -1; }
.control input[type=range] { width: 100%; margin: 0; min-height: 1.9em; }
.control input[type=number] { width: 100%; padding: .2em .35em; min-height: 1.9em; font-variant-numeric: tabular-nums; }
.control select { grid-column: 1 / -1; width: 100%; min-width: 0; }
.root.present .choice { display: flex; flex-wrap: wrap; } .root.present .choice label { align-self: center; } .root.present .choice select { flex: 1 1 8em; }
.root.present .control input { min-height: 1.6em; padding-block: 0; }
.control.switch { grid-template-columns: auto 1fr; } .control.switch label { grid-column: 2; color: var(--ink); }
.control.switch input { width: 1.15em; height: 1.15em; margin: 0; }
.tries { display: flex; flex-wrap: wrap; gap: .35em; align-items: center; }
.tries button { min-width: 2.3em; } .tries button[aria-pressed=true] { border-color: var(--accent); box-shadow: inset 0 0 0 1px var(--accent); font-weight: 600; }
.trying { border-left: 3px solid var(--line); padding: .1em 0 .1em .8em; margin-top: .5em; max-width: 60em; }
.trying p { margin: 0 0 .45em; } .trying code { font-size: .95em; padding: 0 .25em; background: color-mix(in srgb, var(--soft) 14%, transparent); border-radius: 3px; }
details { color: var(--soft); margin-top: .2em; } summary { cursor: pointer; }
details input { width: 100%; margin-top: .35em; color: var(--ink); }
@container (max-width: 859.9px) { .controls .fields { display: grid; grid-template-columns: repeat(auto-fill, minmax(15em, 1fr)); gap: .5em 1.4em; } }
@container (min-width: 860px) { .controls .fields { display: flex; flex-direction: column; gap: .5em; } .root.present .fields { gap: .3em; } }
@container (max-width: 520px) { .root { --text: 14px; } }
.tape { display: grid; grid-template-columns: auto minmax(0, 1fr) 4.5em; gap: .6em; align-items: center; }
.tape input { width: 100%; } .tape output { color: var(--soft); font-variant-numeric: tabular-nums; text-align: right; }
.given { display: flex; flex-wrap: wrap; gap: .1em 1.2em; color: var(--soft); } .given b { color: var(--ink); font-weight: 600; }
@media print { .controls { display: none; } }
`

// --- Data: a tree, whose arrays are views on bytes of their own ---

const floats = a => a._floats ??= new Float32Array(a.buffer)

/** The bytes in a buffer of their own: those of a message are not aligned, and hold other things. */
function own(view) {
  return new DataView(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength))
}

function ownAll(tree) {
  for (const [key, value] of Object.entries(tree ?? {}))
    if (ArrayBuffer.isView(value)) tree[key] = own(value)
    else if (typeof value === "object") ownAll(value)
}

function joined(a, b) {
  const all = new Uint8Array(a.byteLength + b.byteLength)
  all.set(new Uint8Array(a.buffer))
  all.set(new Uint8Array(b.buffer, b.byteOffset, b.byteLength), a.byteLength)
  return new DataView(all.buffer)
}

/** What `changes` in scene.py found: an item without a value takes the next of the buffers. */
export function apply(scene, changes, buffers) {
  let next = 0
  for (const [path, op, ...value] of changes) {
    if (!path.length) continue // the whole, which is there
    const last = path.at(-1)
    let node = scene
    for (const key of path.slice(0, -1)) node = node[key]
    if (op === "+") node[last] = joined(node[last], buffers[next++])
    else node[last] = value.length ? value[0] : own(buffers[next++])
  }
}

// --- Drawing ---

const RADIUS = { o: 0.5, s: 0.44, "^": 0.58, v: 0.58, D: 0.58, P: 0.5 }
const SHAPES = {
  o: (x, y, r) => `M${x - r},${y}a${r},${r} 0 1,0 ${2 * r},0a${r},${r} 0 1,0 ${-2 * r},0`,
  s: (x, y, r) => `M${x - r},${y - r}h${2 * r}v${2 * r}h${-2 * r}z`,
  "^": (x, y, r) => `M${x},${y - r}l${r},${1.8 * r}h${-2 * r}z`,
  v: (x, y, r) => `M${x},${y + r}l${r},${-1.8 * r}h${-2 * r}z`,
  D: (x, y, r) => `M${x},${y - r}l${r},${r}l${-r},${r}l${-r},${-r}z`,
  P: (x, y, r) => `M${x - r},${y}h${2 * r}M${x},${y - r}v${2 * r}`,
}
const DASHES = { "-": "", "--": "7 4", ":": "1.5 3.5", "-.": "8 3.5 1.5 3.5" }
// From the lowest value to the highest
const COLOR_MAPS = { confidence: ["--low", "--mid", "--high"], counts: ["--fill", "--low", "--blue"] }
const escaped = text => String(text).replace(/[&<>"]/g, c => `&#${c.charCodeAt(0)};`)
const px = number => Math.round(number * 10) / 10
const color = name => `var(--${name})`
const SUPERSCRIPT = "⁰¹²³⁴⁵⁶⁷⁸⁹"

/** From data to pixels: `size` of them, counted from the other end if `flip`. */
function scaled(axis, size, flip) {
  const f = axis.log ? v => Math.log10(Math.max(v, 1e-300)) : v => v
  const low = f(axis.low), span = f(axis.high) - low
  return v => { const at = (f(v) - low) / span * size; return flip ? size - at : at }
}

/** [place, text] for an axis of `size` pixels, of which each text takes `each`. */
export function ticks(axis, size, each) {
  const [low, high] = [axis.low, axis.high].sort((a, b) => a - b)
  if (axis.ticks) return Object.entries(axis.ticks).map(([v, text]) => [Number(v), text]).filter(([v]) => v >= low && v <= high)
  const room = Math.max(2, size / each)
  if (!axis.log) {
    const rough = (axis.high - axis.low) / room, ten = 10 ** Math.floor(Math.log10(rough))
    const step = ten * [1, 2, 5, 10].find(m => m * ten >= rough * 0.85)
    const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9)), found = []
    for (let i = Math.ceil(axis.low / step - 1e-9); i * step <= axis.high + step * 1e-9; i++)
      found.push([i * step, (i * step).toFixed(digits).replace("-", "−")])
    return found
  }
  const from = Math.ceil(Math.log10(axis.low) - 1e-9), to = Math.floor(Math.log10(axis.high) + 1e-9)
  const every = Math.max(1, Math.ceil((to - from) / room)), found = []
  const plain = Math.max(to, -from) > 3 ? 2 : 3 // of powers of ten, those that are written out
  const parts = to - from < 2 ? [1, 2, 5] : to - from < 3 ? [1, 3] : [1]
  for (let e = from - 1; e <= to; e++) for (const part of parts) {
    const v = part * 10 ** e
    if (v < axis.low * 0.999 || v > axis.high * 1.001 || e % every) continue
    const power = String(Math.abs(e)).replace(/./g, d => SUPERSCRIPT[d])
    found.push([v, Math.abs(e) <= plain ? String(Number(v.toPrecision(2))) : `${part > 1 ? part + "·" : ""}10${e < 0 ? "⁻" : ""}${power}`])
  }
  return found
}

/** One mark as SVG. `x` and `y` go from data to pixels, `w` and `h` are the panel's. */
const MARKS = {
  line(m, { x, y, put, arrow, k }) {
    const xs = floats(m.x), ys = floats(m.y)
    let d = "", pen = "M"
    for (let i = 0; i < xs.length; i++) {
      if (xs[i] !== xs[i] || (ys[i] !== ys[i] && !m.edge)) { pen = "M"; continue }
      const at = `${px(x(xs[i]))},${px(put(y, ys[i], m.edge))}`
      d += m.stairs && pen === "L" ? `H${px(x(xs[i]))}L${at}` : pen + at
      pen = "L"
    }
    const marks = m.at.map(i => i < xs.length ? shape(m.marker, x(xs[i]), put(y, ys[i], m.edge), 9 * k) : "").join("")
    return `<path d="${d}" fill="none" stroke="${color(m.color)}" stroke-width="${m.width * k}" stroke-dasharray="${DASHES[m.dash]}"
      stroke-linejoin="round" ${m.arrow ? `marker-end="url(#${arrow}-${m.color})"` : ""}/>` + dot(marks, m.color)
  },
  points(m, { x, y, put, w, h, k }) {
    const xs = floats(m.x), ys = floats(m.y)
    let d = ""
    for (let i = 0; i < xs.length; i++) {
      const a = x(xs[i]), b = put(y, ys[i], m.edge)
      if (a >= -2 && a <= w + 2 && b >= -2 && b <= h + 2) d += shape(m.marker, a, b, m.size * k)
    }
    return dot(d, m.color, m.hollow || m.marker === "P", m.alpha)
  },
  band(m, { x, y, put }) {
    const xs = floats(m.x), low = floats(m.low), high = floats(m.high)
    let d = ""
    for (let i = 0; i < xs.length; i++) d += `${i ? "L" : "M"}${px(x(xs[i]))},${px(put(y, high[i], true))}`
    for (let i = xs.length; i--;) d += `L${px(x(xs[i]))},${px(put(y, low[i], true))}`
    return `<path d="${d}z" fill="${color(m.color)}" opacity="${m.alpha}"/>`
  },
  bars(m, { x, y, hatch }) {
    const heights = floats(m.height), zero = y(0)
    return Array.from(floats(m.x), (at, i) => {
      const left = px(x(at - m.width / 2)), top = y(heights[i])
      const box = `x="${left}" y="${px(Math.min(top, zero))}" width="${px(x(at + m.width / 2) - left)}" height="${px(Math.abs(top - zero))}"`
      return `<rect ${box} fill="${color(m.color)}"/>` + (m.hatch ? `<rect ${box} fill="url(#${hatch})"/>` : "")
    }).join("")
  },
  rule(m, { x, y, w, h }) {
    const d = m.y == null ? `M${px(x(m.x))},0V${h}` : `M0,${px(y(m.y))}H${w}`
    return `<path d="${d}" stroke="${color(m.color)}" stroke-width="${m.width}" stroke-dasharray="${DASHES[m.dash]}"/>`
  },
  text(m, { x, y, shrink }) {
    return m.text.split("\n").map((line, i, all) =>
      `<text x="${px(x(m.x))}" y="${px(y(m.y))}" dy="${0.35 + (i - (all.length - 1) / 2) * 1.25}em" text-anchor="${m.anchor}"
      style="fill: ${color(m.color)}; font-size: ${m.size * shrink}em; font-weight: ${m.bold ? 650 : 400}">${escaped(line)}</text>`).join("")
  },
  box(m, { x, y, em, shrink }) {
    const w = m.width == null ? (m.text.length * 0.58 + 1.5) * em : x(m.width) - x(0)
    const h = m.height == null ? 2.1 * em : y(0) - y(m.height)
    const size = Math.min(shrink, w / (m.text.length * 0.65 * em)) // so that it fits
    return `<rect x="${px(x(m.x) - w / 2)}" y="${px(y(m.y) - h / 2)}" width="${px(w)}" height="${px(h)}" rx="5"
      fill="${m.fill === "none" ? "none" : color(m.fill || "fill")}" stroke="${color(m.color)}" stroke-width="1.3" stroke-dasharray="${DASHES[m.dash]}"/>
      <text x="${px(x(m.x))}" y="${px(y(m.y))}" dy=".35em" text-anchor="middle" style="font-size: ${size}em">${escaped(m.text)}</text>`
  },
  heat: () => "",
}
const shape = (marker, x, y, size) => SHAPES[marker](px(x), px(y), px(size * RADIUS[marker]))
const dot = (d, name, open, alpha = 1) => d && `<path d="${d}" fill="${open ? "none" : color(name)}"
  stroke="${open ? color(name) : color("fill")}" stroke-width="${open ? 2 : 0.7}" opacity="${alpha}"/>`

function drawHeat(canvas, m, shade) {
  const [rows, columns] = m.shape, levels = new Uint8Array(m.values.buffer)
  if (canvas.width !== columns || canvas.height !== rows) Object.assign(canvas, { width: columns, height: rows })
  const brush = canvas.getContext("2d"), picture = brush.createImageData(columns, rows)
  const pixels = new Uint32Array(picture.data.buffer), table = tableOf(shade)
  for (let row = 0; row < rows; row++)
    for (let c = 0; c < columns; c++) pixels[(rows - 1 - row) * columns + c] = table[levels[row * columns + c]]
  brush.putImageData(picture, 0, 0)
  canvas.style.imageRendering = m.smooth ? "auto" : "pixelated"
}

/** 256 colours between three. */
function tableOf(three) {
  const rgb = three.map(hex => [1, 3, 5].map(i => parseInt(hex.slice(i, i + 2), 16)))
  return Uint32Array.from({ length: 256 }, (_, i) => {
    const at = i / 127.5, k = Math.min(1, Math.floor(at))
    const [r, g, b] = [0, 1, 2].map(c => Math.round(rgb[k][c] + (at - k) * (rgb[k + 1][c] - rgb[k][c])))
    return (255 << 24 | b << 16 | g << 8 | r) >>> 0
  })
}

let panelsMade = 0

/** A panel in the page; `draw` shows its present state, touching only what has changed. */
class Panel {
  constructor() {
    this.id = `scene${panelsMade++}`
    this.node = element("figure")
    this.caption = this.node.appendChild(element("figcaption"))
    this.plot = this.node.appendChild(element("div", { className: "plot" }))
    this.ground = this.plot.appendChild(element("div"))
    this.heats = []
    this.plot.insertAdjacentHTML("beforeend", `<svg class="all" aria-hidden="true"><g></g><svg><g></g></svg></svg>`)
    ;[this.axes, this.marks] = this.plot.querySelectorAll("g")
    this.inner = this.plot.querySelector("svg svg")
  }

  /** First all that widths depend on, on a screen with `k` pixels for one of `least`: `named` are the marks of its legend. */
  lay(panel, k, named) {
    this.node.style.flex = `${panel.width} 1 ${panel.least * k}px`
    Object.assign(this.plot.style, { minWidth: panel.least > 400 ? `${Math.min(panel.least, 560)}px` : "" })
    const keys = named.map(m => `<span class="key">${key(m, this.id)}${escaped(m.label)}</span>`)
    this.put(this.caption, `<b>${escaped(panel.title || panel.y.label)}</b><span class="keys">${keys.join("")}</span>`)
  }

  draw(panel, em, shades) {
    const all = { w: this.plot.clientWidth, h: this.plot.clientHeight }
    const yTicks = panel.y.drawn ? ticks(panel.y, all.h - 30, em * 3) : []
    const left = panel.y.drawn ? Math.max(4, ...yTicks.map(([, t]) => t.length * em * 0.56 + 10)) : 1
    const below = panel.x.drawn ? em * (panel.x.ticks && !Object.keys(panel.x.ticks).length ? 0.3 : 1.6) + (panel.x.label ? em * 1.5 : 0) : 1
    const top = em * 0.6
    const w = Math.max(20, all.w - left - (panel.x.drawn ? em : 2)), h = Math.max(20, all.h - below - top)
    const x = scaled(panel.x, w), y = scaled(panel.y, h, true)
    const put = (scale, v, edge) => {
      if (edge) v = v !== v ? panel.y.high : Math.min(Math.max(v, panel.y.low), panel.y.high)
      return Math.min(Math.max(scale(v), -9999), 9999)
    }
    const lines = [], bare = panel.marks.some(m => m.mark === "heat") && !panel.y.log
    for (const [v, text] of yTicks) {
      lines.push(`<path d="M${left},${px(y(v) + top)}h${w}" stroke="var(--line)" stroke-width="${bare ? 0 : 1}" opacity=".6"/>
        <text class="tick" x="${left - 6}" y="${px(y(v) + top)}" dy=".33em" text-anchor="end">${escaped(text)}</text>`)
    }
    if (panel.x.drawn) for (const [v, text] of ticks(panel.x, w, em * 4)) {
      lines.push(`<path d="M${px(left + x(v))},${top}v${h}" stroke="var(--line)" stroke-width="${bare ? 0 : 1}" opacity=".6"/>
        <text class="tick" x="${px(Math.min(left + x(v), all.w - text.length * em * 0.3))}" y="${h + top}" dy="1.2em" text-anchor="middle">${escaped(text)}</text>`)
    }
    const long = (panel.x.label ?? "").length * em * 0.54
    if (long) lines.push(`<text x="${left + w / 2}" y="${all.h}" dy="-.35em" text-anchor="middle" style="font-size: ${Math.min(1, (w + em) / long)}em">${escaped(panel.x.label)}</text>`)
    if (panel.y.drawn && !bare) lines.push(`<path d="M${left},${top}v${h}h${w}" fill="none" stroke="var(--soft)"/>`)
    this.put(this.axes, defs(this.id) + lines.join(""))
    for (const [name, value] of Object.entries({ x: left, y: top, width: w, height: h })) this.inner.setAttribute(name, value)
    const tools = { x, y, put, w, h, em, k: em / 13, shrink: Math.min(1, Math.max(0.8, w / 620 + 0.1)), arrow: this.id + "a", hatch: this.id + "h" }
    this.put(this.marks, panel.marks.map(m => MARKS[m.mark](m, panel.x.drawn ? { ...tools, shrink: 1 } : tools)).join(""))
    this.drawHeats(panel.marks.filter(m => m.mark === "heat"), x, y, left, top, shades)
  }

  /** Each heat map is a small canvas, which the browser stretches. */
  drawHeats(heats, x, y, left, top, shades) {
    while (this.heats.length < heats.length) this.heats.push({ canvas: this.ground.appendChild(element("canvas")) })
    while (this.heats.length > heats.length) this.heats.pop().canvas.remove()
    heats.forEach((heat, i) => {
      const drawn = this.heats[i], [x0, x1] = heat.x.map(x), [y1, y0] = heat.y.map(y), shade = shades(heat.colors)
      Object.assign(drawn.canvas.style, { left: `${left + x0}px`, top: `${top + y0}px`, width: `${x1 - x0}px`, height: `${y1 - y0}px` })
      if (drawn.values !== heat.values || drawn.shade !== shade.join()) drawHeat(drawn.canvas, heat, shade)
      Object.assign(drawn, { values: heat.values, shade: shade.join() })
    })
  }

  put(node, html) {
    if (node.was !== html) node.innerHTML = node.was = html
  }
}

/** For each panel the marks that its legend names: none, if its neighbour names the same ones. */
export function legends(panels) {
  let before
  return panels.map(({ marks }) => {
    const named = marks.filter(m => m.label), looks = named.map(m => m.label + m.color).join()
    const shown = looks === before ? [] : named
    before = looks
    return shown
  })
}

const NAMES = ["ink", "soft", "blue", "vermillion", "green", "purple", "sky", "grey"]
const defs = id => `<defs>${NAMES.map(name => `<marker id="${id}a-${name}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8"
  markerHeight="8" markerUnits="userSpaceOnUse" orient="auto"><path d="M0,.5L7,4L0,7.5" fill="none" stroke="${color(name)}" stroke-width="1.4"/></marker>`).join("")}
  <pattern id="${id}h" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><path d="M0,0V6" stroke="${color("fill")}" stroke-width="3"/></pattern></defs>`

function key(m, id) {
  const swatch = m.mark === "band" || m.mark === "bars"
    ? `<rect x="4" y="0" width="20" height="11" fill="${color(m.color)}" opacity="${m.alpha ?? 1}"/>${m.hatch ? `<rect x="4" y="0" width="20" height="11" fill="url(#${id}h)"/>` : ""}`
    : (m.mark === "points" ? "" : `<path d="M0,6H28" stroke="${color(m.color)}" stroke-width="${m.width}" stroke-dasharray="${DASHES[m.dash]}"/>`)
      + (m.marker ? dot(shape(m.marker, 14, 6, 9), m.color, m.hollow) : "")
  const points = m.mark === "points"
  return `<svg viewBox="${points ? "8 0 12 12" : "0 0 28 12"}" style="width: ${points ? 0.9 : 2.1}em">${swatch}</svg>`
}

function element(tag, properties = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties)
  node.append(...children)
  return node
}

/** The picture, its sentence and its verdict, in a shadow tree, so that no page's styles reach it. */
class Stage {
  constructor(el) {
    this.host = el.appendChild(element("div"))
    this.host.setAttribute("data-lm-suppress-shortcuts", "true") // JupyterLab leaves the keys to us
    for (const type of ["keydown", "keyup", "keypress"]) this.host.addEventListener(type, event => event.stopPropagation())
    const shadow = this.host.attachShadow({ mode: "open" })
    this.root = element("div", { className: "root" })
    shadow.append(element("style", { textContent: STYLE }), this.root)
    this.panelBox = element("div", { className: "panels" })
    this.panelBox.setAttribute("role", "img")
    this.said = element("div", { className: "said" })
    this.verdict = element("div")
    this.status = element("div", {}, this.said, this.verdict)
    this.alert = element("div", { className: "alert" })
    this.alert.setAttribute("role", "alert")
    this.root.append(element("div", {}, this.panelBox, this.status, this.alert))
    this.panels = []
    this.watch = new ResizeObserver(() => this.redraw())
    this.theme = new MutationObserver(() => this.redraw())
    for (const node of [document.documentElement, document.body])
      this.theme.observe(node, { attributes: true, attributeFilter: ["class", "data-jp-theme-name", "data-theme", "theme", "style"] })
    this.scheme = matchMedia("(prefers-color-scheme: dark)")
    this.scheme.addEventListener("change", this.again = () => this.redraw())
    addEventListener("resize", this.again) // of a window that only gets lower no panel would tell
    this.quiet(false)
  }

  /** Whether the page writes light on dark: that is all that has to be known about its theme. */
  isDark() {
    const [r, g, b] = getComputedStyle(this.host.parentElement ?? this.host).color.match(/[\d.]+/g).map(Number)
    return 0.3 * r + 0.6 * g + 0.1 * b > 140
  }

  /** While it plays a voice would read without end, so then the sentence is not announced. */
  quiet(on) {
    for (const name of ["role", "aria-live"]) this.status.removeAttribute(name)
    on ? this.status.setAttribute("aria-live", "off") : this.status.setAttribute("role", "status")
  }

  draw(scene) {
    this.scene = scene
    const rows = scene.panels.map(panel => panel.row).join()
    if (this.rows !== rows) {
      this.rows = rows
      this.watch.disconnect()
      this.panels = scene.panels.map(() => new Panel())
      this.panelBox.replaceChildren(...this.panels.flatMap((panel, i) =>
        scene.panels[i].row ? [element("div", { className: "break" }), panel.node] : [panel.node]))
      for (const panel of this.panels) this.watch.observe(panel.plot)
    }
    this.panelBox.setAttribute("aria-label", scene.sentence)
    if (this.said.textContent !== scene.sentence) this.said.textContent = scene.sentence
    const verdict = scene.verdict
    const [sign, name] = { right: ["✓", "green"], wrong: ["✗", "vermillion"], open: ["?", "soft"] }[verdict?.sign] ?? []
    this.verdict.className = verdict ? "verdict" : ""
    this.verdict.style.setProperty("--c", name ? color(name) : "")
    const text = verdict ? `${sign} ${verdict.text}` : ""
    if (this.verdict.textContent !== text) this.verdict.textContent = text
    this.redraw()
  }

  redraw() {
    if (!this.scene || !this.host.isConnected) return
    this.root.classList.toggle("dark", this.isDark())
    const style = getComputedStyle(this.root), em = parseFloat(style.fontSize)
    const shades = map => COLOR_MAPS[map].map(name => style.getPropertyValue(name).trim())
    const k = this.root.classList.contains("present") ? 1 : em / 13 // a projector has no room for more rows
    legends(this.scene.panels).forEach((named, i) => this.panels[i].lay(this.scene.panels[i], k, named))
    const height = this.plotHeight(em)
    this.scene.panels.forEach((panel, i) => { this.panels[i].plot.style.height = `${height * panel.height}px` })
    this.scene.panels.forEach((panel, i) => this.panels[i].draw(panel, em, shades))
    const box = this.panelBox // takes the focus where it scrolls, for those who have no mouse
    box.scrollWidth > box.clientWidth ? box.tabIndex = 0 : box.removeAttribute("tabindex")
  }

  /** In pixels, of a panel of height 1; on a projector all of the picture must be on the screen. */
  plotHeight(em) {
    const { panels } = this.scene
    if (!this.root.classList.contains("present"))
      return (this.host.clientWidth < 520 ? 230 : panels.some(panel => panel.row) ? 210 : 270) * (em > 15 ? 1.15 : 1)
    const rows = {} // by where they begin: how high their panels are, and what stands above them
    panels.forEach(({ height }, i) => {
      const { node, caption } = this.panels[i], row = rows[node.offsetTop] ??= { height: 0, words: 0 }
      Object.assign(row, { height: Math.max(row.height, height), words: Math.max(row.words, caption.offsetHeight) })
    })
    const sum = of => Object.values(rows).reduce((all, row) => all + row[of], 0)
    const slide = Number(getComputedStyle(this.host).getPropertyValue("--screen")) // it is scaled
    // The bars of JupyterLab and the lines below the picture are on the screen, too, as many as ever
    // were there: a picture that grew and shrank with them would tremble. An answer may stand below.
    const asked = [...this.root.querySelectorAll(".trying > p")].filter(p => p.offsetHeight)
    const question = asked.reduce((all, p) => all + p.offsetHeight + 0.5 * em, asked.length && 2.2 * em)
    this.below = Math.max(this.below ?? 0, this.status.offsetHeight + question)
    const room = slide ? slide * 0.5 : innerHeight - 120 - sum("words") - this.below - 6 * em
    return Math.min(Math.max(room, 180), 580) / Math.max(sum("height"), 1)
  }

  close() {
    this.watch.disconnect()
    this.theme.disconnect()
    this.scheme.removeEventListener("change", this.again)
    removeEventListener("resize", this.again)
    this.host.remove()
  }
}

// --- Controls ---

let fieldsMade = 0

/** {node, show(value)} of a control; `changed(value)` is called when its user moves it. */
function field(control, changed) {
  const id = `field${fieldsMade++}`
  const label = element("label", { htmlFor: id, textContent: control.label })
  const node = element("div", { className: `control ${control.kind}` }, label)
  if (control.kind === "choice") {
    const select = element("select", { id }, ...control.options.map(value => element("option", { value, textContent: value })))
    select.onchange = () => changed(select.value)
    node.append(select)
    return { node, show: value => { select.value = value } }
  }
  if (control.kind === "switch") {
    const box = element("input", { id, type: "checkbox" })
    box.onchange = () => changed(box.checked)
    node.prepend(box)
    return { node, show: value => { box.checked = value } }
  }
  const log = control.kind === "logslider"
  const [to, from] = log ? [Math.log10, v => Number((10 ** v).toPrecision(2))] : [v => v, v => v]
  const low = to(control.low), high = to(control.high), step = log ? (high - low) / 100 : control.step
  const range = element("input", { type: "range", min: low, max: high, step })
  range.setAttribute("aria-label", control.label)
  const number = element("input", { id, type: "number", min: control.low, max: control.high, step: log ? "any" : step })
  const spoken = () => range.setAttribute("aria-valuetext", number.value)
  range.oninput = () => { number.value = from(Number(range.value)); spoken(); changed(Number(number.value)) }
  number.onchange = () => changed(number.value === "" ? NaN : Number(number.value))
  node.append(range, number)
  return { node, show(value) { number.value = value; range.value = to(value); spoken() } }
}

function button(label, action, className = "") {
  return element("button", { type: "button", textContent: label, className, onclick: action })
}

/** The few signs of Markdown that experiments use. */
const prose = text => escaped(text).replace(/`([^`]+)`/g, "<code>$1</code>")
  .replace(/\*\*([^*]+)\*\*/g, "<b>$1</b>").replace(/\*([^*]+)\*/g, "<i>$1</i>").replace(/\n\n/g, "</p><p>")

/** A button for each experiment, and the words of the one that is chosen. `choose` gets its number. */
class Tries {
  constructor(experiments, choose, ...more) {
    this.experiments = experiments
    this.buttons = experiments.map((_, i) => button(String(i + 1), () => choose(i + 1)))
    this.buttons.forEach((node, i) => node.setAttribute("aria-label", `experiment ${i + 1}`))
    const group = element("div", { className: "tries" }, element("span", { textContent: "What to try:" }), ...this.buttons)
    group.setAttribute("role", "group")
    group.setAttribute("aria-label", "What to try")
    this.question = element("p")
    this.answer = element("div")
    this.fold = element("details", {}, element("summary", { textContent: "Answer" }), this.answer)
    this.words = element("div", { className: "trying", hidden: true }, this.question, ...more, this.fold)
    this.node = element("div", { hidden: !experiments.length }, group, this.words)
    this.shown = 0
  }

  show(number) {
    if (number === this.shown) return
    this.shown = number
    this.buttons.forEach((node, i) => node.setAttribute("aria-pressed", i + 1 === number))
    this.words.hidden = !number
    if (!number) return
    const { question, answer } = this.experiments[number - 1]
    this.question.innerHTML = prose(question)
    this.answer.innerHTML = `<p>${prose(answer)}</p>`
    this.fold.open = false
  }
}

function setPlaying(node, on) {
  node.textContent = on ? "❚❚ Pause" : "▶ Play"
}

// --- Live: Python computes, the browser is the clock ---

/** Called once for each model: what Python tells goes into the model, all views are told. */
function initialize({ model }) {
  ownAll(model.get("scene"))
  model.on("msg:custom", (message, buffers) => {
    apply(model.get("scene"), message.changes, buffers)
    for (const view of viewsOf(model)) view.told(message)
  })
}

const views = new Map() // by the scene, the one thing that all proxies of a model share
const viewsOf = model => views.get(model.get("scene")) ?? []

class Live {
  constructor(model, el) {
    this.model = model
    this.stage = new Stage(el)
    this.due = new Set() // the questions that have no answer yet
    this.later = new Map() // what waits until they have one
    const scene = model.get("scene"), what = scene.what
    views.set(scene, [...viewsOf(model), this])
    this.stage.root.classList.add("steered")
    this.stage.root.classList.toggle("present", what.present)
    this.fields = Object.fromEntries(what.controls.map(c => [c.name, field(c, value => this.ask("set", { values: { [c.name]: value } }))]))
    this.settings = element("input", { type: "text" })
    this.settings.setAttribute("aria-label", "settings, to copy or to paste")
    this.settings.onchange = () => this.ask("settings", { text: this.settings.value })
    this.moveButton = button("", () => this.ask("move"))
    this.tries = new Tries(what.experiments, number => { if (this.playing) this.play(false); this.ask("experiment", { number }) },
      element("p", {}, this.moveButton))
    this.made = String(scene.trying)
    this.stage.root.append(element("div", { className: "controls" }, this.makeButtons(what),
      element("div", { className: "fields" }, ...Object.values(this.fields).map(f => f.node)),
      element("details", {}, element("summary", { textContent: "Share these settings" }), this.settings)), this.tries.node)
    // Nothing runs when nobody watches.
    this.seen = true
    this.sight = new IntersectionObserver(([entry]) => { this.seen = entry.isIntersecting; this.next() })
    this.sight.observe(this.stage.host)
    this.show()
  }

  makeButtons(what) {
    const buttons = element("div", { className: "buttons" })
    if (what.plays) {
      this.playButton = button("", () => this.play(!this.playing), "play")
      setPlaying(this.playButton, false)
      buttons.append(this.playButton, button("Step", () => { this.play(false); this.ask("step") }))
    }
    for (const label of what.buttons) buttons.append(button(label, () => this.ask("press", { label })))
    if (what.plays) buttons.append(button("Restart", () => this.ask("restart")))
    buttons.append(button("Reset to defaults", () => this.ask("defaults")))
    return buttons
  }

  play(on) {
    this.playing = this.afresh = on
    setPlaying(this.playButton, on)
    this.stage.quiet(on)
    this.next()
  }

  /** Two frames are on their way, so that Python needn't wait for the browser; but the next is asked
      for only when the last has been drawn, so nothing runs in a hidden tab. */
  next() {
    while (this.playing && this.seen && this.stage.host.isConnected && !this.undrawn && !this.later.size && this.due.size < 2) {
      this.send("frame", { afresh: this.afresh })
      this.afresh = false
    }
  }

  /** What the user wants: one question at a time, and of those that wait the latest of each kind. */
  ask(what, details = {}) {
    this.later.set(what + Object.keys(details.values ?? {}), [what, details])
    if (!this.due.size) this.sendLater()
  }

  sendLater() {
    const [first] = this.later
    if (!first) return
    this.later.delete(first[0])
    this.send(...first[1])
  }

  send(what, details = {}) {
    const id = Math.random() // crypto.randomUUID is missing on pages without https
    this.due.add(id)
    this.model.send({ id, do: what, with: details })
    clearTimeout(this.patience)
    this.patience = setTimeout(() => { this.stage.alert.textContent =
      "No answer from Python yet. If no cell is running, run this cell again to use it." }, 4000)
  }

  told(message) {
    this.due.delete(message.re)
    this.show(message.refused)
    if (!this.due.size) {
      clearTimeout(this.patience)
      this.sendLater()
    }
    this.undrawn ||= requestAnimationFrame(() => { this.undrawn = 0; this.next() })
  }

  show(refused = "") {
    const scene = this.model.get("scene")
    if (this.playing && (scene.error || (scene.left === 0 && !this.afresh && this.counting))) this.play(false)
    this.counting = scene.left > 0
    this.showTry(scene) // first: it takes room from the picture
    this.stage.draw(scene)
    this.stage.alert.textContent = refused || scene.error || ""
    const touched = [...this.later.values()].flatMap(([, d]) => Object.keys(d.values ?? {}))
    for (const [name, f] of Object.entries(this.fields)) if (!touched.includes(name)) f.show(scene.values[name])
    this.settings.value = scene.settings
  }

  showTry({ trying, left, what }) {
    const [number, made] = trying ?? [0, 0], moves = what.experiments[number - 1]?.moves ?? []
    this.tries.show(number)
    this.moveButton.parentElement.hidden = moves.length < 2
    this.moveButton.disabled = made >= moves.length || left > 0
    this.moveButton.textContent = made < moves.length ? `Next: ${moves[made]}` : left > 0 ? `${left} steps to go` : "All done"
    if (this.made !== String(trying)) {
      this.made = String(trying)
      if (left > 0) this.play(true) // the steps that this move asks for
    }
  }

  close() {
    this.playing = false
    clearTimeout(this.patience)
    this.sight.disconnect()
    const scene = this.model.get("scene")
    const rest = viewsOf(this.model).filter(view => view !== this)
    rest.length ? views.set(scene, rest) : views.delete(scene)
    this.stage.close()
  }
}

function render({ model, el }) {
  const live = new Live(model, el)
  return () => live.close()
}

export default { initialize, render }

// --- On a web page: a recording is played ---

const bytes = text => new DataView(Uint8Array.from(atob(text), c => c.charCodeAt(0)).buffer)
const MILLISECONDS = { frame: 60, look: 1800 } // how long a picture stays, and the end of a move

/** Show what `recorded` of recording.py gave, in `el`; returns a function that takes it away. */
export function playback(el, { first, frames, chapters }) {
  const stage = new Stage(el), scene = {}
  apply(scene, first[0], first[1].map(bytes))
  for (const kind of ["present", "slide"]) stage.root.classList.toggle(kind, scene.what.present)
  // On a slide two rows of panels want its height: what to try stands beside them, not below.
  stage.root.classList.toggle("rows", scene.panels.some(panel => panel.row))
  const begin = structuredClone(scene), kept = new Map() // number of a chapter's first frame -> scene
  const looks = new Set(chapters.flatMap(c => c.looks))
  let at = -1, playing = 0, due = 0, chapter = chapters[0]

  const goto = to => {
    const near = [...kept.keys()].filter(k => k <= to && k > at).pop() ?? (to < at ? [...kept.keys()].filter(k => k <= to).pop() ?? -1 : at)
    if (near !== at) { Object.assign(scene, structuredClone(kept.get(near) ?? begin)); at = near }
    while (at < to) {
      const [changes, parts] = frames[++at]
      apply(scene, changes, parts.map(bytes))
      if (chapters.some(c => c.start === at) && !kept.has(at)) kept.set(at, structuredClone(scene))
    }
    chapter = chapters.findLast(c => c.start <= at) ?? chapters[0]
    show()
  }
  const run = on => {
    playing = on
    setPlaying(play, on)
    stage.quiet(on)
    if (on && at >= chapter.end) goto(chapter.start)
    if (on) { due = performance.now() + MILLISECONDS.frame; requestAnimationFrame(beat) }
  }
  const beat = now => {
    if (!playing || !stage.host.isConnected) return
    if (now >= due) {
      at < chapter.end ? goto(at + 1) : run(false)
      due = now + MILLISECONDS[looks.has(at) ? "look" : "frame"]
    }
    if (playing) requestAnimationFrame(beat)
  }

  const play = button("", () => run(!playing), "play")
  const scrub = element("input", { type: "range", step: 1 })
  scrub.setAttribute("aria-label", "picture of the experiment")
  scrub.oninput = () => { run(false); goto(Number(scrub.value)) }
  const count = element("output")
  const given = element("div", { className: "given" })
  const tries = new Tries(chapters, number => { goto(chapters[number - 1].start); run(chapter.end > chapter.start) })
  const show = () => {
    stage.draw(scene)
    Object.assign(scrub, { min: chapter.start, max: chapter.end })
    play.disabled = scrub.disabled = chapter.start === chapter.end
    scrub.value = at
    const place = `${at - chapter.start + 1}/${chapter.end - chapter.start + 1}`
    scrub.setAttribute("aria-valuetext", place)
    count.textContent = place
    tries.show(chapters.indexOf(chapter) + 1)
    const html = scene.what.controls.map(c => `<span>${escaped(c.label)} <b>${escaped(asText(scene.values[c.name]))}</b></span>`).join("")
    if (given.was !== html) given.innerHTML = given.was = html
  }
  stage.root.append(element("div", { className: "controls" },
    element("div", { className: "tape" }, play, scrub, count), given), tries.node)
  goto(0)
  run(false)
  return () => { playing = 0; stage.close() }
}

const asText = value => typeof value === "boolean" ? (value ? "on" : "off") : String(value)
