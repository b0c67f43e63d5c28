// Asks before something is done, and says what came of it. Everything that is shown here is text.

function make(tag, text, parent) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  parent?.append(element);
  return element;
}

/**
 * Opens the dialog. `plan` is {title, lines, list, options, confirm, danger, impossible}: `list` is what it is about, one text each;
 * `options` are selects as {name, label, values: [[value, text] …]}. Resolves to the options by name, or null.
 */
export function ask(plan) {
  const dialog = document.getElementById("dialog");
  dialog.replaceChildren();
  const form = make("form", undefined, dialog);
  form.method = "dialog";
  make("h2", plan.title, form).id = "dialog-title";
  for (const line of plan.lines ?? []) make("p", line, form);
  if (plan.list?.length) {
    const list = make("ul", undefined, form);
    for (const text of plan.list) make("li", text, list);
  }
  for (const text of plan.left ?? []) make("p", text, form).className = "wrong";
  if (plan.options?.length && !plan.impossible) {
    const box = make("div", undefined, form);
    box.className = "options";
    for (const option of plan.options) {
      const label = make("label", option.label, box);
      const select = make("select", undefined, label);
      select.name = option.name;
      for (const [value, text] of option.values) make("option", text, select).value = value;
    }
  }
  const buttons = make("div", undefined, form);
  buttons.className = "buttons";
  const back = make("button", plan.impossible ? "Close" : "Not now", buttons);
  back.value = "back";
  if (!plan.impossible) {
    const go = make("button", plan.confirm, buttons);
    go.value = "go";
    go.className = plan.danger ? "danger" : "strong";
  }
  dialog.showModal();
  back.focus();
  return new Promise((resolve) => {
    dialog.returnValue = "";
    dialog.onclose = () =>
      resolve(dialog.returnValue === "go" ? Object.fromEntries(new FormData(form).entries()) : null);
  });
}

let hiding = null;

/** A line at the bottom of the page, read out too; gone after a while. */
export function tell(text, bad = false) {
  const line = document.getElementById("told");
  line.textContent = text;
  line.dataset.level = bad ? "bad" : "";
  line.hidden = false;
  clearTimeout(hiding);
  hiding = setTimeout(() => (line.hidden = true), bad ? 12000 : 6000);
}
