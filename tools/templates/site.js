// What a page does by itself. Nothing here needs a server: the pages also work from a folder.

// Wide code and tables scroll with the arrow keys for those who have no mouse: they take the focus.
const wide = document.querySelectorAll("pre, .scroll, .picture, math");
const mark = () => wide.forEach(e => e.scrollWidth > e.clientWidth ? e.tabIndex = 0 : e.removeAttribute("tabindex"));
addEventListener("resize", mark);
document.addEventListener("toggle", mark, true);
mark();

// Light or dark: the switch says what it changes to.
const root = document.documentElement;
const themeSwitch = document.querySelector(".theme");
const isDark = () => root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
const nameTheme = () => themeSwitch.textContent = isDark() ? "Light" : "Dark";
themeSwitch.addEventListener("click", () => {
  root.dataset.theme = isDark() ? "light" : "dark";
  try { localStorage.theme = root.dataset.theme } catch { /* Not remembered, then. */ }
  nameTheme();
});
nameTheme();

// The list of lessons: always open beside the text, a drawer on a phone.
const drawer = document.querySelector(".contents details");
if (drawer) {
  const beside = matchMedia("(min-width: 72rem)");
  const fit = () => drawer.open = beside.matches;
  beside.addEventListener("change", fit);
  fit();
  drawer.addEventListener("click", event => { if (event.target.closest("a") && !beside.matches) drawer.open = false });

  // Where am I? The last heading above the upper third of the window; at the end, the last of all.
  const entries = [...drawer.querySelectorAll("ol ol a")];
  const headings = entries.map(a => document.getElementById(a.hash.slice(1)));
  const here = () => {
    const atEnd = scrollY > 0 && innerHeight + scrollY >= root.scrollHeight - 2;
    const last = headings.findLastIndex(h => atEnd || h.getBoundingClientRect().top < innerHeight / 3);
    entries.forEach((a, i) => i === last ? a.setAttribute("aria-current", "true") : a.removeAttribute("aria-current"));
  };
  addEventListener("scroll", here, { passive: true });
  here();
}

// Code can be copied.
for (const block of document.querySelectorAll(".lesson .highlight")) {
  const button = Object.assign(document.createElement("button"), { type: "button", className: "copy", textContent: "Copy" });
  button.setAttribute("aria-label", "Copy this code");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(block.querySelector("pre").textContent);
      button.textContent = "Copied";
    } catch { button.textContent = "Select it and press Ctrl+C" }
    setTimeout(() => button.textContent = "Copy", 2000);
  });
  block.append(button);
}

// A quiz marks itself, and a simulation plays its recorded experiments, fetched when it comes into sight.
const script = file => new Promise((done, failed) =>
  document.head.append(Object.assign(document.createElement("script"), { src: file, onload: done, onerror: failed })));
const quizzes = document.querySelectorAll(".quiz");
if (quizzes.length) script("quiz.js").then(() => quizzes.forEach(quiz => window.enhance(quiz)));
let player = null;
const sight = new IntersectionObserver(entries => entries.filter(e => e.isIntersecting).forEach(async ({ target }) => {
  sight.unobserve(target);
  const name = target.dataset.recording;
  await Promise.all([player ??= script("simulations.js"), script(`recordings/${name}.js`)]);
  const stage = document.createElement("div");
  target.prepend(stage);
  window.playback(stage, window.recordings[name]);
  target.querySelectorAll(":scope > :not(div:first-child, figcaption)").forEach(still => still.remove());
}), { rootMargin: "400px" });
document.querySelectorAll("[data-recording]").forEach(figure => sight.observe(figure));

// Search over all lessons. The texts come as a script, since a page in a folder may not fetch files.
const form = document.querySelector(".search");
const [field, results] = form.children;
let texts = null;
const load = () => texts ??= script("search.js").then(() => window.searchTexts);
const escaped = text => text.replace(/[&<>"]/g, c => `&#${c.charCodeAt(0)};`);
const words = text => text.toLowerCase().match(/[\p{L}\p{N}_.]+/gu) ?? [];

function found(all, query) {
  const asked = words(query);
  if (!asked.length) return [];
  const rank = ([, , title, text]) => {
    const [head, body] = [title.toLowerCase(), text.toLowerCase()];
    if (!asked.every(word => head.includes(word) || body.includes(word))) return 0;
    return asked.reduce((sum, word) => sum + (head.includes(word) ? 20 : 0) + Math.min(body.split(word).length - 1, 5), 1);
  };
  return all.map(entry => [rank(entry), entry]).filter(([n]) => n).sort((a, b) => b[0] - a[0]).slice(0, 12).map(([, entry]) => entry);
}

function excerpt(text, query) {
  const asked = words(query);
  const at = Math.max(0, Math.min(...asked.map(word => text.toLowerCase().indexOf(word)).filter(i => i >= 0)) - 40);
  const part = escaped((at > 0 ? "… " : "") + text.slice(at || 0, (at || 0) + 130) + " …");
  const marks = asked.map(word => escaped(word).replace(/[.*+?^${}()|[\]\\]/g, "\\$&")).join("|");
  return part.replace(new RegExp(marks, "gi"), "<mark>$&</mark>");
}

async function show() {
  const query = field.value.trim();
  const all = query.length > 1 ? await load() : [];
  if (query !== field.value.trim()) return;
  const hits = found(all, query);
  const items = hits.map(([address, lesson, title, text]) =>
    `<li><a href="${address}"><b>${escaped(title)}</b> <span>${escaped(lesson)}</span><br>${excerpt(text, query)}</a></li>`);
  results.innerHTML = items.length ? `<ol>${items.join("")}</ol>` : query.length > 1 ? "<p>Nothing found.</p>" : "";
}
field.addEventListener("focus", load, { once: true });
field.addEventListener("input", show);
form.addEventListener("submit", event => { event.preventDefault(); results.querySelector("a")?.click() });
form.addEventListener("keydown", event => {
  const links = [...results.querySelectorAll("a")];
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (event.key === "Escape") { field.value = ""; show(); field.focus() }
  else if (step && links.length) {
    event.preventDefault();
    const next = links.indexOf(document.activeElement) + step;
    (links[next] ?? field).focus();
  }
});
document.addEventListener("click", event => { if (!form.contains(event.target)) results.innerHTML = "" });
addEventListener("keydown", event => {
  if (event.key === "/" && !event.target.closest("input, textarea, [contenteditable]")) { event.preventDefault(); field.focus() }
});
