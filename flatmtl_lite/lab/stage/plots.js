// The plots of a stage: three layers with the same axes, drawn at a fixed size and scaled to the window.

// Split a figure into three plots, one in front of the other. When one trace of a plot moves, plotly computes
// all of its traces again, and contours are slow. `still` has the axes, titles and the traces without a uid;
// `resting` and `moving` have the traces that the table calls so. `places` gives the place of each trace of
// the figure in its plot. A trace that nobody sees is in none, since each costs time per frame; so the traces
// of panels below the fold come last, and showMore adds them.
function layers({ data, layout }, resting, moving, below) {
  const clear = { ...structuredClone(layout), annotations: [], shapes: [] };
  Object.assign(clear, { paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)" });
  Object.assign(clear, { font: layout.template?.layout?.font, template: undefined }); // a template costs time per frame
  for (const name of Object.keys(clear)) if (/^[xy]axis/.test(name)) clear[name].visible = false;
  const places = new Map();
  const pick = (traces) => {
    const seen = traces.map(([trace]) => trace).filter((trace) => data[trace].visible !== false);
    const above = seen.filter((trace) => !below(data[trace]));
    [...above, ...seen.filter((trace) => below(data[trace]))].forEach((trace, place) => places.set(trace, place));
    return above.map((trace) => data[trace]);
  };
  return {
    still: { data: data.filter((trace) => !trace.uid), layout },
    resting: { data: pick(resting), layout: clear },
    moving: { data: pick(moving), layout: structuredClone(clear) },
    places,
  };
}

// Whether the panel of a trace lies below the fold of an arrangement.
const isBelow = ({ fold, layout }) => ({ yaxis = "y" }) => {
  const { domain } = layout[yaxis.replace("y", "yaxis")] ?? {};
  return !!domain && (1 - domain[1]) * layout.height >= fold;
};

// Add the traces of panels below the fold, or remove them, as "more" asks; it may ask again meanwhile.
async function showMore(model, stage, drawn) {
  const { Plotly, traces, places, below } = drawn;
  const more = stage.shows.more;
  if (drawn.isChanging || drawn.isWhole === more) return;
  Object.assign(drawn, { isChanging: true, isWhole: false });
  for (const layer of ["resting", "moving"]) {
    const hidden = model.get(layer).map(([trace]) => trace).filter((trace) => places.has(trace) && below(traces[trace]));
    const at = hidden.map((trace) => places.get(trace));
    if (!hidden.length) continue;
    if (more) await Plotly.addTraces(stage[layer], hidden.map((trace) => traces[trace]), at);
    else await Plotly.deleteTraces(stage[layer], at);
  }
  Object.assign(drawn, { isChanging: false, isWhole: more });
  drawn.show(true);
  await showMore(model, stage, drawn);
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

// Move the names among new points of traces towards their things, in place. Their distance in pixels is meant for
// the arrangement with the fewest pixels, see draw_names in labels.py.
function keepNear(plot, traces, data) {
  for (const [k, { meta, xaxis = "x", yaxis = "y" }] of traces.entries()) {
    if (!meta?.things || !plot._fullLayout[yaxis.replace("y", "yaxis")]) continue; // a panel below the fold has no axes
    const things = data[traces.findIndex(({ uid }) => uid === meta.things)];
    for (const [side, name] of [xaxis, yaxis].entries()) {
      const { type, range, _length } = plot._fullLayout[name.replace(/^[xy]/, "$&axis")];
      const share = (meta.unit[side] * Math.abs(range[1] - range[0])) / _length;
      const [paper, plain] = type === "log" ? [Math.log10, (power) => 10 ** power] : [Number, Number];
      const from = things["xy"[side]];
      data[k]["xy"[side]] = data[k]["xy"[side]].map((at, j) => plain(paper(from[j]) + share * (paper(at) - paper(from[j]))));
    }
  }
}

// The arrangement of the panels that suits the window, and the scale at which it fills it: the first that
// needs no small print, or another of its width that covers more; else the one with the largest print.
function arrange(stage, arrangements) {
  keepRoom(stage);
  const scroll = stage.root.closest(".jp-WindowedPanel-outer");
  const room = document.fullscreenElement ? innerHeight : (scroll?.clientHeight ?? innerHeight);
  const above = stage.figure.getBoundingClientRect().top - stage.root.getBoundingClientRect().top;
  const [width, height] = [stage.figure.clientWidth, Math.max(room - above - 20, 200)];
  const fits = arrangements.map((a) => ({ ...a, scale: Math.min(width / a.width, height / a.fold) }));
  const first = fits.find(({ scale }) => scale >= 0.8);
  const size = ({ scale, fold }) => (first ? scale * scale * fold : scale);
  return fits.filter((a) => !first || a.width === first.width).reduce((a, b) => (size(b) > size(a) ? b : a));
}

// Give the canvas its scale, and the figure its height: the fold, or all of it with "more".
function scaleTo(stage, { width, fold, layout, scale }) {
  const { style } = stage.canvas;
  [style.width, style.height] = [`${width}px`, `${layout.height}px`];
  const left = Math.max(0, (stage.figure.clientWidth - scale * width) / 2);
  style.transform = `translate(${left}px, 0) scale(${scale})`;
  stage.figure.style.height = `${Math.round(scale * (stage.shows.more ? layout.height : fold))}px`;
  stage.rest.style.top = `${Math.round(scale * fold)}px`;
  Object.assign(stage, { scale, left, tall: layout.height, fold });
  for (const node of [stage.tools.more, ...stage.rows.more]) node.hidden = layout.height === fold;
}

const placed = (layout, places) => {
  const merged = { ...layout };
  for (const [name, value] of Object.entries(places))
    merged[name] = typeof value === "object" ? { ...layout[name], ...value } : value;
  return merged;
};

// Draw the layers in the colours and the arrangement of the page, and again when either changes. Returns what
// moves them, or undefined if the stage was closed before.
async function draw(model, stage, signal) {
  const Plotly = await plotly(model, signal);
  if (signal.aborted) return undefined;
  const plots = [stage.still, stage.resting, stage.moving];
  const purge = () => plots.forEach((plot) => Plotly.purge(plot));
  const state = { Plotly, plots };
  const paint = async () => {
    stage.root.dataset.theme = isDark() ? "dark" : "light";
    const figure = JSON.parse(inTheme(model.get("figure")));
    const { width = 1000, height = 540, meta } = figure.layout;
    const arrangements = meta?.arrangements ?? [{ width, fold: height, layout: { width, height } }];
    const arrangement = arrange(stage, arrangements);
    Object.assign(state, { arrangements, arrangement });
    const below = isBelow(arrangement);
    const { still, resting, moving, places } = layers(figure, model.get("resting"), model.get("moving"), below);
    Object.assign(state, { places, below, traces: figure.data, isWhole: false });
    stage.grounds = still.data.filter(({ meta }) => meta?.view).map(gridOf);
    scaleTo(stage, arrangement);
    for (const [k, { data, layout }] of [still, resting, moving].entries()) {
      await Plotly.newPlot(plots[k], data, placed(layout, arrangement.layout), { staticPlot: true });
      if (signal.aborted) return purge();
    }
  };
  await wideEnough(stage.figure, signal);
  await paint();
  if (signal.aborted) return undefined;
  signal.addEventListener("abort", () => setTimeout(purge)); // a frame that is still being drawn needs its plot
  state.paint = paint;
  return state;
}

// Resolve once the page has given the figure a width.
function wideEnough(figure, signal) {
  return new Promise((resolve) => {
    const observer = new ResizeObserver(() => figure.clientWidth && (observer.disconnect(), resolve()));
    observer.observe(figure);
    signal.addEventListener("abort", () => (observer.disconnect(), resolve()));
  });
}
