// A stage: a plotly figure whose moving traces follow a slider through a table that lies in the page.
// It asks the kernel only when a draggable point moves, or when the table of a choice is missing.

const NO_KERNEL = "This needs a running kernel, and the kernel of this cell is gone. Run the cell again.";
const NO_ANSWER = "The kernel has not answered yet: it is busy, or was restarted; then run this cell again.";

// Jupyter's widgets and pages without a kernel (page.py) call this with a model. It has the methods get,
// set, save_changes, on, off and send.
function render({ model, el }) {
  const stage = build(model, el);
  const stop = new AbortController();
  const { signal } = stop;
  const listen = (node, event, react) => node?.addEventListener(event, react, { signal });
  const changed = (name, react) => {
    model.on(`change:${name}`, react);
    signal.addEventListener("abort", () => model.off(`change:${name}`, react));
  };

  // The page reacts to the learner at once. The kernel hears of it a little later.
  let pending;
  const send = (delay) => {
    clearTimeout(pending);
    pending = setTimeout(() => model.save_changes(), delay);
  };
  const say = (note) => {
    stage.note = note;
    showState(model, stage);
  };
  const isLive = kernelOf(model, signal);
  const hasKernel = () => {
    if (isLive()) return true;
    say(NO_KERNEL);
    return false;
  };
  const turn = (index) => {
    stage.note = "";
    model.set("index", index);
    send(150);
  };
  const choose = (choice) => {
    if (!model.get("tables")[choice].byteLength && !hasKernel()) return;
    model.set("choice", choice);
    send(0);
  };
  const movePoints = (points, index) => {
    if (JSON.stringify(points) === JSON.stringify(model.get("points")) || !hasKernel()) return; // no news, no table
    stage.note = "";
    stage.stale = index !== model.get("index");
    model.set("index", index);
    model.set("points", points);
    showState(model, stage);
    model.save_changes();
    clearTimeout(stage.waiting);
    stage.waiting = setTimeout(() => say(NO_ANSWER), 2000);
  };
  const move = (k, ...to) => {
    const within = (value, [low, high]) => Math.min(Math.max(Math.round(1e3 * value) / 1e3, low), high);
    const point = to.map((value, axis) => within(value, model.get("bounds")[axis]));
    movePoints(model.get("points").with(k, point), rides(model, k) ? 0 : model.get("index"));
  };
  const past = recorder(model, stage, ({ index, choice, points }) => {
    choose(choice);
    if (stage.points.length) movePoints(points, index);
    turn(index);
  });
  const { pause, toggle } = player(model, stage, turn);

  listen(stage.slider, "input", () => (pause(), turn(Number(stage.slider.value)), past.note()));
  listen(stage.choice, "change", () => {
    choose(stage.choice.selectedIndex);
    showState(model, stage);
    past.note();
  });
  for (const [k, inputs] of stage.points.entries()) {
    const typed = () => {
      const to = inputs.map((input) => input.valueAsNumber);
      if (to.every(Number.isFinite)) move(k, ...to);
      const taken = model.get("points")[k]; // within bounds; the old point if the text is not a number
      const wrong = inputs.findIndex((input, axis) => !(Math.abs(to[axis] - taken[axis]) < 1e-3));
      if (wrong >= 0 && isLive()) {
        const [low, high] = model.get("bounds")[wrong];
        say(`Got ${inputs[wrong].value || "no number"}; expected a number from ${low} to ${high}. Took ${taken[wrong]}.`);
      }
      inputs.forEach((input, axis) => (input.value = taken[axis]));
      past.note();
    };
    for (const input of inputs) {
      listen(input, "change", typed);
      listen(input, "keydown", (event) => event.key === "Enter" && typed());
    }
  }
  changed("locked", () => showState(model, stage));

  // plotly can draw only after the page has given the figure a width
  draw(model, stage, signal).then((drawn) => drawn && open(drawn));
  const open = (drawn) => {
    const show = animated(model, stage, drawn, signal);
    const read = () => {
      drawn.tables = decode(model);
      drawn.texts = JSON.parse(inTheme(JSON.stringify(model.get("texts"))));
    };
    changed("index", () => show(false));
    changed("choice", () => show(true));
    changed("tables", () => {
      clearTimeout(stage.waiting);
      Object.assign(stage, { stale: false, note: stage.note === NO_ANSWER ? "" : stage.note });
      read();
      show(true);
    });
    changed("points", () => {
      showState(model, stage);
      if (stage.held !== undefined) follow(model, stage, drawn);
    });
    read();
    show(true);
    keepFitting(stage, drawn, () => (read(), show(true)), signal);
    listen(stage.view, "change", () => setView(stage, drawn));
    if (stage.points.length) {
      stage.at = (k) => placeOf(model, stage, drawn, k);
      letDrag(model, stage, move, signal);
      listen(stage.moving, "pointerup", past.note);
    }
    if (stage.still.layout.meta?.turns) {
      letTurn(model, stage, (index) => (pause(), turn(index)), signal);
      listen(stage.moving, "pointerup", past.note);
    }
    letRead(stage, signal);
    const actions = {
      ...{ play: () => (toggle(), past.note()), reset: past.reset, undo: past.undo, redo: past.redo },
      pin: () => pin(stage, drawn),
      solid: () => toggleSolid(stage, drawn),
      png: () => save(stage, drawn, "png", model.get("title")),
      svg: () => save(stage, drawn, "svg", model.get("title")),
      copy: () => copyRecipe(model, stage),
      more: () => {
        stage.shows.more = !stage.shows.more;
        stage.more.setAttribute("aria-pressed", String(stage.shows.more));
        scaleTo(stage, drawn.arrangement);
      },
      full: () => (document.fullscreenElement ? document.exitFullscreen() : stage.root.requestFullscreen()),
      help: () => (stage.keys.hidden = !stage.keys.hidden),
    };
    for (const [name, button] of Object.entries(stage.tools)) listen(button, "click", actions[name]);
    listen(stage.root, "keydown", (event) => {
      const { key, target, ctrlKey, metaKey, altKey } = event;
      if (ctrlKey || metaKey || altKey || target.type === "number" || target.tagName === "SELECT") return;
      const name = Object.keys(TOOLS).find((tool) => TOOLS[tool][1] === key);
      if (!stage.tools[name] || stage.tools[name].disabled) return;
      event.preventDefault();
      stage.tools[name].click();
    });
    signal.addEventListener("abort", pause);
  };
  showState(model, stage);
  return () => {
    stop.abort();
    clearTimeout(pending); // the model keeps the change and sends it with the next one
    clearTimeout(stage.waiting);
  };
}

