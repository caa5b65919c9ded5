// A stage: a plotly figure whose moving traces follow a slider through a table that lies in the page.
// The kernel is asked only when a draggable point moves, or a choice whose table is not here yet.

const NO_ANSWER = "The kernel has not answered yet: it is busy, or was restarted; then run this cell again.";

// Both jupyter's widgets and a page of its own (stage.py, `page`) call this with a model: get, set,
// save_changes, on, off, send.
function render({ model, el }) {
  const stage = build(model, el);
  const stop = new AbortController();
  const listen = (node, event, react) => node?.addEventListener(event, react);
  const changed = (name, react) => {
    model.on(`change:${name}`, react);
    stop.signal.addEventListener("abort", () => model.off(`change:${name}`, react));
  };

  // what the learner does; the kernel hears of it a little later, the page does not wait for it
  let pending;
  const save = (delay) => {
    clearTimeout(pending);
    pending = setTimeout(() => model.save_changes(), delay);
  };
  listen(stage.slider, "input", () => {
    model.set("index", Number(stage.slider.value));
    save(150);
  });
  listen(stage.choice, "change", () => {
    model.set("choice", stage.choice.selectedIndex);
    save(0);
  });
  const move = (k, ...to) => {
    const within = (value, [low, high]) => Math.min(Math.max(Math.round(1e3 * value) / 1e3, low), high);
    const point = to.map((value, axis) => within(value, model.get("bounds")[axis]));
    if (point.every((value, axis) => value === model.get("points")[k][axis])) return; // no table would come
    if (rides(model, k)) model.set("index", 0);
    model.set("points", model.get("points").with(k, point));
    model.save_changes();
    clearTimeout(stage.waiting);
    stage.waiting = setTimeout(() => (stage.state.textContent = NO_ANSWER), 4000);
  };
  for (const [k, [x, y]] of stage.points.entries()) {
    const typed = () => {
      const to = [x.valueAsNumber, y.valueAsNumber];
      if (to.every(Number.isFinite)) move(k, ...to);
      [x.value, y.value] = model.get("points")[k]; // within bounds; what was there if it is no number
    };
    for (const input of [x, y]) {
      listen(input, "change", typed);
      listen(input, "keydown", (event) => event.key === "Enter" && typed());
    }
  }
  listen(stage.copy, "click", () => copyRecipe(model, stage));
  changed("locked", () => showState(model, stage));

  // a figure can be drawn only when the page has given it a width
  draw(model, stage, changed, stop.signal).then(() => {
    if (stage.drawn && stage.points.length) letDrag(model, stage, move);
  });
  return () => {
    stop.abort();
    clearTimeout(pending); // the model keeps the change and sends it along with its next
    clearTimeout(stage.waiting);
  };
}

async function draw(model, stage, changed, signal) {
  const Plotly = await plotly(model, signal);
  if (signal.aborted) return;
  const { still, resting, moving, places } = layers(
    JSON.parse(model.get("figure")),
    model.get("resting"),
    model.get("moving"),
  );
  const plots = [stage.still, stage.resting, stage.moving];
  const width = await new Promise((resolve) => {
    const observer = new ResizeObserver(() => {
      const width = stage.figure.clientWidth;
      if (!width) return;
      if (stage.drawn) for (const plot of plots) Plotly.relayout(plot, { width });
      resolve(width);
    });
    observer.observe(stage.figure);
    signal.addEventListener("abort", () => observer.disconnect());
  });
  const contents = [still, resting, moving];
  const purge = () => plots.forEach((plot) => Plotly.purge(plot));
  for (const [k, { data, layout }] of contents.entries()) {
    await Plotly.newPlot(plots[k], data, { ...layout, width }, { staticPlot: true });
    if (signal.aborted) return purge();
  }
  stage.drawn = true;
  signal.addEventListener("abort", () => setTimeout(purge)); // a frame under way needs its plot

  const animate = (plot, traces, data) => {
    const options = { frame: { duration: 0, redraw: false }, transition: { duration: 0 }, mode: "immediate" };
    if (!traces.length || signal.aborted) return;
    const frame = { data, traces: traces.map(([trace]) => places.get(trace)) };
    Plotly.animate(plot, frame, options).catch(() => {}); // a later frame took its place
  };
  let tables;
  const show = (withResting) => {
    const table = tables[model.get("choice")];
    showState(model, stage);
    if (table === null) return;
    const [resting, moving] = [model.get("resting"), model.get("moving")];
    if (withResting) animate(stage.resting, resting, points(table.resting, resting, 0));
    animate(stage.moving, moving, points(table.rows, moving, model.get("index") * table.width));
  };
  const newTables = () => {
    clearTimeout(stage.waiting);
    tables = decode(model);
    show(true);
  };
  changed("index", () => show(false));
  changed("choice", () => show(true));
  changed("tables", newTables);
  const layer = (k) => (rides(model, k) ? stage.moving : stage.resting);
  stage.at = (k) => {
    const { x, y } = layer(k).data[places.get(model.get("handles")[k])];
    return [x[0], y[0]];
  };
  changed("points", () => {
    showState(model, stage);
    const k = stage.held;
    if (k === undefined) return;
    // what is pulled must follow at once; the rest comes when the kernel answers, which is asked first
    const [x, y] = model.get("points")[k];
    requestAnimationFrame(() => animate(layer(k), [[model.get("handles")[k]]], [{ x: [x], y: [y] }]));
  });
  newTables();
}

