// Load plotly once per page: from the page, else from a model that carries it, else from a kernel. Every
// waiting widget asks its own kernel, since another kernel may be gone. The first answer serves all of them.
function plotly(model, signal) {
  const start = (script) => {
    // another widget, or a figure of the notebook, may have brought plotly while this one waited
    if (!window.Plotly) {
      const define = window.define; // with an AMD loader on the page plotly would register there
      window.define = undefined;
      new Function(new TextDecoder().decode(script))();
      window.define = define;
    }
    window.dispatchEvent(new Event("flatmtl-plotly"));
  };
  const carried = model.get("plotly_js");
  if (!window.Plotly && carried?.byteLength) start(carried);
  if (window.Plotly) return Promise.resolve(window.Plotly);
  return new Promise((resolve) => {
    const answer = (name, buffers) => name === "plotly" && start(buffers[0]);
    const leave = () => {
      model.off("msg:custom", answer);
      window.removeEventListener("flatmtl-plotly", served);
    };
    const served = () => {
      leave();
      resolve(window.Plotly);
    };
    window.addEventListener("flatmtl-plotly", served, { once: true, signal });
    signal.addEventListener("abort", leave);
    model.on("msg:custom", answer);
    model.send("plotly");
  });
}
