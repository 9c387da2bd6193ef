// The page of stored rows: filters cells, compares pairs, shows transcripts. Sets text, never markup.
"use strict";
(() => {
  const {data, $, all, make, chosen, leave, filtered} = frame;
  const FAMILY = (all("select[name=family] option")[0] || {value: "pooled"}).value;
  const SECOND = (all("select[name=family] option")[1] || {value: FAMILY}).value;
  let family = FAMILY;
  let shown = data.cells.map(() => true);

  // ---- filters
  const fits = (cell, wanted) =>
    (!wanted.defense || cell.defense === wanted.defense) && (!wanted.attack || cell.attack === wanted.attack) &&
    Object.entries(cell.axes).every(([axis, value]) => !wanted[axis] || wanted[axis] === value);
  const attackFits = (told, wanted) => told === wanted || told.startsWith(wanted + ", ") || told.split(", ").includes(wanted);

  function apply() {
    const wanted = chosen();
    family = wanted.family || FAMILY;
    shown = data.cells.map((cell) => fits(cell, wanted));
    for (const place of all("[data-f]")) place.hidden = family !== FAMILY && place.dataset.f !== family;
    const stays = ({defense, attack, family: own}) => !((wanted.defense && defense && defense !== wanted.defense)
      || (wanted.attack && attack && !attackFits(attack, wanted.attack)) || (family !== FAMILY && own && own !== family));
    const beside = [family, family === FAMILY ? SECOND : FAMILY];  // all families together, and one
    leave(shown, stays, (figure) => beside.includes(figure.family));
    for (const guard of all("[data-cells]")) guard.hidden = !guard.dataset.cells.split(" ").some((c) => shown[c]);
    const count = shown.filter(Boolean).length;
    $("count").textContent = `${count} of ${data.cells.length} configurations`;
    pair();
    whose();
  }

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

  filtered(apply);
})();
