// Runs before the page is drawn, so that nobody sees the wrong theme flash.
"use strict";
{
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const kept = () => {
    try {
      return localStorage.getItem("theme");
    } catch {
      return null; // storage is forbidden: follow the system
    }
  };
  const show = () => (root.dataset.theme = kept() ?? (dark.matches ? "dark" : "light"));
  show();
  dark.addEventListener("change", show);
  addEventListener("DOMContentLoaded", () => {
    document.getElementById("theme").addEventListener("click", () => {
      const other = root.dataset.theme === "dark" ? "light" : "dark";
      root.dataset.theme = other;
      try {
        localStorage.setItem("theme", other);
      } catch {
        // Without storage the choice lasts as long as the page.
      }
    });
  });
}
