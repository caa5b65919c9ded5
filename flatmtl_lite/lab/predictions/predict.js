// A question, its answers, and how sure the learner is: a form that the keyboard alone can fill in.

const NO_ANSWER = "The kernel has not answered yet: it is busy, or was restarted; then run this cell again.";

function add(parent, tag, properties = {}) {
  const node = Object.assign(document.createElement(tag), properties);
  parent.append(node);
  return node;
}

// Add a group of radio buttons. The browser moves between them with the arrow keys.
function addGroup(form, legend, name, texts) {
  const group = add(form, "fieldset", { className: name });
  add(group, "legend", { textContent: legend });
  return texts.map((text, k) => {
    const label = add(group, "label");
    const radio = add(label, "input", { type: "radio", name, value: k, required: true });
    label.append(text);
    return radio;
  });
}

function render({ model, el }) {
  const form = add(el, "form", { className: "flatmtl-prediction" });
  const choices = addGroup(form, model.get("question"), "choice", model.get("answers"));
  const levels = addGroup(form, "How sure are you?", "level", model.get("levels"));
  const record = add(form, "button", { textContent: "Record my prediction" });
  const title = "Answer once more; the first answer counts for your calibration.";
  const again = add(form, "button", { type: "button", textContent: "Predict again", title });
  const note = add(form, "p", { className: "note" });
  note.setAttribute("role", "status");
  // otherwise JupyterLab takes the arrow keys and Enter for itself
  for (const control of form.elements) control.dataset.lmSuppressShortcuts = "true";
  let waiting;

  const check = (radios, place) => radios.forEach((radio, k) => (radio.checked = k === place));
  const ask = (asking) => {
    for (const control of [...choices, ...levels, record]) control.disabled = !asking;
    again.hidden = asking;
  };
  const show = () => {
    clearTimeout(waiting);
    const focused = form.contains(document.activeElement);
    check(choices, model.get("choice"));
    check(levels, model.get("level"));
    note.textContent = model.get("note");
    ask(model.get("asking"));
    // a pressed button that is switched off loses the focus, and a keyboard would start at the top of the page
    if (focused && !model.get("asking")) again.focus();
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const place = (radios) => radios.findIndex(({ checked }) => checked);
    model.send({ choice: place(choices), level: place(levels) });
    note.textContent = "Recording …";
    waiting = setTimeout(() => (note.textContent = NO_ANSWER), 2000);
  });
  again.addEventListener("click", () => {
    model.set("asking", true);
    model.save_changes();
    (choices[model.get("choice")] ?? choices[0]).focus();
  });
  form.addEventListener("keydown", ({ key }) => key === "Escape" && form.closest(".jp-Cell")?.focus());
  const names = ["choice", "level", "note", "asking"].map((name) => `change:${name}`).join(" ");
  model.on(names, show);
  show();
  return () => {
    clearTimeout(waiting);
    model.off(names, show);
  };
}

export default { render };
