// A stage: a plotly figure whose moving traces follow a slider through a table that lies in the page.
// It asks the kernel only when a draggable point moves, or when the table of a choice is missing.

const AT_ONCE = { frame: { duration: 0, redraw: false }, transition: { duration: 0 }, mode: "immediate" };

// Jupyter's widgets and pages without a kernel (page.py) call this with a model. It has the methods get,
// set, save_changes, on, off and send.
function render({ model, el }) {
  const stage = build(model, el);
  const stop = new AbortController();
  const { signal } = stop;
  const listen = (node, event, react, options) => node?.addEventListener(event, react, { signal, ...options });
  const changed = (name, react) => {
    model.on(`change:${name}`, react);
    signal.addEventListener("abort", () => model.off(`change:${name}`, react));
  };
  const does = commands(model, stage, signal);
  hearControls(stage, does, listen);
  for (const name of ["locked", "choice"]) changed(name, () => showState(model, stage));
  showState(model, stage);
  draw(model, stage, signal).then((drawn) => {
    if (!drawn) return;
    bring(model, stage, drawn, changed, signal);
    letPull(model, stage, drawn, does, listen, signal);
    letRead(stage, signal);
    listen(stage.view, "change", () => setView(stage, drawn));
    hearTools(model, stage, drawn, does, listen);
    if (model.get("view")) setView(stage, drawn);
    if (model.get("solid")) stage.tools.solid.click();
    signal.addEventListener("abort", does.pause);
  });
  return () => stop.abort();
}

// Show what the model says, now and whenever it changes.
function bring(model, stage, drawn, changed, signal) {
  const show = animated(model, stage, drawn, signal);
  drawn.show = show;
  const read = () => {
    drawn.tables = decode(model);
    drawn.texts = isDark() ? JSON.parse(inTheme(JSON.stringify(model.get("texts")))) : model.get("texts");
    show(true);
  };
  changed("index", () => show(false));
  changed("choice", () => show(true));
  changed("tables", () => {
    clearTimeout(stage.waiting);
    Object.assign(stage, { stale: false, note: stage.note === NO_ANSWER ? "" : stage.note });
    read();
  });
  changed("points", () => {
    showState(model, stage);
    if (stage.held !== undefined) follow(model, stage, drawn);
  });
  read();
  keepFitting(model, stage, drawn, read, signal);
}

// Let the learner pull the handles, or turn the figure.
function letPull(model, stage, drawn, { move, turn, pause, past }, listen, signal) {
  const turns = stage.still.layout.meta?.turns;
  if (stage.points.length) {
    stage.at = (k) => placeOf(model, stage, drawn, k);
    letDrag(model, stage, move, signal);
  }
  if (turns) letTurn(model, stage, (index) => (pause(), turn(index)), signal);
  if (stage.points.length || turns) listen(stage.moving, "pointerup", past.note);
}

// Return what brings the layers to the present slider position; with true the traces that rest too.
function animated(model, stage, drawn, signal) {
  return (withResting) => {
    const { Plotly, places, tables } = drawn;
    const [index, choice] = [model.get("index"), model.get("choice")];
    const table = tables[choice];
    stage.shown = table && model.get("handles").map((handle, k) => (rides(model, k) ? placeIn(model, table, handle) : null));
    showState(model, stage);
    if (table === null || signal.aborted) return;
    const texts = drawn.texts[choice];
    const animate = (plot, traces, data) => {
      if (!traces.length) return Promise.resolve();
      traces.forEach(([trace], k) => texts[trace] && (data[k].text = texts[trace][index]));
      keepNear(plot, traces.map(([trace]) => drawn.traces[trace]), data);
      const isDrawn = (trace) => places.has(trace) && (drawn.isWhole || !drawn.below(drawn.traces[trace]));
      const seen = (_, k) => isDrawn(traces[k][0]);
      const frame = { data: data.filter(seen), traces: traces.filter(seen).map(([trace]) => places.get(trace)) };
      return Plotly.animate(plot, frame, AT_ONCE).catch(() => {}); // a later frame replaced it
    };
    const [resting, moving] = [model.get("resting"), model.get("moving")];
    if (withResting)
      // an animation drops traces of its panels that it does not know, as the ghosts are
      animate(stage.resting, resting, points(table.resting, resting, 0)).then(() => stage.ghosts.length && Plotly.redraw(stage.resting));
    const moved = animate(stage.moving, moving, points(table.rows, moving, index * table.width));
    if (stage.shows.solid) moved.then(() => stage.shows.solid && moveSolid(stage, drawn));
  };
}

// Where the table has a handle at the present slider position, to three digits.
function placeIn(model, table, handle) {
  const moving = model.get("moving");
  const before = moving.slice(0, moving.findIndex(([trace]) => trace === handle)).reduce((sum, [, n]) => sum + 2 * n, 0);
  const at = model.get("index") * table.width + before;
  return [table.rows[at], table.rows[at + 1]].map((value) => Math.round(1e3 * value) / 1e3);
}

const layerOf = (model, stage, k) => (rides(model, k) ? stage.moving : stage.resting);

function placeOf(model, stage, { places }, k) {
  const { x, y } = layerOf(model, stage, k).data[places.get(model.get("handles")[k])];
  return [x[0], y[0]];
}

// The handle must follow the pointer at once. The rest comes with the kernel's answer.
function follow(model, stage, { Plotly, places }) {
  const k = stage.held;
  const [x, y] = model.get("points")[k];
  const frame = { data: [{ x: [x], y: [y] }], traces: [places.get(model.get("handles")[k])] };
  requestAnimationFrame(() => Plotly.animate(layerOf(model, stage, k), frame, AT_ONCE).catch(() => {}));
}

// Colour the landscape by the chosen loss.
async function setView(stage, drawn) {
  const grounds = stage.still.data.map(({ meta }, k) => [k, meta?.view]).filter(([, view]) => view);
  const visible = grounds.map(([, view]) => view === stage.view.value);
  await drawn.Plotly.restyle(stage.still, { visible }, grounds.map(([k]) => k));
  if (stage.shows.solid) await showSolid(stage, drawn);
}

// Scale to the window whenever it changes, and draw again for another arrangement or theme.
function keepFitting(model, stage, drawn, show, signal) {
  let painting;
  const paint = async () => {
    await painting;
    await drawn.paint();
    if (signal.aborted) return;
    await showGhosts(stage, drawn.Plotly);
    if (stage.view) await setView(stage, drawn);
    show();
    await showMore(model, stage, drawn);
  };
  const fit = () => {
    if (!stage.figure.clientWidth) return;
    const wanted = arrange(stage, drawn.arrangements);
    const same = wanted.width === drawn.arrangement.width && wanted.fold === drawn.arrangement.fold;
    drawn.arrangement = wanted;
    scaleTo(stage, wanted);
    if (!same) painting = paint();
    else if (stage.shows.solid) showSolid(stage, drawn);
  };
  const observer = new ResizeObserver(fit);
  observer.observe(stage.root);
  signal.addEventListener("abort", () => observer.disconnect());
  window.addEventListener("resize", fit, { signal });
  document.addEventListener("fullscreenchange", fit, { signal });
  onTheme(() => isDark() !== stage.theme && ((stage.theme = isDark()), (painting = paint())), signal);
}

export default { render, inTheme, onTheme };
