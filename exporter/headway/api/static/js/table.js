// A table whose rows are known by key: what changed is written into the row that is there, and nothing is drawn anew.
import { copy, fill } from "./bind.js";
import { setTimes } from "./clock.js";

export class Table {
  /** `body` may hold rows that the exporter rendered; `pattern` is the <template> of one. `key` names the field of a row. */
  constructor(body, pattern, key = "id") {
    this.body = body;
    this.pattern = pattern;
    this.key = key;
    this.elements = new Map();
    for (const element of body.querySelectorAll(":scope > [data-key]")) this.elements.set(element.dataset.key, element);
  }

  /** Writes fields of a row, which may be some of them; `whole` has all. */
  write(row, whole = row) {
    let element = this.elements.get(String(row[this.key]));
    if (!element) {
      element = copy(this.pattern);
      element.dataset.key = row[this.key];
      this.elements.set(element.dataset.key, element);
      row = whole;
    }
    fill(element, row);
    if (row.started !== undefined || row.ended !== undefined) setTimes(element, whole);
    return element;
  }

  remove(key) {
    this.elements.get(key)?.remove();
    this.elements.delete(key);
  }

  /** Puts the rows into the order of these keys; moves only those that are not in their place. Others are removed. */
  arrange(keys) {
    const wanted = new Set(keys);
    for (const key of [...this.elements.keys()]) if (!wanted.has(key)) this.remove(key);
    let at = this.body.firstElementChild;
    for (const key of keys) {
      const element = this.elements.get(key);
      if (element === at) at = at.nextElementSibling;
      else this.body.insertBefore(element, at);
    }
  }

  /** All rows at once, in their order. */
  show(rows) {
    for (const row of rows) this.write(row);
    this.arrange(rows.map((row) => String(row[this.key])));
  }
}
