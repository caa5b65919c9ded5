// The pointer: pulling handles, and the values under it.

// True if the handle of a point moves along with the slider.
const rides = (model, k) => model.get("moving").some(([trace]) => trace === model.get("handles")[k]);

const bySide = ({ _fullLayout }) => [_fullLayout.xaxis, _fullLayout.yaxis];

// The place of an event on the canvas, in its own pixels.
function pixels(stage, event) {
  const box = stage.canvas.getBoundingClientRect();
  return [(event.clientX - box.left) / stage.scale, (event.clientY - box.top) / stage.scale];
}

// Let the learner press near a point and pull it. The axes of the first panel turn pixels into data.
function letDrag(model, stage, move, signal) {
  const plot = stage.moving;
  const near = (event) => {
    if (model.get("locked")) return undefined;
    const [x, y] = pixels(stage, event);
    const away = stage.points.map((_, k) => {
      const [left, top] = bySide(plot).map((axis, side) => axis._offset + axis.d2p(stage.at(k)[side]));
      return Math.hypot(x - left, y - top) * stage.scale;
    });
    const nearest = Math.min(...away);
    return nearest < (event.pointerType === "mouse" ? 20 : 32) ? away.indexOf(nearest) : undefined;
  };
  const pull = (event) => {
    const at = pixels(stage, event);
    move(stage.held, ...bySide(plot).map((axis, side) => axis.p2d(at[side] - axis._offset)));
  };
  const listen = (event, react, options) => plot.addEventListener(event, react, { signal, ...options });
  listen(
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
  // a finger on a handle pulls it; elsewhere it scrolls the page
  listen("touchstart", (event) => near(event.touches[0]) !== undefined && event.preventDefault(), { passive: false });
  listen("pointermove", (event) => {
    const held = stage.held !== undefined;
    if (held) pull(event);
    plot.style.cursor = held ? "grabbing" : near(event) === undefined ? "" : "grab";
  });
  listen("pointerup", () => (stage.held = undefined));
  listen("pointercancel", () => (stage.held = undefined));
}

// A loss on a grid, with plain arrays: plotly.py sends arrays as text in base 64.
function gridOf(trace) {
  const plain = (array) => {
    if (!array.bdata) return array;
    const { buffer } = Uint8Array.from(atob(array.bdata), (letter) => letter.charCodeAt(0));
    const flat = array.dtype === "f4" ? new Float32Array(buffer) : new Float64Array(buffer);
    if (!array.shape) return flat;
    const [rows, columns] = array.shape.split(",").map(Number);
    return [...Array(rows).keys()].map((row) => flat.subarray(row * columns, (row + 1) * columns));
  };
  return { ...trace, x: plain(trace.x), y: plain(trace.y), z: plain(trace.z) };
}

// The height of a grid at a point, between its nodes too.
function heightAt({ x, y, z }, px, py) {
  const place = (axis, value) => {
    const at = ((value - axis[0]) / (axis.at(-1) - axis[0])) * (axis.length - 1);
    const low = Math.min(Math.max(Math.floor(at), 0), axis.length - 2);
    return [low, Math.min(Math.max(at - low, 0), 1)];
  };
  const [[i, u], [j, v]] = [place(x, px), place(y, py)];
  const row = (r) => z[r][i] * (1 - u) + z[r][i + 1] * u;
  return row(j) * (1 - v) + row(j + 1) * v;
}

const PER_STEP = 6; // pixels of a pull that move the slider by one position

// Let the learner turn a space: a pull to the side moves the slider, and its ends meet.
function letTurn(model, stage, turn, signal) {
  const plot = stage.moving;
  let held;
  const listen = (event, react) => plot.addEventListener(event, react, { signal });
  plot.style.touchAction = "pan-y"; // a finger turns it to the side, and scrolls the page up and down
  listen("pointerdown", (event) => {
    const [x] = pixels(stage, event);
    const [{ _offset, _length }] = bySide(plot);
    if (model.get("locked") || x < _offset || x > _offset + _length) return;
    held = { x, index: model.get("index") };
    plot.setPointerCapture(event.pointerId);
    event.preventDefault();
  });
  listen("pointermove", (event) => {
    plot.style.cursor = held ? "grabbing" : "grab";
    if (!held) return;
    const round = model.get("values").length - 1;
    const index = held.index - Math.round((pixels(stage, event)[0] - held.x) / PER_STEP);
    turn(((index % round) + round) % round);
  });
  for (const event of ["pointerup", "pointercancel"]) listen(event, () => (held = undefined));
}

// The names of the points near a place on the canvas, for traces that name their points.
function namesAt(stage, x, y) {
  const named = [stage.resting, stage.moving].flatMap(({ data, _fullLayout }) =>
    data.filter(({ meta }) => meta?.names).map((trace) => [trace, bySide({ _fullLayout })]),
  );
  return named.flatMap(([{ meta, x: xs, y: ys }, [across, up]]) =>
    meta.names.filter(
      (_, k) => Math.hypot(across._offset + across.d2p(xs[k]) - x, up._offset + up.d2p(ys[k]) - y) < 10,
    ),
  );
}

// Write what is under the pointer into the corner of the figure: names of points, the place, and the losses.
function letRead(stage, signal) {
  const number = (value) => Number(value.toPrecision(3)).toString().replace("-", "−");
  const read = (event) => {
    const [x, y] = pixels(stage, event);
    const { _subplots, ...full } = stage.still._fullLayout;
    const within = ({ _offset, _length }, at) => at >= _offset && at <= _offset + _length;
    const axes = _subplots.cartesian
      .map((name) => name.match(/[xy]\d*/g).map((axis) => full[axis.replace(/([xy])/, "$1axis")]))
      .find(([across, up]) => within(across, x) && within(up, y));
    const points = namesAt(stage, x, y).join(", ");
    if (!axes || !axes.every((axis) => axis.visible)) return points;
    const [px, py] = [axes[0].p2d(x - axes[0]._offset), axes[1].p2d(y - axes[1]._offset)];
    const grounds = stage.grounds.filter(({ xaxis = "x" }) => xaxis === axes[0]._id);
    const names = axes.map(({ _name }) => stage.still.layout[_name].title?.text ?? "");
    const heights = grounds.map((ground) => `${ground.meta.view} ${number(heightAt(ground, px, py))}`);
    const place = [px, py].map((value, k) => `${names[k]} ${number(value)}`.trim());
    return [...(points ? [points] : []), ...place, ...heights].join(" · ");
  };
  const show = (event) => {
    const text = event.pointerType === "touch" ? "" : read(event);
    stage.readout.textContent = text;
    stage.readout.hidden = !text;
    // in the lower left corner of the large panel, where it covers no name and no number
    const [across, up] = bySide(stage.still);
    stage.readout.style.left = `${stage.left + stage.scale * across._offset + 4}px`;
    stage.readout.style.top = `${stage.scale * (up._offset + up._length) - stage.readout.offsetHeight - 4}px`;
  };
  stage.moving.addEventListener("pointermove", show, { signal });
  const hide = () => (stage.readout.hidden = true);
  stage.moving.addEventListener("pointerleave", hide, { signal });
  stage.root.addEventListener("keydown", hide, { signal });
}