// Return a function that tells whether the kernel that computed the stage still runs. A restarted kernel
// has the same name, but it has forgotten the stage.
function kernelOf(model, signal) {
  const kernel = model.widget_manager?.kernel;
  let gone = false;
  const watch = (_, status) => (gone ||= /restarting|dead|terminating/.test(status));
  kernel?.statusChanged?.connect(watch);
  signal.addEventListener("abort", () => kernel?.statusChanged?.disconnect(watch));
  return () => !gone && (!kernel || model.widget_manager.kernel === kernel);
}

// Return what brings the layers to the present slider position; with true the traces that rest too.
function animated(model, stage, drawn, signal) {
  return (withResting) => {
    const { Plotly, places, tables } = drawn;
    const [index, choice] = [model.get("index"), model.get("choice")];
    showState(model, stage);
    const table = tables[choice];
    if (table === null || signal.aborted) return;
    const texts = drawn.texts[choice];
    const animate = (plot, traces, data) => {
      const options = { frame: { duration: 0, redraw: false }, transition: { duration: 0 }, mode: "immediate" };
      if (!traces.length) return Promise.resolve();
      traces.forEach(([trace], k) => texts[trace] && (data[k].text = texts[trace][index]));
      const frame = { data, traces: traces.map(([trace]) => places.get(trace)) };
      return Plotly.animate(plot, frame, options).catch(() => {}); // a later frame replaced it
    };
    const [resting, moving] = [model.get("resting"), model.get("moving")];
    if (withResting) animate(stage.resting, resting, points(table.resting, resting, 0));
    const moved = animate(stage.moving, moving, points(table.rows, moving, index * table.width));
    if (stage.shows.solid) moved.then(() => stage.shows.solid && moveSolid(stage, drawn));
  };
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
  const options = { frame: { duration: 0, redraw: false }, transition: { duration: 0 }, mode: "immediate" };
  const frame = { data: [{ x: [x], y: [y] }], traces: [places.get(model.get("handles")[k])] };
  requestAnimationFrame(() => Plotly.animate(layerOf(model, stage, k), frame, options).catch(() => {}));
}

// Colour the landscape by the chosen loss.
async function setView(stage, drawn) {
  const grounds = stage.still.data.map(({ meta }, k) => [k, meta?.view]).filter(([, view]) => view);
  const visible = grounds.map(([, view]) => view === stage.view.value);
  await drawn.Plotly.restyle(stage.still, { visible }, grounds.map(([k]) => k));
  if (stage.shows.solid) await showSolid(stage, drawn);
}

// Scale to the window whenever it changes, and draw again for another arrangement or theme.
function keepFitting(stage, drawn, show, signal) {
  let painting;
  const paint = async () => {
    await painting;
    await drawn.paint();
    if (signal.aborted) return;
    stage.ghosts = 0;
    stage.tools.pin.setAttribute("aria-pressed", "false");
    if (stage.view) await setView(stage, drawn);
    show();
  };
  const fit = () => {
    if (!stage.figure.clientWidth) return;
    const wanted = arrange(stage, drawn.arrangements);
    const same = wanted.width === drawn.arrangement.width;
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
