// Open the stages and figures of a page without a kernel, from the data in the page.

// the methods of a Jupyter widget's model that stage.js uses
class Model {
  constructor(state) {
    this.state = state;
    this.reactions = {};
  }
  get(name) {
    return this.state[name];
  }
  set(name, value) {
    this.state[name] = value;
    for (const react of this.reactions[`change:${name}`] ?? []) react();
  }
  on(event, react) {
    (this.reactions[event] ??= []).push(react);
  }
  off() {}
  save_changes() {}
}

const bytes = (text) => new DataView(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);

for (const script of document.querySelectorAll("script.flatmtl-data")) {
  const data = JSON.parse(script.textContent);
  const el = document.createElement("div");
  script.after(el);
  if (data.tables) {
    data.tables = data.tables.map(bytes);
    flatmtlStage.render({ model: new Model(data), el });
  } else {
    el.setAttribute("role", "img");
    el.setAttribute("aria-label", script.dataset.text);
    el.className = "flatmtl-figure";
    const draw = () => {
      const { data, layout, config } = JSON.parse(flatmtlStage.inTheme(script.textContent));
      Plotly.newPlot(el, data, layout, { ...config, responsive: true });
    };
    draw();
    flatmtlStage.onTheme(draw, new AbortController().signal);
  }
}
