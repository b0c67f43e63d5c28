// Begins on every page: what all have in common, then the module of the view that this page is.
import { localise, tick } from "./clock.js";
import { beginConnection } from "./connection.js";

const VIEWS = ["active", "attention", "history", "process", "services"];

async function begin() {
  localise(document);
  setInterval(() => tick(document), 1000);
  document.addEventListener("keydown", keys);
  const view = document.body.dataset.view;
  if (!VIEWS.includes(view)) return;
  const { begin: beginView } = await import(`./${view}.js`);
  const connection = beginConnection();
  beginView(connection);
  document.documentElement.dataset.ready = view;
}

// «/» goes to the search of the page, j and k go through its rows.
function keys(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = event.target.closest("input, textarea, select, dialog[open]");
  if (event.key === "Escape" && typing?.type === "search") {
    typing.value = "";
    typing.dispatchEvent(new Event("input", { bubbles: true }));
    typing.blur();
  }
  if (typing) return;
  if (event.key === "/") {
    const search = document.querySelector("main input[type=search]");
    if (!search) return;
    event.preventDefault();
    search.focus();
  } else if (event.key === "j" || event.key === "k") {
    const links = [...document.querySelectorAll("tr[data-key]:not([hidden]) th a[href]")];
    const at = links.indexOf(document.activeElement);
    const next = event.key === "j" ? at + 1 : Math.max(0, at < 0 ? 0 : at - 1);
    links[Math.min(next, links.length - 1)]?.focus();
  }
}

begin();
