// What a lecturer reaches for: play, undo, pin, save, full screen, and a key for each.

const SWEEP = 3600; // milliseconds from the first slider position to the last, at normal speed
const SPEEDS = [["quarter", "¼×", 0.25], ["half", "½×", 0.5], ["normal", "1×", 1], ["double", "2×", 2]];
const NORMAL = 2; // its place
const PAUSE = "M5 3 H8.5 V17 H5 Z M11.5 3 H15 V17 H11.5 Z";
const REST = 500; // milliseconds after which the next change is another step to undo

// Sweep the slider to its end, or pause. With reduced motion it goes on in eight steps.
function player(model, stage, turn, rested) {
  let frame;
  const showPlaying = (plays) => {
    stage.tools.play.setAttribute("aria-pressed", String(plays));
    stage.tools.play.querySelector("path").setAttribute("d", plays ? PAUSE : TOOLS.play[2]);
  };
  const pause = () => {
    if (frame === undefined) return;
    cancelAnimationFrame(frame);
    rested();
    frame = undefined;
    showPlaying(false);
  };
  const play = () => {
    const last = model.get("values").length - 1;
    const steps = matchMedia("(prefers-reduced-motion: reduce)").matches ? 8 : last;
    if (model.get("index") === last) turn(0);
    let share = model.get("index") / last;
    let before = performance.now();
    showPlaying(true);
    const next = (now) => {
      // the first frame may have begun before the press
      share = Math.min(1, share + (SPEEDS[stage.speed][2] * Math.max(0, now - before)) / SWEEP);
      before = now;
      const index = Math.round((Math.floor(share * steps) / steps) * last);
      if (index !== model.get("index")) turn(index);
      if (share < 1) frame = requestAnimationFrame(next);
      else pause();
    };
    frame = requestAnimationFrame(next);
  };
  return { pause, toggle: () => (frame === undefined ? play() : pause()) };
}

// Say how fast "play" is: on its button, and to a screen reader.
function setSpeed(stage, speed) {
  if (!SPEEDS[speed]) return;
  stage.speed = speed;
  const [name, text] = SPEEDS[speed];
  const { speed: button } = stage.tools;
  button.textContent = text;
  button.setAttribute("aria-label", `Speed of play: ${name}`);
  stage.spoken.textContent = `${name} speed`;
}

// Remember what the learner set once it has rested for a moment. A key or a handle that is held makes one step,
// however long, and so do presses that follow quickly. Another control makes another step.
function recorder(model, restore) {
  const names = ["index", "choice", "points"];
  const now = () => JSON.stringify(names.map((name) => model.get(name)));
  const past = [now()];
  const future = [];
  let resting;
  let held = false;
  const note = () => {
    clearTimeout(resting);
    if (!held) resting = setTimeout(settle, REST);
  };
  const settle = () => {
    clearTimeout(resting);
    if (now() === past.at(-1)) return;
    past.push(now());
    future.length = 0;
  };
  const go = (state) => restore(Object.fromEntries(names.map((name, k) => [name, JSON.parse(state)[k]])));
  return {
    note,
    hold: (holds) => {
      held = holds;
      note();
    },
    leave: () => {
      held = false;
      settle();
    },
    undo: () => {
      settle();
      if (past.length < 2) return;
      future.push(past.pop());
      go(past.at(-1));
    },
    redo: () => {
      settle();
      if (!future.length) return;
      past.push(future.pop());
      go(past.at(-1));
    },
    reset: () => {
      settle();
      go(past[0]);
      settle();
    },
  };
}

// Keep the present state as a thin dotted ghost behind the moving traces, or remove it.
async function pin(stage, drawn) {
  const { Plotly } = drawn;
  const { resting, moving, ghosts } = stage;
  if (ghosts.length) await Plotly.deleteTraces(resting, ghosts.map((_, k) => -1 - k));
  const pinned = ghosts.length ? [] : moving.data.filter(({ uid, mode }) => !/text/.test(mode) && !/edge$|^point/.test(uid));
  stage.ghosts = pinned.map((trace) => ({ ...trace, x: [...trace.x], y: [...trace.y] }));
  stage.tools.pin.setAttribute("aria-pressed", String(pinned.length > 0));
  await showGhosts(stage, Plotly);
  if (stage.shows.solid) await showSolid(stage, drawn);
}

// Draw the ghosts in the colour of the page; a picture that was drawn again needs them again.
function showGhosts({ resting, still, ghosts }, Plotly) {
  const { color } = still._fullLayout.font;
  const traces = ghosts.map(({ uid, marker, ...trace }) => ({
    ...trace,
    ...{ opacity: 0.55, fillcolor: "rgba(0,0,0,0)", line: { color, width: 2.5, dash: "dot" } },
    marker: { ...marker, color, line: { width: 0 } },
  }));
  return traces.length ? Plotly.addTraces(resting, traces) : Promise.resolve();
}

// Save what the stage shows as a picture, with its line of text: one plot of all layers, cut at the fold
// unless "more" is open; or the 3-D view.
async function save(model, stage, { Plotly, plots }, format) {
  const place = `${model.get("label")} = ${model.get("values")[model.get("index")]}`;
  const download = `${model.get("title")}, ${place}.${format}`;
  const finish = (href) => Object.assign(document.createElement("a"), { href, download }).click();
  if (stage.shows.solid) return finish(await Plotly.toImage(stage.relief, { format, scale: 2 }));
  const { width, font, paper_bgcolor } = stage.still._fullLayout;
  const [tall, fold] = [stage.tall, stage.shows.more ? stage.tall : stage.fold];
  const figure = { data: plots.flatMap((plot) => plot.data), layout: { ...stage.still.layout, showlegend: false } };
  const url = await Plotly.toImage(figure, { format: "svg", width, height: tall });
  const shown = fold + 30;
  const text = document.createElementNS(SVG, "text");
  for (const [name, value] of Object.entries({ x: 10, y: fold + 20, "font-size": 15, "font-family": font.family, fill: font.color }))
    text.setAttribute(name, value);
  text.textContent = stage.state.textContent;
  const ground = `<rect y="${fold}" width="${width}" height="30" fill="${paper_bgcolor}"/>`;
  const svg = decodeURIComponent(url.slice(url.indexOf(",") + 1))
    .replace(`height="${tall}"`, `height="${shown}"`)
    .replace(`viewBox="0 0 ${width} ${tall}"`, `viewBox="0 0 ${width} ${shown}"`)
    .replace(/<\/svg>\s*$/, `${ground}${new XMLSerializer().serializeToString(text)}</svg>`);
  const picture = `data:image/svg+xml,${encodeURIComponent(svg)}`;
  if (format === "svg") return finish(picture);
  const image = Object.assign(new Image(), { src: picture });
  await image.decode();
  const canvas = Object.assign(document.createElement("canvas"), { width: 2 * width, height: 2 * shown });
  canvas.getContext("2d").drawImage(image, 0, 0, 2 * width, 2 * shown);
  return finish(canvas.toDataURL("image/png"));
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
  const looks = [
    ...(stage.view?.selectedIndex ? [`colour="${stage.view.value}"`] : []),
    ...(stage.shows.solid ? ["solid=True"] : []),
  ];
  const call = model.get("recipe").replace(/\{(\w+)\}/g, (_, part) => parts[part]);
  const text = looks.length ? `${call}.shown(${looks.join(", ")})` : call;
  stage.recipe.textContent = text;
  stage.recipe.hidden = false;
  navigator.clipboard?.writeText(text).catch(() => {});
}
