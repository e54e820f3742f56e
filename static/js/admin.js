"use strict";
// The admin's own script. Every page works without it; it adds the CSRF header to htmx's requests,
// dialogs, keys, and quiet polling. No eval, no inline handler, nothing stored.

(() => {
  const token = () => document.querySelector('meta[name="csrf-token"]')?.content ?? "";
  const isTyping = (element) => element.closest?.("input, select, textarea, [contenteditable]") !== null;
  const hasSelectedText = () => (document.getSelection()?.toString() ?? "") !== "";

  document.addEventListener("htmx:configRequest", (event) => {
    event.detail.headers["X-CSRFToken"] = token();
  });

  // Polling rests while nobody looks, while text is being selected, and while it is switched off.
  let isLive = true;
  document.addEventListener("htmx:beforeRequest", (event) => {
    if (!event.detail.elt.hasAttribute("data-poll")) return;
    if (document.hidden || hasSelectedText() || !isLive) event.preventDefault();
  });

  // What went wrong without an answer that can be shown: say so, keep the page.
  const toast = (words) => {
    const box = document.createElement("div");
    box.className = "toast";
    box.dataset.tone = "danger";
    const text = document.createElement("span");
    text.textContent = words;
    const button = document.createElement("button");
    button.type = "button";
    button.dataset.dismiss = "";
    button.textContent = "Dismiss";
    box.append(text, button);
    document.getElementById("toasts").append(box);
  };
  const failed = (event) => {
    if (event.detail.elt?.hasAttribute("data-poll")) {
      const note = document.getElementById("poll-note");
      if (note) note.hidden = false;
      return;
    }
    const answer = new DOMParser().parseFromString(event.detail.xhr?.responseText ?? "", "text/html");
    const said = answer.body?.textContent.trim().slice(0, 200);
    toast(said || "Could not save. Check your connection, then try again.");
  };
  document.addEventListener("htmx:responseError", failed);
  document.addEventListener("htmx:sendError", failed);
  document.addEventListener("htmx:timeout", failed);

  // Toasts go by themselves after six seconds, unless pointed at or wrong.
  const fade = (box) => {
    if (box.dataset.fading || box.dataset.tone === "danger") return;
    box.dataset.fading = "1";
    const leave = () => {
      if (document.hidden || box.matches(":hover, :focus-within")) setTimeout(leave, 2000);
      else box.remove();
    };
    setTimeout(leave, 6000);
  };
  const toasts = document.getElementById("toasts");
  new MutationObserver(() => toasts.querySelectorAll(".toast").forEach(fade)).observe(toasts, { childList: true, subtree: true });
  toasts.querySelectorAll(".toast").forEach(fade);

  // Dialogs: what htmx puts into #dialogs is opened; focus goes back to what opened it.
  let opener = null;
  const openDialogs = () => {
    const dialog = document.querySelector("#dialogs dialog");
    if (dialog && !dialog.open) dialog.showModal();
  };
  const closeDialog = (dialog) => {
    dialog.close();
    if (dialog.parentElement.id === "dialogs") dialog.remove();
    opener?.focus();
    opener = null;
  };
  document.addEventListener("htmx:afterSwap", (event) => {
    if (event.detail.target.id === "dialogs") openDialogs();
    if (event.detail.target.id === "page") document.getElementById("dialogs").replaceChildren();
    // The field that is wrong, else the words about the whole. A poll changes neither.
    const swapped = event.detail.target;
    (swapped.querySelector('[aria-invalid="true"]') ?? swapped.querySelector("#problem"))?.focus();
  });
  document.addEventListener("close", (event) => {
    if (event.target.parentElement?.id === "dialogs") closeDialog(event.target);
  }, true);

  document.addEventListener("click", (event) => {
    const found = (selector) => event.target.closest(selector);
    const opens = found("[data-opens]");
    if (opens) {
      event.preventDefault();
      opener = opens;
      document.getElementById(opens.dataset.opens).showModal();
      return;
    }
    if (found('[hx-target="#dialogs"]')) opener = found('[hx-target="#dialogs"]');
    if (found("[data-dismiss]")) found(".toast").remove();
    if (found("[data-close]")) {
      event.preventDefault();
      const dialog = found("dialog");
      if (dialog) closeDialog(dialog);
      else location.assign(found("[data-close]").getAttribute("href"));
    }
    const step = found("[data-step]");
    if (step) {
      const field = step.parentElement.querySelector("input");
      const wanted = (parseInt(field.value, 10) || 0) + Number(step.dataset.step);
      field.value = String(Math.min(Number(field.dataset.most), Math.max(0, wanted)));
      field.dispatchEvent(new Event("change", { bubbles: true }));
    }
    if (found("[data-print]")) window.print();
    const live = found("[data-live]");
    if (live) {
      isLive = !isLive;
      live.setAttribute("aria-pressed", String(isLive));
    }
    const copy = found("[data-copy]");
    if (copy) {
      navigator.clipboard?.writeText(document.getElementById(copy.dataset.copy).textContent);
      copy.textContent = "Copied";
    }
  });

  // Enter in a quantity field must not send a refund.
  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && event.target.matches?.("[data-no-enter]")) {
      event.preventDefault();
      event.target.dispatchEvent(new Event("change", { bubbles: true }));
    }
  });

  // Selected rows: the header's box, and the bar at the bottom.
  const count = () => {
    const boxes = [...document.querySelectorAll('input[name="id"][form="bulk"]')];
    const chosen = boxes.filter((box) => box.checked);
    boxes.forEach((box) => box.closest("tr").setAttribute("aria-selected", String(box.checked)));
    const bar = document.getElementById("bulk");
    if (!bar) return;
    bar.hidden = chosen.length === 0;
    bar.querySelector("[data-count]").textContent = `${chosen.length} selected`;
    const all = document.querySelector("[data-all]");
    if (all) {
      all.checked = chosen.length > 0 && chosen.length === boxes.length;
      all.toggleAttribute("data-mixed", chosen.length > 0 && !all.checked);
    }
  };
  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-all]")) {
      document.querySelectorAll('input[name="id"][form="bulk"]').forEach((box) => { box.checked = event.target.checked; });
    }
    if (event.target.matches('[data-all], input[name="id"]')) count();
  });
  document.addEventListener("htmx:afterSettle", count);
  if (document.getElementById("bulk")) count();

  // Keys. None inside fields, none with a modifier.
  const rows = () => [...document.querySelectorAll("#rows .ord")];
  const move = (by) => {
    const links = rows();
    const now = links.indexOf(document.activeElement);
    links[Math.min(links.length - 1, Math.max(0, now + by))]?.focus();
  };
  const toggle = () => document.activeElement.closest("tr")?.querySelector('input[name="id"]')?.click();
  const keys = { "/": () => document.querySelector("[data-focus-key='/']")?.focus(), j: () => move(1), k: () => move(-1), x: toggle };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
    if (document.querySelector("dialog[open]") || !keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  });
})();
