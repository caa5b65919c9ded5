// The controls of a stage, and the line of text under them.

// name -> what it does, its key, and the path of its picture on a square of 20 units, or ""
const TOOLS = {
  play: ["Play or pause", "p", "M5 3 L16 10 L5 17 Z"],
  speed: ["Slower or faster play", "< >", ""],
  reset: ["Reset", "r", "M4 10 A6 6 0 1 0 7 5 M7 1.5 V5.5 H11"],
  undo: ["Undo", "z", "M8 4 L4 8 L8 12 M4 8 H12 A4 4 0 0 1 12 16 H8"],
  redo: ["Redo", "y", "M12 4 L16 8 L12 12 M16 8 H8 A4 4 0 0 0 8 16 H12"],
  pin: ["Pin the present state as a dotted ghost, or remove it", "g", "M7 2 H13 L12 9 L15 12 H5 L8 9 Z M10 12 V18"],
  solid: ["3-D view", "3", "M10 2 L17 6 V14 L10 18 L3 14 V6 Z M3 6 L10 10 L17 6 M10 10 V18"],
  png: ["Save as PNG", "s", "M10 2 V12 M6 8 L10 12 L14 8 M3 14 V17 H17 V14"],
  svg: ["Save as SVG", "v", "M3 17 C8 17 5 4 10 4 C15 4 12 17 17 17 M7 4 H13"],
  copy: ["Copy this state", "c", "M7 7 H16 V17 H7 Z M4 13 V3 H13"],
  more: ["More panels", "m", "M4 6 H16 M4 10 H16 M4 14 H16"],
  full: ["Full screen", "f", "M3 8 V3 H8 M12 3 H17 V8 M17 12 V17 H12 M8 17 H3 V12"],
  help: ["Keys", "?", "M7 7 A3 3 0 1 1 10 11 V13 M10 15.5 V17"],
};
const SVG = "http://www.w3.org/2000/svg";
// without this JupyterLab takes the keys for itself
const OURS = { "data-lm-suppress-shortcuts": "true" };

function add(parent, tag, properties = {}, attributes = {}) {
  const node = Object.assign(document.createElement(tag), properties);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  parent.append(node);
  return node;
}

// Give the keys to the stage.
function takeFocus(stage) {
  (stage.slider.disabled ? stage.tools.help : stage.slider).focus();
}

function build(model, el) {
  const id = `stage-${Math.random().toString(36).slice(2)}`;
  const root = add(el, "div", { className: "flatmtl-stage" }, { role: "group", "aria-label": model.get("title") });
  const stage = { root, tools: {}, shows: { more: false }, room: {}, ghosts: [], theme: isDark() };
  root.dataset.theme = stage.theme ? "dark" : "light";
  const controls = add(root, "div", { className: "controls" });

  const field = (name, text, tag, properties) => {
    const pair = add(controls, "span", { className: name }); // a label and its control stay together
    add(pair, "label", { textContent: text, htmlFor: `${id}-${name}` });
    return add(pair, tag, { ...properties, id: `${id}-${name}` }, OURS);
  };
  const last = model.get("values").length - 1;
  stage.slider = field("slider", model.get("label"), "input", { type: "range", min: 0, max: last, step: 1 });
  // not an <output>, since the slider's aria-valuetext already tells a screen reader
  stage.value = add(stage.slider.parentElement, "span", { className: "value" });

  const menu = (name, text, names) => {
    const select = field(name, text, "select", {});
    for (const name of names) add(select, "option", { textContent: name });
    return select;
  };
  if (model.get("choices").length > 1) stage.choice = menu("choice", model.get("choice_label"), model.get("choices"));
  const views = JSON.parse(model.get("figure")).data.flatMap(({ meta }) => meta?.view ?? []);
  if (views.length > 1) stage.view = menu("view", "colour", views);
  if (stage.view && model.get("view")) stage.view.value = model.get("view");
  stage.points = (model.get("live") ? model.get("point_labels") : []).map((name) => {
    const pair = add(controls, "span", { className: "point" }, { role: "group", "aria-label": name });
    add(pair, "span", { textContent: name });
    return ["x", "y"].map((axis, k) => {
      const [min, max] = model.get("bounds")[k];
      const label = { "aria-label": `${name} ${axis}` };
      return add(pair, "input", { type: "number", min, max, step: 0.1 }, { ...OURS, ...label });
    });
  });
  const left_out = { copy: !model.get("recipe"), solid: !views.length };
  const line = add(root, "div", { className: "line" });
  stage.state = add(line, "output", { className: "state" }, { "aria-live": "polite" });
  const bar = add(line, "span", { className: "tools" }, { role: "toolbar", "aria-label": "Tools" });
  for (const [name, [text, key, path]] of Object.entries(TOOLS)) {
    if (left_out[name]) continue;
    const button = add(bar, "button", { type: "button", title: `${text} (${key})` }, { ...OURS, "aria-label": text });
    stage.tools[name] = button;
    if (!path) continue; // it shows a text
    const svg = button.appendChild(document.createElementNS(SVG, "svg"));
    svg.setAttribute("viewBox", "0 0 20 20");
    svg.appendChild(document.createElementNS(SVG, "path")).setAttribute("d", path);
  }
  stage.spoken = add(line, "span", { className: "spoken" }, { role: "status" });
  setSpeed(stage, NORMAL);
  stage.spoken.textContent = ""; // nothing has changed yet
  stage.usable = () => Object.values(stage.tools).filter(({ disabled, hidden }) => !disabled && !hidden);
  stage.recipe = add(root, "code", { className: "recipe", hidden: true });
  stage.keys = add(root, "dl", { className: "keys", hidden: true });
  add(stage.keys, "p", { textContent: "These keys work while the focus is in the picture: press Tab until it is, or click into it. Esc leaves it; then the keys change the cell." });
  if (stage.points.length)
    add(stage.keys, "p", { textContent: "A point moves with its handle in the picture, or when you type its coordinates above it." });
  const moves = ["Move the slider, go from tool to tool, or turn the 3-D view (↑ ↓ too): what has the focus", "← →"];
  stage.rows = {}; // of the list of keys
  for (const [name, [text, key]] of Object.entries({ moves, ...TOOLS })) {
    if (name !== "moves" && !stage.tools[name]) continue;
    stage.rows[name] = [["dt", key], ["dd", text]].map(([tag, textContent]) => add(stage.keys, tag, { textContent }));
  }
  stage.figure = add(root, "div", { className: "figure" });
  stage.canvas = add(stage.figure, "div", { className: "canvas" }, { role: "img" });
  stage.rest = add(stage.figure, "div", { className: "rest" }); // the place of "more"
  for (const layer of ["still", "resting", "moving"]) stage[layer] = add(stage.canvas, "div", { className: layer });
  stage.lock = add(stage.figure, "p", { className: "lock" }, { role: "status" });
  stage.readout = add(stage.figure, "div", { className: "readout", hidden: true }, { "aria-hidden": "true" });
  return stage;
}

