// What the shop's pages add to htmx. Every page works without this file.
(() => {
  "use strict";
  const PLAIN_MS = 6000;
  const UNDO_MS = 10000;
  const MOST_TOASTS = 3;
  const region = () => document.getElementById("toasts");

  // The token for requests that are not forms (forms carry it as a field).
  document.addEventListener("htmx:configRequest", (event) => {
    const meta = document.querySelector('meta[name="csrf-token"]');
    if (meta && event.detail.verb !== "get") event.detail.headers["X-CSRFToken"] = meta.content;
  });

  // Toasts: at most three; they leave by themselves, but not while somebody is at them.
  const lifetime = (toast) => {
    if (toast.dataset.tone === "danger") return;
    let left = toast.querySelector("button, a") ? UNDO_MS : PLAIN_MS;
    const timer = setInterval(() => {
      if (!toast.isConnected) return clearInterval(timer);
      if (document.hidden || toast.matches(":hover, :focus-within")) return;
      left -= 250;
      if (left <= 0) toast.remove();
    }, 250);
  };
  const watchToasts = () => {
    const holder = region();
    if (!holder) return;
    holder.querySelectorAll(".toast").forEach(lifetime);
    new MutationObserver((changes) => {
      changes.flatMap((change) => [...change.addedNodes])
        .filter((node) => node.nodeType === 1 && node.matches(".toast"))
        .forEach((toast) => {
          window.htmx?.process(toast);
          lifetime(toast);
        });
      while (holder.children.length > MOST_TOASTS) holder.firstElementChild.remove();
    }).observe(holder, { childList: true });
  };
  const say = (words, again) => {
    const toast = document.createElement("div");
    toast.className = "toast";
    toast.dataset.tone = "danger";
    const text = document.createElement("span");
    text.textContent = words;
    toast.append(text);
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = again ? "Retry" : "Close";
    button.addEventListener("click", () => {
      toast.remove();
      again?.();
    });
    toast.append(button);
    region()?.append(toast);
  };
  document.addEventListener("htmx:afterRequest", (event) => event.detail.elt.closest(".toast")?.remove());
  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-close]")) event.target.closest(".toast")?.remove();
  });

  // Failures: the page stays, a toast says what is wrong and repeats the request when asked to.
  let failures = 0;
  const failed = (event, words) => {
    failures += 1;
    const form = event.detail.elt.closest("form");
    const again = form && form.method !== "dialog" ? () => form.requestSubmit() : null;
    say(failures > 1 ? `${words} Reload the page if it stays so.` : words, again);
  };
  document.addEventListener("htmx:afterRequest", (event) => {
    if (event.detail.successful) failures = 0;
  });
  document.addEventListener("htmx:responseError", (event) => {
    const { status, responseText } = event.detail.xhr;
    const said = status < 500 && responseText.length < 500
      ? new DOMParser().parseFromString(responseText, "text/html").body.textContent.trim() : "";
    if (said) return say(said);
    failed(event, "Could not save. Nothing was lost.");
  });
  for (const name of ["htmx:sendError", "htmx:timeout"]) {
    document.addEventListener(name, (event) => failed(event, "Could not save. Check your connection."));
  }

  // Quantity buttons that only step the field (product page); in the cart they are submit buttons.
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-step]");
    if (!button) return;
    const field = button.parentElement.querySelector("input");
    const number = /^\d{1,4}$/.test(field.value) ? Number(field.value) : 1;
    field.value = Math.max(1, number + Number(button.dataset.step));
  });

  // Passwords can be looked at; the button is there only where it works.
  const offerToShow = (root) => root.querySelectorAll("button[data-shows]").forEach((button) => { button.hidden = false; });
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-shows]");
    if (!button) return;
    const field = document.getElementById(button.dataset.shows);
    const shows = field.type === "password";
    field.type = shows ? "text" : "password";
    button.setAttribute("aria-pressed", String(shows));
  });

  // A failed field, or an error summary, takes the focus; nothing else moves it.
  const focusNews = (root) => root.querySelector?.("[autofocus][tabindex]")?.focus();

  // A control that a swap took away: the focus goes to the region's heading, not to the top of the page.
  document.addEventListener("htmx:afterSettle", (event) => {
    focusNews(event.detail.elt);
    if (document.activeElement === document.body) {
      event.detail.elt.querySelector?.("[data-focus-here]")?.focus({ preventScroll: true });
    }
  });

  // Submit buttons say what is happening, and work again when the page comes back from the cache.
  document.addEventListener("submit", (event) => {
    const button = event.submitter;
    const busy = button?.dataset.busy;
    if (!busy) return;
    const label = button.querySelector(".btn__label") || button;
    button.dataset.idle = label.textContent;
    label.textContent = busy;
    button.setAttribute("aria-busy", "true");
    if (!button.form.hasAttribute("hx-post")) setTimeout(() => { button.disabled = true; });
  });
  const idle = (root) => root.querySelectorAll("button[data-idle]").forEach((button) => {
    (button.querySelector(".btn__label") || button).textContent = button.dataset.idle;
    delete button.dataset.idle;
    button.removeAttribute("aria-busy");
    button.disabled = false;
  });
  document.addEventListener("htmx:afterRequest", (event) => idle(event.detail.elt));
  window.addEventListener("pageshow", (event) => { if (event.persisted) idle(document); });

  // What was asked for again and is the same stays as it is; so does a field that was typed in meanwhile.
  document.addEventListener("htmx:beforeSwap", (event) => {
    const { xhr, target, requestConfig } = event.detail;
    const tag = target.dataset?.tag;
    if (tag && xhr.getResponseHeader("ETag") === `"${tag}"`) event.detail.shouldSwap = false;
    const field = requestConfig.elt;
    if (field.matches("[data-checked]") && requestConfig.formData.get(field.name) !== field.value) {
      event.detail.shouldSwap = false;
    }
  });

  // Copy what stands in the element that the button names.
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("button[data-copy]");
    if (!button) return;
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent.trim());
    const words = button.textContent;
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = words; }, 2000);
  });

  // Countdowns of holds: <div class="countdown" data-until="ISO" data-total="seconds"> with [data-left].
  const tick = () => document.querySelectorAll(".countdown[data-until]").forEach((box) => {
    const left = Math.max(0, Math.round((Date.parse(box.dataset.until) - Date.now()) / 1000));
    const shown = box.querySelector("[data-left]");
    if (shown) shown.textContent = left ? `, ${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")} left` : "";
    box.querySelector(".ring__v")?.setAttribute("stroke-dasharray", `${64 * left / (Number(box.dataset.total) || 600)} 100`);
    if (left <= Number(box.dataset.lowAt || 120) && left > 0 && !("low" in box.dataset)) {
      box.dataset.low = "";
      const note = document.createElement("span");
      note.className = "vh";
      note.textContent = box.dataset.lowWords || "Your items are held for 2 more minutes.";
      region()?.append(note);
    }
    if (!left && !("ended" in box.dataset)) {
      box.dataset.ended = "";
      box.dispatchEvent(new Event("holdended", { bubbles: true }));
    }
  });

  document.addEventListener("DOMContentLoaded", () => {
    watchToasts();
    focusNews(document);
    offerToShow(document);
    tick();
    setInterval(tick, 1000);
  });
})();
