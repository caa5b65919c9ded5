// A stage: a plotly figure whose moving traces follow a slider through a table that lies in the page.
// It asks the kernel only when a draggable point moves, or when the table of a choice is missing.

const NO_ANSWER = "The kernel has not answered yet: it is busy, or was restarted; then run this cell again.";

// Jupyter's widgets and pages without a kernel (page.py) call this with a model. It has the methods get,
// set, save_changes, on, off and send.
function render({ model, el }) {
  const stage = build(model, el);
  const stop = new AbortController();
  const listen = (node, event, react) => node?.addEventListener(event, react);
  const changed = (name, react) => {
    model.on(`change:${name}`, react);
    stop.signal.addEventListener("abort", () => model.off(`change:${name}`, react));
  };

  // The page reacts to the learner at once. The kernel hears of it a little later.
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
    if (point.every((value, axis) => value === model.get("points")[k][axis])) return; // the kernel would send no table
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
      [x.value, y.value] = model.get("points")[k]; // within bounds; the old point if the text is not a number
    };
    for (const input of [x, y]) {
      listen(input, "change", typed);
      listen(input, "keydown", (event) => event.key === "Enter" && typed());
    }
  }
  listen(stage.copy, "click", () => copyRecipe(model, stage));
  changed("locked", () => showState(model, stage));

  // plotly can draw only after the page has given the figure a width
  draw(model, stage, changed, stop.signal).then(() => {
    if (stage.drawn && stage.points.length) letDrag(model, stage, move);
  });
  return () => {
    stop.abort();
    clearTimeout(pending); // the model keeps the change and sends it with the next one
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
  signal.addEventListener("abort", () => setTimeout(purge)); // a frame that is still being drawn needs its plot

  const animate = (plot, traces, data) => {
    const options = { frame: { duration: 0, redraw: false }, transition: { duration: 0 }, mode: "immediate" };
    if (!traces.length || signal.aborted) return;
    const frame = { data, traces: traces.map(([trace]) => places.get(trace)) };
    Plotly.animate(plot, frame, options).catch(() => {}); // a later frame replaced it
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
    // The handle must follow the pointer at once. The rest comes with the kernel's answer.
    const [x, y] = model.get("points")[k];
    requestAnimationFrame(() => animate(layer(k), [[model.get("handles")[k]]], [{ x: [x], y: [y] }]));
  });
  newTables();
}

// Load plotly once per page: from the page, else from a model that carries it, else from a kernel. Every
// waiting stage asks its own kernel, since another kernel may be gone. The first answer serves all stages.
function plotly(model, signal) {
  const run = (bytes) => {
    const script = document.createElement("script");
    script.textContent = new TextDecoder().decode(bytes);
    const define = window.define; // with an AMD loader the library would not become window.Plotly
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

// Split a figure into three plots with the same axes, one in front of the other. When one trace of a plot
// moves, plotly computes all of its traces again, and contours are slow. `still` has the axes, titles, the
// legend and the traces without a uid; `resting` and `moving` have the traces that the table calls so. Each
// holds data and layout. `places` gives the place of each trace of the figure in its plot.
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

// Decode a table: first the traces that rest while the slider moves, then one row per slider position.
// Each trace has its x first and then its y.
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
  // without this JupyterLab takes the arrow keys for itself
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
  // not an <output>, since the slider's aria-valuetext already tells a screen reader
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
      if (input !== document.activeElement) input.value = model.get("points")[k][axis]; // but not while the learner types
  for (const control of [stage.slider, stage.choice, ...stage.points.flat()]) if (control) control.disabled = !!locked;
  stage.lock.textContent = locked;
  stage.lock.hidden = !locked;
  if (stage.recipe) stage.recipe.hidden = true;
}

// True if the handle of a point moves along with the slider.
const rides = (model, k) => model.get("moving").some(([trace]) => trace === model.get("handles")[k]);

// Let the learner press near a point and pull it. The axes of the first panel turn pixels into data.
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

// Copy the call that opens the stage as it stands. Show it too, since a page may not be allowed to copy.
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