// A number as the axes write it. Code and fields for numbers need the hyphen.
const withMinus = (number) => String(number).replace(/^-/, "−");

// Give the line of text the room that its longest text needs: a line that grows would move the picture. At one
// width it never shrinks. The text is measured in a copy, since a screen reader reads what is written in the line.
function keepRoom(stage) {
  const { state, states = [], room } = stage;
  const wide = state.clientWidth;
  if (!states.length || (room.states === states && room.wide === wide)) return;
  const copy = Object.assign(state.cloneNode(), { textContent: states.reduce((one, other) => (other.length > one.length ? other : one)) });
  copy.removeAttribute("aria-live");
  Object.assign(copy.style, { position: "absolute", visibility: "hidden", width: `${wide}px`, minHeight: "" });
  state.after(copy);
  const height = Math.max(Math.ceil(copy.getBoundingClientRect().height), room.wide === wide ? room.height : 0);
  copy.remove();
  state.style.minHeight = `${height}px`;
  stage.room = { states, wide, height };
}

function showState(model, stage) {
  const [index, choice, locked] = ["index", "choice", "locked"].map((name) => model.get(name));
  // after a dragged handle has sent the slider back, the old line would contradict it
  const text = (!stage.stale && model.get("states")[choice][index]) || "computing …";
  stage.states = model.get("states")[choice];
  keepRoom(stage);
  if (stage.state.textContent !== text) stage.state.textContent = text;
  stage.canvas.setAttribute("aria-label", text);
  stage.slider.value = index;
  const value = withMinus(model.get("values")[index]);
  stage.value.textContent = value;
  stage.slider.setAttribute("aria-valuetext", value);
  if (stage.choice) stage.choice.selectedIndex = choice;
  for (const [k, inputs] of stage.points.entries())
    for (const [axis, input] of inputs.entries())
      if (input !== document.activeElement)
        input.value = (stage.shown?.[k] ?? model.get("points")[k])[axis]; // but not while the learner types
  const { play, speed, reset, undo, redo } = stage.tools;
  for (const control of [stage.slider, stage.choice, ...stage.points.flat(), play, speed, reset, undo, redo])
    if (control) control.disabled = !!locked;
  keepOneStop(stage);
  stage.lock.textContent = locked || stage.note || "";
  stage.lock.hidden = !stage.lock.textContent;
  stage.recipe.hidden = true;
}

// Let Tab reach one tool, the last used one; the arrow keys go on from there.
function keepOneStop(stage, chosen = stage.stop) {
  const usable = stage.usable();
  stage.stop = usable.includes(chosen) ? chosen : usable[0];
  for (const button of Object.values(stage.tools)) button.tabIndex = button === stage.stop ? 0 : -1;
}
