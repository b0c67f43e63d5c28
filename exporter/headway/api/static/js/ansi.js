// A line of output with its colours: SGR sequences become classes, other sequences and control characters vanish.

const ESCAPE = /\x1b(?:\[([0-9;:]*)m|\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_]|[ -/]*[0-~]?)/g;
// As headway.cleaning: what could move, hide or turn around what follows.
const CONTROL = /[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g;
const LONGEST = 8192;

/** Writes the text of a line into an element. */
export function write(element, line) {
  const text = line.length > LONGEST ? `${line.slice(0, LONGEST)} … (${line.length - LONGEST} more characters)` : line;
  if (!text.includes("\x1b")) {
    element.textContent = clean(text);
    return;
  }
  let style = new Style();
  let at = 0;
  for (const found of text.matchAll(ESCAPE)) {
    append(element, text.slice(at, found.index), style);
    at = found.index + found[0].length;
    if (found[1] !== undefined) style = style.after(found[1]);
  }
  append(element, text.slice(at), style);
}

function append(element, text, style) {
  const shown = clean(text);
  if (!shown) return;
  if (style.plain) element.append(shown);
  else {
    const span = document.createElement("span");
    span.className = style.classes;
    if (style.rgb) span.style.color = style.rgb;
    span.textContent = shown;
    element.append(span);
  }
}

function clean(text) {
  return text.replace(CONTROL, " ");
}

class Style {
  constructor(colour = null, rgb = null, words = "") {
    this.colour = colour;
    this.rgb = rgb;
    this.words = words;
  }

  get plain() {
    return this.colour === null && this.rgb === null && !this.words;
  }

  get classes() {
    return [...this.words, ...(this.colour === null ? [] : [`c${this.colour}`])].join(" ");
  }

  after(codes) {
    let { colour, rgb } = this;
    let words = new Set(this.words);
    const numbers = codes.split(/[;:]/).map(Number);
    for (let at = 0; at < numbers.length; at++) {
      const code = numbers[at];
      if (code === 0) [colour, rgb, words] = [null, null, new Set()];
      else if (code in ON) words.add(ON[code]);
      else if (code === 22) ["b", "d"].forEach((word) => words.delete(word));
      else if (code in OFF) words.delete(OFF[code]);
      else if (code >= 30 && code <= 37) [colour, rgb] = [code - 30, null];
      else if (code >= 90 && code <= 97) [colour, rgb] = [code - 82, null];
      else if (code === 39) [colour, rgb] = [null, null];
      else if (code === 38 || code === 48) {
        const [mode, ...rest] = numbers.slice(at + 1);
        const parts = mode === 5 ? rest.slice(0, 1) : rest.slice(0, 3);
        at += 1 + (mode === 5 ? 1 : 3);
        if (code === 48) continue; // backgrounds would make text unreadable in one of the two schemes
        if (mode === 5 && parts[0] < 16) [colour, rgb] = [parts[0], null];
        else [colour, rgb] = [null, mode === 5 ? cube(parts[0]) : `rgb(${parts.map((part) => Math.min(255, part || 0)).join(" ")})`];
      }
    }
    return new Style(colour, rgb, [...words].sort().join(""));
  }
}

const ON = { 1: "b", 2: "d", 3: "i", 4: "u", 7: "v", 9: "s" };
const OFF = { 23: "i", 24: "u", 27: "v", 29: "s" };

function cube(number) {
  if (number >= 232) return `rgb(${Array(3).fill(8 + 10 * (number - 232)).join(" ")})`;
  const level = (step) => (step ? 55 + 40 * step : 0);
  const at = number - 16;
  return `rgb(${[Math.floor(at / 36), Math.floor(at / 6) % 6, at % 6].map(level).join(" ")})`;
}
