// What a learner can tell a stage. The page reacts at once, and the kernel hears of it a little later.

const NO_KERNEL = "This needs a running kernel, and the kernel of this cell is gone. Run the cell again.";
const NO_ANSWER = "The kernel has not answered yet: it is busy, or was restarted; then run this cell again.";

function commands(model, stage, signal) {
  let pending;
  const send = (delay) => {
    clearTimeout(pending);
    pending = setTimeout(() => model.save_changes(), delay);
  };
  signal.addEventListener("abort", () => {
    clearTimeout(pending); // the model keeps the change and sends it with the next one
    clearTimeout(stage.waiting);
  });
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
  // Take typed coordinates, and say so if they are others than the learner wrote.
  const type = (k) => {
    const inputs = stage.points[k];
    const to = inputs.map((input) => input.valueAsNumber);
    const texts = inputs.map((input) => input.value);
    if (to.every(Number.isFinite)) move(k, ...to);
    const taken = model.get("points")[k]; // within bounds; the old point if the text is not a number
    const wrong = inputs.findIndex((_, axis) => !(Math.abs(to[axis] - taken[axis]) < 1e-3));
    if (wrong >= 0 && isLive()) {
      const [low, high] = model.get("bounds")[wrong].map(withMinus);
      const took = Number.isFinite(to[wrong]) ? "Took" : "Kept";
      const [got, now] = [texts[wrong] || "no number", taken[wrong]].map(withMinus);
      say(`Got ${got}; expected a number from ${low} to ${high}. ${took} ${now}.`);
    }
    inputs.forEach((input, axis) => (input.value = taken[axis]));
  };
  const restore = ({ index, choice, points }) => {
    choose(choice);
    if (stage.points.length) movePoints(points, index);
    turn(index);
  };
  const past = recorder(model, restore);
  return { turn, choose, move, type, past, ...player(model, stage, turn, past.note) };
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

// Call the commands from the slider, the menu and the fields.
function hearControls(stage, { turn, choose, type, past, pause }, listen) {
  listen(stage.slider, "input", () => (pause(), turn(Number(stage.slider.value)), past.note()));
  listen(stage.choice, "change", () => (choose(stage.choice.selectedIndex), past.note()));
  for (const [k, inputs] of stage.points.entries())
    for (const input of inputs) {
      const typed = () => (type(k), past.note());
      listen(input, "change", typed);
      listen(input, "beforeinput", (event) => takeMinus(event));
      listen(input, "keydown", (event) => event.key === "Enter" && typed());
    }
  for (const control of [stage.slider, stage.choice, ...stage.points.flat()]) {
    for (const event of ["keydown", "pointerdown"]) listen(control, event, () => past.hold(true));
    listen(control, "keyup", () => past.hold(false));
    listen(control, "blur", past.leave);
  }
  for (const event of ["pointerup", "pointercancel"]) listen(window, event, () => past.hold(false));
}

// A field for numbers refuses the minus sign of the axes. Give it a hyphen in its place.
function takeMinus(event) {
  if (!event.data?.includes("−")) return;
  event.preventDefault();
  document.execCommand("insertText", false, event.data.replaceAll("−", "-"));
}

// Give every button its action, and every key its button.
function hearTools(model, stage, drawn, { past, pause, toggle }, listen) {
  const actions = {
    play: toggle,
    speed: () => setSpeed(stage, (stage.speed + 1) % SPEEDS.length),
    reset: () => (pause(), setSpeed(stage, NORMAL), past.reset()),
    undo: () => (pause(), past.undo()),
    redo: () => (pause(), past.redo()),
    pin: () => pin(stage, drawn),
    solid: () => toggleSolid(stage, drawn),
    png: () => save(model, stage, drawn, "png"),
    svg: () => save(model, stage, drawn, "svg"),
    copy: () => copyRecipe(model, stage),
    more: () => {
      stage.shows.more = !stage.shows.more;
      stage.tools.more.setAttribute("aria-pressed", String(stage.shows.more));
      scaleTo(stage, drawn.arrangement);
      showMore(model, stage, drawn);
      const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
      const shown = stage.shows.more ? stage.rest : stage.root;
      shown.scrollIntoView({ block: "nearest", behavior: still ? "auto" : "smooth" });
    },
    full: () => (document.fullscreenElement ? document.exitFullscreen() : stage.root.requestFullscreen()),
    help: () => (stage.keys.hidden = !stage.keys.hidden),
  };
  // a click into the picture gives it the keys; JupyterLab would give them to the cell
  listen(stage.figure, "click", () => setTimeout(() => takeFocus(stage)));
  for (const [name, button] of Object.entries(stage.tools)) {
    listen(button, "click", actions[name]);
    listen(button, "focus", () => keepOneStop(stage, button));
    listen(button, "keydown", (event) => goToTool(stage, button, event));
  }
  listen(window, "keydown", leaveShortcuts(stage), { capture: true });
  listen(stage.root, "keydown", (event) => {
    const { key, target, ctrlKey, metaKey, altKey } = event;
    if (ctrlKey || metaKey || altKey) return;
    if (key === "Escape") stage.keys.hidden ? stage.root.closest(".jp-Cell")?.focus() : (stage.keys.hidden = true);
    if (target.type === "number") return; // it needs its digits
    const name = Object.keys(TOOLS).find((tool) => TOOLS[tool][1].split(" ").includes(key));
    if (!stage.tools[name] || stage.tools[name].disabled) return;
    event.preventDefault();
    if (name === "speed") setSpeed(stage, stage.speed + (key === ">" ? 1 : -1));
    else stage.tools[name].click();
  });
}

// Leave shortcuts such as Ctrl+S to JupyterLab, which asks the control that has the focus before anybody hears
// of the key.
function leaveShortcuts({ root }) {
  const [name, value] = Object.entries(OURS)[0];
  return ({ target, ctrlKey, metaKey, shiftKey, key }) => {
    if (!root.contains(target) || !target.matches("input, select, button, .relief")) return;
    if (ctrlKey || metaKey || (shiftKey && key === "Enter")) target.removeAttribute(name);
    else target.setAttribute(name, value);
  };
}

// Go from a tool to the next, the previous, the first or the last one.
function goToTool(stage, button, event) {
  const usable = stage.usable();
  const at = usable.indexOf(button);
  const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: -1 }[event.key];
  if (to === undefined) return;
  event.preventDefault(); // the page would scroll
  usable.at(to % usable.length).focus();
}
