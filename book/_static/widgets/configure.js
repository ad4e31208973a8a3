// Let the widget manager look for its fonts beside this file, not beside the page.
require.config({ baseUrl: new URL(".", document.currentScript.src).href });

// The widget manager asks MathJax 2 to typeset its labels; the pages have MathJax 3.
document.addEventListener("DOMContentLoaded", () => {
  if (window.MathJax && !window.MathJax.Hub) {
    window.MathJax.Hub = {
      Queue: ([, , element]) =>
        window.MathJax.startup.promise.then(() => window.MathJax.typesetPromise([element])),
    };
  }
});
