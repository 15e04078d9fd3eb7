"use strict";
// Shows the numbers of a map's row: under the pointer, under a finger, or of a chosen token.
(() => {
  const page = document.documentElement, keys = [...document.querySelectorAll("#tokens li")];
  const figures = [...document.querySelectorAll("figure")], reading = document.getElementById("reading");
  const bytes = atob(document.getElementById("weights").textContent);
  const time = keys.length, names = keys.map((key) => key.textContent);
  let map = 0, row = time - 1;

  const weight = (column) => {
    const at = 2 * ((map * time + row) * time + column);
    return (bytes.charCodeAt(at) + 256 * bytes.charCodeAt(at + 1)) / 65535;
  };

  const show = (column) => {
    keys.forEach((key, place) => {
      const here = weight(place);
      key.style.setProperty("--ink", `${100 * Math.sqrt(here)}%`);
      key.dataset.weight = here.toFixed(3);
      key.classList.toggle("from", place === row);
      key.classList.toggle("dense", here > 0.3);
    });
    const name = figures[map].querySelector("figcaption").textContent;
    const to = column === undefined ? "" : ` to ${names[column]} (${column + 1}): ${weight(column).toFixed(3)}`;
    reading.textContent = `${name}, from ${names[row]} (${row + 1})${to}`;
  };

  const cell = (offset, length) => Math.min(time - 1, Math.max(0, Math.floor((offset / length) * time)));

  figures.forEach((figure, number) => {
    const picture = figure.querySelector("img");
    const look = (event) => {
      const box = picture.getBoundingClientRect();
      [map, row] = [number, cell(event.clientY - box.top, box.height)];
      show(cell(event.clientX - box.left, box.width));
    };
    picture.addEventListener("pointermove", look);
    picture.addEventListener("pointerdown", look);
    figure.querySelector("a").addEventListener("focus", () => {
      map = number;
      show();
    });
  });

  keys.forEach((key, place) => {
    const choose = () => {
      row = place;
      show();
    };
    key.tabIndex = 0;
    key.setAttribute("role", "button");
    key.addEventListener("click", choose);
    key.addEventListener("pointerenter", choose);
    key.addEventListener("focus", choose);
  });

  page.classList.add("live");
  const named = figures.findIndex((figure) => `#${figure.id}` === location.hash);
  map = Math.max(0, named);
  show();
  new ResizeObserver(([key]) => {
    page.style.setProperty("--key", `${key.borderBoxSize[0].blockSize}px`);
  }).observe(document.querySelector(".key"));
  if (named >= 0) requestAnimationFrame(() => requestAnimationFrame(() => figures[named].scrollIntoView()));
})();
