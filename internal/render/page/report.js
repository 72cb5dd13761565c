"use strict";
(function () {
  const form = document.querySelector("form");
  const search = form.querySelector("input[type=search]");
  const boxes = Array.from(form.querySelectorAll("input[type=checkbox]"));
  const found = form.querySelector("output");
  const sections = Array.from(document.querySelectorAll("section"), function (section) {
    return {
      element: section,
      text: section.textContent.toLowerCase(),
      status: section.dataset.status,
      hosts: Number(section.dataset.hosts),
      rows: null,
    };
  });
  function show() {
    const word = search.value.trim().toLowerCase();
    const statuses = new Set(boxes.filter(function (b) { return b.checked; }).map(function (b) { return b.value; }));
    let hosts = 0;
    for (const s of sections) {
      const visible = statuses.has(s.status) && s.text.includes(word);
      s.element.hidden = !visible;
      if (!visible) continue;
      s.rows = s.rows || Array.from(s.element.querySelectorAll("tbody tr"), function (row) {
        return { element: row, name: row.cells[0].textContent.toLowerCase() };
      });
      const named = word !== "" && s.rows.some(function (r) { return r.name.includes(word); });
      let rows = 0;
      for (const r of s.rows) {
        r.element.hidden = named && !r.name.includes(word);
        if (!r.element.hidden) rows++;
      }
      hosts += rows;
    }
    found.textContent = hosts + " shown";
  }
  let timer = 0;
  form.addEventListener("input", function () {
    clearTimeout(timer);
    timer = setTimeout(show, 100);
  });
  form.addEventListener("submit", function (e) { e.preventDefault(); });
  form.hidden = false;
  show();
})();
