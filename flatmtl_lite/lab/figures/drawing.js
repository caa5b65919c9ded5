// A plain figure in the colours of the page, light or dark.

function render({ model, el }) {
  const stop = new AbortController();
  const root = el.appendChild(document.createElement("div"));
  root.setAttribute("role", "img");
  root.setAttribute("aria-label", model.get("text"));
  plotly(model, stop.signal).then((Plotly) => {
    const draw = () => {
      const { data, layout, config } = JSON.parse(inTheme(model.get("figure")));
      return Plotly.newPlot(root, data, layout, config);
    };
    let drawn = false;
    const observer = new ResizeObserver(() => {
      if (!root.clientWidth) return; // the output is not in the page yet
      if (drawn) return Plotly.Plots.resize(root);
      drawn = true;
      draw();
    });
    observer.observe(root);
    onTheme(() => drawn && draw(), stop.signal);
    stop.signal.addEventListener("abort", () => {
      observer.disconnect();
      Plotly.purge(root);
    });
  });
  return () => stop.abort();
}

export default { render };