// Plotly once per page: from the page, else from the model that carries it, else from a kernel. Every stage
// that waits asks its own, for another's may be gone; the first to come serves all.
function plotly(model, signal) {
  const run = (bytes) => {
    const script = document.createElement("script");
    script.textContent = new TextDecoder().decode(bytes);
    const define = window.define; // an AMD loader would take the library away from the page
    window.define = undefined;
    document.head.append(script);
    window.define = define;
    window.dispatchEvent(new Event("flatmtl-plotly"));
  };
  if (!window.Plotly && model.get("plotly_js")?.byteLength) run(model.get("plotly_js"));
  if (window.Plotly) return window.Plotly;
  return new Promise((resolve) => {
    const answer = (content, buffers) => content === "plotly" && run(buffers[0]);
    const leave = () => model.off("msg:custom", answer);
    const served = () => {
      leave();
      resolve(window.Plotly);
    };
    window.addEventListener("flatmtl-plotly", served, { once: true, signal });
    signal.addEventListener("abort", leave);
    model.on("msg:custom", answer);
    model.send("plotly");
  });
}

// Three plots with the same axes, one before the other: plotly computes every trace of a plot anew when one
// of them moves, and contours are slow. `still`: axes, titles, the legend, and traces without a uid;
// `resting` and `moving`: as in the table. Each holds data and layout; `places` tells where in its plot a
// trace of the figure stands.
function layers({ data, layout }, resting, moving) {
  const clear = {
    ...structuredClone(layout),
    ...{ annotations: [], shapes: [], showlegend: false },
    ...{ paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)" },
  };
  for (const name of Object.keys(clear)) if (/^[xy]axis/.test(name)) clear[name].visible = false;
  const names = data
    .filter(({ uid, showlegend }) => showlegend ?? uid)
    .map(({ uid, z, contours, ...look }) => ({ ...look, type: "scatter", mode: look.mode ?? "lines", x: [null], y: [null] }));
  const still = data.filter((trace) => !trace.uid).map((trace) => ({ ...trace, showlegend: false }));
  const places = new Map();
  const pick = (traces) => traces.map(([trace], place) => (places.set(trace, place), data[trace]));
  return {
    still: { data: [...still, ...names], layout: { ...layout, showlegend: true } },
    resting: { data: pick(resting), layout: clear },
    moving: { data: pick(moving), layout: structuredClone(clear) },
    places,
  };
}

// A table: first the traces that rest while the slider moves, then one row a slider position; of each
// trace its x and then its y.
function decode(model) {
  const resting = 2 * model.get("resting").reduce((sum, [, n]) => sum + n, 0);
  const width = 2 * model.get("moving").reduce((sum, [, n]) => sum + n, 0);
  return model.get("tables").map((view) => {
    if (!view.byteLength) return null;
    const numbers = new Float64Array(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));
    return { resting: numbers.subarray(0, resting), rows: numbers.subarray(resting), width };
  });
}

function points(numbers, traces, at) {
  return traces.map(([, n]) => {
    const x = numbers.subarray(at, at + n);
    const y = numbers.subarray(at + n, at + 2 * n);
    at += 2 * n;
    return { x, y };
  });
}

