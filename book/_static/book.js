// What scrolls sideways can be scrolled by keyboard as well.
const WIDE = ".bd-article :is(pre, table, figure a, div.math, div.cell_output, mjx-container)";
const letKeysScroll = () => {
  for (const formula of document.querySelectorAll(".bd-article mjx-container:not([display])")) {
    formula.classList.remove("too-wide");
    const line = formula.closest("p, li, dd, td, figcaption, div");
    const [own, room] = [formula.firstElementChild, line].map(e => e.getBoundingClientRect());
    formula.classList.toggle("too-wide", own.width > room.width + 1 || own.right > innerWidth);
  }
  for (const element of document.querySelectorAll(WIDE))
    if (element.scrollWidth > element.clientWidth + 1) element.tabIndex = 0;
};
window.addEventListener("load", letKeysScroll);
window.addEventListener("resize", letKeysScroll);
document.addEventListener("toggle", letKeysScroll, true);

// Paper is light, whatever the screen is, and nothing that was printed is folded on it.
const root = document.documentElement;
window.addEventListener("beforeprint", () => {
  for (const long of document.querySelectorAll("details.long-output")) long.open = true;
  root.dataset.themeOfScreen = root.dataset.theme;
  root.dataset.theme = "light";
});
window.addEventListener("afterprint", () => {
  root.dataset.theme = root.dataset.themeOfScreen;
});
