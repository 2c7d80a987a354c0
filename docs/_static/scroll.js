// What is wider than the window scrolls by itself; then, and only then, it can be reached by keys.
const wide = "div.formula, span.formula, .figure-scroll, article figure, article table";
const watch = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    if (target.scrollWidth > target.clientWidth + 1) target.tabIndex = 0;
    else target.removeAttribute("tabindex");
  }
});
addEventListener("DOMContentLoaded", () => document.querySelectorAll(wide).forEach((node) => watch.observe(node)));