function build(model, el) {
  const id = `stage-${Math.random().toString(36).slice(2)}`;
  const add = (parent, tag, properties = {}, attributes = {}) => {
    const node = Object.assign(document.createElement(tag), properties);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    parent.append(node);
    return node;
  };
  // JupyterLab takes arrow keys for itself unless the focused element says this
  const ours = { "data-lm-suppress-shortcuts": "true" };

  const root = add(el, "div", { className: "flatmtl-stage" }, { role: "group", "aria-label": model.get("title") });
  const controls = add(root, "div", { className: "controls" });
  const stage = {};

  const field = (name, text, tag, properties) => {
    const pair = add(controls, "span", { className: name }); // a label and its control stay together
    add(pair, "label", { textContent: text, htmlFor: `${id}-${name}` });
    return add(pair, tag, { ...properties, id: `${id}-${name}` }, ours);
  };
  const last = model.get("values").length - 1;
  stage.slider = field("slider", model.get("label"), "input", { type: "range", min: 0, max: last, step: 1 });
  // no <output>: the slider's aria-valuetext says it already
  stage.value = add(stage.slider.parentElement, "span", { className: "value" });

  const choices = model.get("choices");
  if (choices.length > 1) {
    stage.choice = field("choice", model.get("choice_label"), "select", {});
    for (const name of choices) add(stage.choice, "option", { textContent: name });
  }
  stage.points = (model.get("live") ? model.get("point_labels") : []).map((name) => {
    const pair = add(controls, "span", { className: "point" }, { role: "group", "aria-label": name });
    add(pair, "span", { textContent: name });
    return ["x", "y"].map((axis, k) => {
      const [min, max] = model.get("bounds")[k];
      const label = { "aria-label": `${name} ${axis}` };
      return add(pair, "input", { type: "number", min, max, step: 0.1 }, { ...ours, ...label });
    });
  });
  if (model.get("recipe")) {
    stage.copy = add(controls, "button", { type: "button", textContent: "Copy this state" }, ours);
    stage.recipe = add(root, "code", { className: "recipe", hidden: true });
  }
  stage.lock = add(root, "p", { className: "lock" }, { role: "status" });
  stage.state = add(root, "output", { className: "state" }, { "aria-live": "polite" });
  stage.figure = add(root, "div", { className: "figure" }, { role: "img" });
  for (const layer of ["still", "resting", "moving"]) stage[layer] = add(stage.figure, "div", { className: layer });
  return stage;
}

function showState(model, stage) {
  const [index, choice, locked] = ["index", "choice", "locked"].map((name) => model.get(name));
  const text = model.get("states")[choice][index] ?? "computing …";
  stage.state.textContent = text;
  stage.figure.setAttribute("aria-label", text);
  stage.slider.value = index;
  stage.value.textContent = model.get("values")[index];
  stage.slider.setAttribute("aria-valuetext", model.get("values")[index]);
  if (stage.choice) stage.choice.selectedIndex = choice;
  for (const [k, inputs] of stage.points.entries())
    for (const [axis, input] of inputs.entries())
      if (input !== document.activeElement) input.value = model.get("points")[k][axis]; // not under the fingers
  for (const control of [stage.slider, stage.choice, ...stage.points.flat()]) if (control) control.disabled = !!locked;
  stage.lock.textContent = locked;
  stage.lock.hidden = !locked;
  if (stage.recipe) stage.recipe.hidden = true;
}

// Whether a point's handle moves along with the slider.
const rides = (model, k) => model.get("moving").some(([trace]) => trace === model.get("handles")[k]);

// Press near a point and pull: pixels to data through the axes of the first panel.
function letDrag(model, stage, move) {
  const plot = stage.moving;
  const axes = () => [plot._fullLayout.xaxis, plot._fullLayout.yaxis];
  const pixels = (event) => {
    const box = plot.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  const near = (event) => {
    if (model.get("locked")) return undefined;
    const [x, y] = pixels(event);
    const away = stage.points.map((_, k) => {
      const [left, top] = axes().map((axis, side) => axis._offset + axis.d2p(stage.at(k)[side]));
      return Math.hypot(x - left, y - top);
    });
    const nearest = Math.min(...away);
    return nearest < 20 ? away.indexOf(nearest) : undefined;
  };
  const pull = (event) => move(stage.held, ...axes().map((axis, side) => axis.p2d(pixels(event)[side] - axis._offset)));
  plot.addEventListener(
    "pointerdown",
    (event) => {
      stage.held = near(event);
      if (stage.held === undefined) return;
      plot.setPointerCapture(event.pointerId);
      event.preventDefault();
      event.stopPropagation();
    },
    { capture: true },
  );
  plot.addEventListener("pointermove", (event) => {
    const held = stage.held !== undefined;
    if (held) pull(event);
    plot.style.cursor = held ? "grabbing" : near(event) === undefined ? "" : "grab";
  });
  plot.addEventListener("pointerup", () => (stage.held = undefined));
  plot.addEventListener("pointercancel", () => (stage.held = undefined));
}

// The call that opens the stage as it stands; shown as well, since a page may not be allowed to copy.
function copyRecipe(model, stage) {
  const pairs = model.get("points").map((point) => `(${point.join(", ")})`);
  const parts = {
    value: model.get("values")[model.get("index")],
    choice: JSON.stringify(model.get("choices")[model.get("choice")]),
    point: pairs[0],
    points: `[${pairs.join(", ")}]`,
  };
  const text = model.get("recipe").replace(/\{(\w+)\}/g, (_, part) => parts[part]);
  stage.recipe.textContent = text;
  stage.recipe.hidden = false;
  navigator.clipboard?.writeText(text).catch(() => {});
}

export default { render };
