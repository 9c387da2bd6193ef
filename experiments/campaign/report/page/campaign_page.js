// The page of campaigns: filters policies and detectors. Sets text, never markup.
"use strict";
(() => {
  const {data, $, chosen, leave, filtered} = frame;
  filtered(() => {
    const wanted = chosen();
    const fits = (cell) => (!wanted.policy || cell.policy === wanted.policy)
      && (!wanted.detector || !cell.detector || cell.detector === wanted.detector);
    const shown = data.cells.map(fits), policies = data.cells.map((cell) => !cell.detector);
    leave(shown, () => true, () => true);
    $("count").textContent = `${shown.filter((s, i) => s && policies[i]).length} of ${policies.filter(Boolean).length} policies`;
  });
})();
