// What every page does: tables sort, marks of plots say what they are, filters leave what is asked for. Sets text, never markup.
"use strict";
const frame = (() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const $ = (id) => document.getElementById(id);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const form = $("filters"), tip = $("tip");

  const make = (name, text, attributes = {}) => {
    const node = document.createElement(name);
    if (text !== undefined && text !== null) node.textContent = text;
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    return node;
  };

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
      const cell = data.cells[number], list = make("dl"), {family} = plot.closest("figure").dataset;
      for (const [what, value] of (family === undefined ? cell.says : cell.says[family]) || []) list.append(make("dt", what), make("dd", value));
      tip.replaceChildren(make("b", cell.attack === undefined ? cell.label : `${cell.label} under ${cell.attack}`), list);
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

  // ---- filters
  const chosen = () => {
    const found = {};
    for (const select of all("select", form)) found[select.name] = select.value;
    return found;
  };
  // Leaves the cells that are `shown`, rows of other things that `stays` wants, and figures that `fits` wants.
  function leave(shown, stays, fits) {
    for (const row of all("tbody tr")) row.hidden = row.dataset.c !== undefined ? !shown[row.dataset.c] : !stays(row.dataset);
    for (const mark of all(".mark")) mark.classList.toggle("off", !shown[mark.dataset.c]);
    let drawn = 0;
    for (const figure of all("figure")) {
      figure.hidden = !fits(figure.dataset) || !all(".mark:not(.off)", figure).length;
      drawn += !figure.hidden;
    }
    $("noplots").hidden = drawn > 0;
    hide();
  }
  function filtered(apply) {
    form.addEventListener("change", apply);
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("reset", () => setTimeout(apply));
    if (matchMedia("(max-width:640px)").matches) form.querySelector("details").open = false;
    apply();
  }

  return {data, $, all, make, chosen, leave, filtered};
})();
