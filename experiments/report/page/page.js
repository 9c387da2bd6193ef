// Filters, sorts, says what a mark is, compares pairs, shows transcripts. Sets text, never markup.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const $ = (id) => document.getElementById(id);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const form = $("filters"), tip = $("tip");
  const FAMILY = (all("select[name=family] option")[0] || {value: "pooled"}).value;
  const SECOND = (all("select[name=family] option")[1] || {value: FAMILY}).value;
  let family = FAMILY;
  let shown = data.cells.map(() => true);

  const make = (name, text, attributes = {}) => {
    const node = document.createElement(name);
    if (text !== undefined && text !== null) node.textContent = text;
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    return node;
  };

  // ---- filters
  const chosen = () => {
    const found = {};
    for (const select of all("select", form)) found[select.name] = select.value;
    return found;
  };
  const fits = (cell, wanted) =>
    (!wanted.defense || cell.defense === wanted.defense) && (!wanted.attack || cell.attack === wanted.attack) &&
    Object.entries(cell.axes).every(([axis, value]) => !wanted[axis] || wanted[axis] === value);
  const attackFits = (told, wanted) => told === wanted || told.startsWith(wanted + ", ") || told.split(", ").includes(wanted);

  function apply() {
    const wanted = chosen();
    family = wanted.family || FAMILY;
    shown = data.cells.map((cell) => fits(cell, wanted));
    for (const row of all("tbody tr")) {
      const {c, defense, attack, family: own} = row.dataset;
      row.hidden = c !== undefined ? !shown[c]
        : (wanted.defense && defense && defense !== wanted.defense)
          || (wanted.attack && attack && !attackFits(attack, wanted.attack))
          || (family !== FAMILY && own && own !== family);
    }
    for (const place of all("[data-f]")) place.hidden = family !== FAMILY && place.dataset.f !== family;
    for (const mark of all(".mark")) mark.classList.toggle("off", !shown[mark.dataset.c]);
    const beside = [family, family === FAMILY ? SECOND : FAMILY];  // all families together, and one
    let drawn = 0;
    for (const figure of all("figure")) {
      figure.hidden = !beside.includes(figure.dataset.family) || !all(".mark:not(.off)", figure).length;
      drawn += !figure.hidden;
    }
    $("noplots").hidden = drawn > 0;
    for (const guard of all("[data-cells]")) guard.hidden = !guard.dataset.cells.split(" ").some((c) => shown[c]);
    const count = shown.filter(Boolean).length;
    $("count").textContent = `${count} of ${data.cells.length} configurations`;
    hide();
    pair();
    whose();
  }
  form.addEventListener("change", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(apply));

  // ---- sorting
  for (const button of all(".sort")) {
    button.addEventListener("click", () => {
      const head = button.closest("th"), row = head.parentNode, place = [...row.children].indexOf(head);
      const up = head.getAttribute("aria-sort") !== "ascending";
      for (const other of row.children) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const body = head.closest("table").tBodies[0];
      const value = (line) => {
        const cell = line.children[place];
        if (head.classList.contains("number")) return cell.dataset.v === undefined ? null : Number(cell.dataset.v);
        return cell.textContent;
      };
      const order = (a, b) => {
        if (a === null || b === null) return (a === null) - (b === null);  // blanks last, whichever way
        return (typeof a === "number" ? a - b : a.localeCompare(b, "en", {numeric: true})) * (up ? 1 : -1);
      };
      body.append(...[...body.rows].map((line) => [value(line), line]).sort((a, b) => order(a[0], b[0])).map((p) => p[1]));
    });
  }

  // ---- marks of plots
  let open = null;
  function hide() {
    if (!open) return;
    open.plot.classList.remove("chosen");
    for (const mark of all(".mark.on", open.plot)) mark.classList.remove("on");
    tip.hidden = true;
    open = null;
  }
  function say(plot, number, x, y) {
    if (!open || open.plot !== plot || open.number !== number) {
      hide();
      open = {plot, number};
      plot.classList.add("chosen");
      for (const mark of all(`.mark[data-c="${number}"]`, plot)) mark.classList.add("on");
      const cell = data.cells[number], list = make("dl");
      for (const [what, value] of cell.says[plot.closest("figure").dataset.family] || []) list.append(make("dt", what), make("dd", value));
      tip.replaceChildren(make("b", `${cell.label} under ${cell.attack}`), list);
      tip.hidden = false;
    }
    const width = tip.offsetWidth, height = tip.offsetHeight;
    tip.style.left = `${Math.max(12, Math.min(x + 14, innerWidth - width - 12))}px`;
    tip.style.top = `${y + 18 + height > innerHeight ? Math.max(8, y - height - 14) : y + 18}px`;
  }
  for (const plot of all(".plot")) {
    const at = (event) => event.target.closest && event.target.closest(".mark:not(.off)");
    plot.addEventListener("pointermove", (event) => {
      const mark = at(event);
      if (mark) say(plot, mark.dataset.c, event.clientX, event.clientY);
      else if (event.pointerType === "mouse") hide();
    });
    plot.addEventListener("pointerdown", (event) => {
      const mark = at(event);
      if (mark) say(plot, mark.dataset.c, event.clientX, event.clientY); else hide();
    });
    plot.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && hide());
    plot.addEventListener("blur", hide);
    plot.addEventListener("keydown", (event) => {
      const step = {ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1}[event.key];
      if (event.key === "Escape") hide();
      if (!step) return;
      event.preventDefault();
      const left = (number) => Math.min(...all(`.mark[data-c="${number}"]`, plot).map((m) => m.getBoundingClientRect().left));
      const numbers = [...new Set(all(".mark:not(.off)", plot).map((mark) => mark.dataset.c))];
      if (!numbers.length) return;
      numbers.sort((a, b) => left(a) - left(b));
      const now = open && open.plot === plot ? numbers.indexOf(open.number) : step > 0 ? -1 : 0;
      const next = numbers[(now + step + numbers.length) % numbers.length];
      const marks = all(`.mark[data-c="${next}"]`, plot), box = marks[marks.length - 1].getBoundingClientRect();
      say(plot, next, box.left + box.width / 2, box.top + box.height / 2);
    });
  }
  addEventListener("scroll", () => open && !open.plot.matches(":focus") && hide(), {passive: true});

  // ---- pairs
  function pair() {
    const body = $("pairtable") && $("pairtable").tBodies[0];
    if (!body) return;
    const first = Number($("first").value), second = Number($("second").value), wanted = chosen();
    const familyText = all("select[name=family] option").filter((o) => o.value === family).map((o) => o.textContent)[0];
    const rows = [];
    for (const line of data.pairs.lines) {
      if (wanted.attack && !attackFits(line.setting, wanted.attack)) continue;
      if (family !== FAMILY && line.family !== familyText) continue;
      const same = line.pairs.find((p) => p[0] === first && p[1] === second);
      const turned = same ? null : line.pairs.find((p) => p[0] === second && p[1] === first);
      const found = same || turned;
      if (!found) continue;
      const flip = {higher: "lower", lower: "higher"};
      const row = make("tr");
      const number = (text, value) => make("td", text, {class: "number", ...(value === null || value === undefined ? {} : {"data-v": value})});
      const minus = (text) => text.replace(/^(.*?)(?: \[(.*), (.*)\])?$/, (_, v, low, high) =>
        low === undefined ? turn(v) : `${turn(v)} [${turn(high)}, ${turn(low)}]`);
      row.append(make("td", line.setting), make("td", line.family), number(line.drop, line.at[0]),
        number(...(line.students[first] || [""]).slice(0, 2)), number(...(line.students[second] || [""]).slice(0, 2)),
        number(same ? found[2] : minus(found[2]), same ? found[5] : -found[5]), number(found[3]),
        make("td", same ? found[4] : flip[found[4]] || found[4]));
      rows.push(row);
    }
    body.replaceChildren(...rows);
    $("nopairs").hidden = rows.length > 0;
  }
  const turn = (text) => /^\.?0*[†‡]?$/.test(text) ? text : text.startsWith("−") ? text.slice(1) : "−" + text;
  for (const id of ["first", "second"]) if ($(id)) $(id).addEventListener("change", pair);

  // ---- transcripts
  function whose() {
    const select = $("whose");
    if (!select) return;
    [...select.options].forEach((option, i) => { option.hidden = option.disabled = !shown[data.transcripts.cells[i].cell]; });
    if (select.selectedOptions[0] && select.selectedOptions[0].disabled) {
      const first = [...select.options].find((option) => !option.disabled);
      if (first) select.value = first.value;
    }
    transcripts();
  }
  function text(parts, kind) {
    const node = make("p", null, {class: "text"});
    for (const [changed, words] of parts) node.append(changed ? make(kind, words) : document.createTextNode(words));
    return node;
  }
  const word = (number) => data.transcripts.texts[number];
  const told = (number) => data.transcripts.said[number];
  function side(title, said, kind, grade, lenient) {
    const node = make("div", null, {class: "side"});
    const head = make("h4", title);
    if (grade !== undefined && grade !== null) {
      head.append(" ", make("span", grade ? "right" : "wrong", {class: `chip ${grade ? "right" : "wrong"}`}));
      if (lenient && !grade) head.append(" ", make("span", "right to the lenient grader", {class: "chip"}));
    }
    node.append(head);
    if (typeof said === "string") { node.append(make("p", said, {class: "none"})); return node; }
    for (const [part, pieces] of said) {
      if (part) node.append(make("h5", part));
      node.append(text(pieces, kind));
    }
    return node;
  }
  function transcripts() {
    const cell = data.transcripts.cells[Number($("whose").value)];
    const what = $("what").value, which = $("which").value;
    const list = [];
    for (const item of cell[what]) {
      if (family !== FAMILY && item.family !== family) continue;
      if (which === "changed" && !item.changed) continue;
      if (which === "wrong" && item.grades.every((grade) => grade !== false)) continue;
      const node = make("li"), head = make("div", null, {class: "item-head"}), sides = make("div", null, {class: `sides of${item.sides.length}`});
      head.append(make("b", item.title), ...item.facts.map((fact) => make("span", fact)));
      item.sides.forEach(([title, said, kind], i) => sides.append(side(title, told(said), kind, item.grades[i], item.lenient[i])));
      node.append(head, make("p", word(item.prompt), {class: "prompt text"}), sides);
      list.push(node);
    }
    $("items").replaceChildren(...list);
    $("scripted").textContent = list.length ? `${list.length} item${list.length === 1 ? "" : "s"}` : "No item is left by these choices.";
  }
  for (const id of ["whose", "what", "which"]) if ($(id)) $(id).addEventListener("change", transcripts);

  if (matchMedia("(max-width:640px)").matches) form.querySelector("details").open = false;
  apply();
})();
