// The landscape in 3-D, with the path on it. It lies over the large panel and is turned with the mouse, or with
// the arrow keys.

const TURN = 8; // degrees for a press of a key

// What stands on the ground, from back to front. A ghost has no uid.
const solids = ({ still, resting, moving }) =>
  [still, resting, moving].flatMap(({ data }) => data).filter(({ meta, xaxis = "x" }) => meta?.solid && xaxis === "x");

// The same traces, lifted to the height of the loss. A plot that was drawn just now has no points yet.
function lifted(stage, ground, range) {
  const edge = stage.still._fullLayout.font.color;
  return solids(stage).map(({ uid, x = [], y = [], mode, line, marker }) => ({
    type: "scatter3d",
    mode,
    x: [...x],
    y: [...y],
    z: [...x].map((px, k) => (Number.isFinite(px) ? heightAt(ground, px, y[k]) + 0.03 * range : NaN)),
    line: { color: line?.color, width: uid ? 7 : 5, dash: uid ? "solid" : "dot" },
    marker: { color: marker?.color, size: 7, symbol: "diamond", line: { width: 2, color: edge } },
    hoverinfo: "skip",
    visible: !/text/.test(mode), // its texts are written over the ground
  }));
}

const written = (at, text, color) => ({ ...at, text, showarrow: false, font: { color } });

// The texts of what rests on the ground, such as the numbers of the minima on their discs.
function marks(stage, traces) {
  return solids(stage).flatMap(({ text = [], textfont, marker }, k) => {
    const { x, y, z } = traces[k];
    return traces[k].visible ? [] : x.map((px, j) => ({ ...written({ x: px, y: y[j], z: z[j] }, text[j], textfont?.color), bgcolor: marker?.color[j] }));
  });
}

// The names at the ends of paths, as the flat picture writes them: in front of the ground, on either side.
function names(stage, traces) {
  const { text = [], textfont } = stage.moving.data.find(({ uid }) => uid === "labels") ?? {};
  return solids(stage).flatMap(({ uid = "" }, k) => {
    const place = text.indexOf(`<b>${uid.replace(/^path-/, "")}</b>`);
    if (place < 0 || !uid.startsWith("path-")) return [];
    const { x, y, z } = traces[k];
    const last = x.findLastIndex(Number.isFinite);
    const [side, xanchor] = place % 2 ? [-1, "right"] : [1, "left"];
    const at = { x: x[last], y: y[last], z: z[last], xanchor, xshift: 12 * side, yshift: 18 * (place >> 1) };
    return [written(at, text[place], textfont.color[place])];
  });
}

const groundOf = (stage) => stage.grounds.find(({ meta }) => meta.view === stage.view.value);

// A place for the view that takes the focus and the arrow keys.
function openRelief(stage, Plotly) {
  const label = "3-D view: the arrow keys turn it";
  const relief = add(stage.figure, "div", { className: "relief", tabIndex: 0 }, { ...OURS, role: "application", "aria-label": label });
  const ways = { ArrowLeft: [-TURN, 0], ArrowRight: [TURN, 0], ArrowUp: [0, TURN], ArrowDown: [0, -TURN] };
  relief.addEventListener("keydown", (event) => {
    if (!ways[event.key] || event.target !== relief || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    Plotly.relayout(relief, { "scene.camera.eye": turned(relief._fullLayout.scene.camera, ...ways[event.key]) });
  });
  return relief;
}

// Where the camera stands after it went round its centre, and up or down, by some degrees.
function turned({ eye, center }, around, up) {
  const [x, y, z] = ["x", "y", "z"].map((side) => eye[side] - center[side]);
  const radians = Math.PI / 180;
  const angle = Math.atan2(y, x) + around * radians;
  const height = Math.min(Math.max(Math.atan2(z, Math.hypot(x, y)) + up * radians, 5 * radians), 85 * radians);
  const [far, flat] = [Math.hypot(x, y, z), Math.hypot(x, y, z) * Math.cos(height)];
  const [dx, dy, dz] = [flat * Math.cos(angle), flat * Math.sin(angle), far * Math.sin(height)];
  return { x: center.x + dx, y: center.y + dy, z: center.z + dz };
}

async function showSolid(stage, { Plotly }) {
  const ground = groundOf(stage);
  const { x, y, z, colorscale, zmin, zmax } = ground;
  const [across, up] = bySide(stage.still);
  stage.relief ??= openRelief(stage, Plotly);
  const [width, height] = [stage.scale * (across._offset + across._length), stage.scale * stage.fold];
  const box = { left: stage.left, top: 0, width, height };
  for (const [name, value] of Object.entries(box)) stage.relief.style[name] = `${value}px`;
  const { font: small, paper_bgcolor } = stage.still._fullLayout;
  const font = { ...small, size: small.size * Math.max(1, stage.scale) };
  const heights = z.map((row) => Array.from(row, (value) => Math.min(value, zmax)));
  const surface = { type: "surface", x, y, z: heights, colorscale, cmin: zmin, cmax: zmax, showscale: false };
  const axis = (text) => ({ title: { text }, showspikes: false, nticks: 4, color: font.color });
  const scene = {
    xaxis: axis("θ₁"),
    yaxis: axis("θ₂"),
    zaxis: axis(""), // its title would be cut at the edge
    domain: { x: [0, 1], y: [0, 1] },
    aspectmode: "manual",
    aspectratio: { x: 1.25 * (across._length / up._length), y: 1.25, z: 0.7 },
    camera: stage.relief._fullLayout?.scene?.camera ?? { eye: { x: -0.98, y: -1.55, z: 1.6 }, center: { x: 0, y: 0, z: -0.24 } },
  };
  const layout = { scene, paper_bgcolor, font, showlegend: false, margin: { l: 0, r: 0, t: 0, b: 0 } };
  const { start, end, size } = ground.contours;
  const contours = { z: { show: true, start, end, size, color: paper_bgcolor, width: 1 } };
  const traces = lifted(stage, ground, zmax - zmin);
  const data = [{ ...surface, contours, opacity: 0.92, hoverinfo: "skip" }, ...traces];
  scene.annotations = [...marks(stage, traces), ...names(stage, traces)];
  const caption = { text: "height: loss", x: 0, y: 1, xref: "paper", yref: "paper", showarrow: false };
  Object.assign(layout, { width, height, annotations: [caption] });
  await Plotly.newPlot(stage.relief, data, layout, { displayModeBar: false });
}

function moveSolid(stage, { Plotly }) {
  const ground = groundOf(stage);
  const traces = lifted(stage, ground, ground.zmax - ground.zmin);
  const points = Object.fromEntries(["x", "y", "z"].map((side) => [side, traces.map((trace) => trace[side])]));
  const places = traces.map((_, k) => k + 1);
  const moved = names(stage, traces);
  if (moved.length) Plotly.update(stage.relief, points, { "scene.annotations": [...marks(stage, traces), ...moved] }, places);
  else Plotly.restyle(stage.relief, points, places);
}

async function toggleSolid(stage, state) {
  stage.shows.solid = !stage.shows.solid;
  stage.tools.solid.setAttribute("aria-pressed", String(stage.shows.solid));
  if (stage.shows.solid) return showSolid(stage, state);
  const hadFocus = stage.relief.contains(document.activeElement);
  state.Plotly.purge(stage.relief);
  stage.relief.remove();
  stage.relief = undefined;
  if (hadFocus) takeFocus(stage); // else JupyterLab would take the next key for the cell
}
