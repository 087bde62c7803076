// Draws the formulas that pymdownx.arithmatex has found: \(...\) in a line, \[...\] on its own.
// The parts of a displayed formula, between \qquad, stand on one line where there is room.
document.addEventListener("DOMContentLoaded", () => {
  for (const element of document.querySelectorAll(".arithmatex")) {
    const text = element.textContent.trim();
    const displayMode = text.startsWith("\\[");
    const formula = text.slice(2, -2);
    const parts = displayMode ? formula.split("\\qquad") : [formula];
    element.textContent = "";
    for (const part of parts) {
      const place = element.appendChild(document.createElement("span"));
      katex.render(part, place, { displayMode, throwOnError: true });
    }
  }
});
