/** The rating page: one reply at a time; what people wrote and what models wrote is only ever shown as text. */
import { fill, tables } from "./texts.js";

/**
 * @typedef {"fluency" | "relevance" | "safety"} Name
 * @typedef {{ key: string, revision: number, context: { role: string, content: string }[], reply: string,
 *   previous?: { fluency: number, relevance: number, safety: number, comment: string } }} Assignment
 * @typedef {{ assignment?: Assignment, done: number, left: number, elsewhere: number,
 *   last?: { key: string, revision: number } }} SeatState
 */

/** @type {readonly Name[]} */
const names = ["fluency", "relevance", "safety"];
const shownTurns = 4;

/** @param {string} id @returns {HTMLElement} */
const element = (id) => {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`no element ${id}`);
  return found;
};
const save = /** @type {HTMLButtonElement} */ (element("save"));
const comment = /** @type {HTMLTextAreaElement} */ (element("comment"));
const nameField = /** @type {HTMLInputElement} */ (element("name"));
const guide = /** @type {HTMLDetailsElement} */ (element("guide"));
const undoButtons = [element("undo"), element("undo-finished")].map(
  (b) => /** @type {HTMLButtonElement} */ (b),
);

const token = location.hash.slice(1);
const stored = `attune-rater-${token.slice(0, 6)}`;
let language = localStorage.getItem("attune-language") ?? (navigator.language.startsWith("zh") ? "zh" : "en");
let rater = "";
/** @type {SeatState | undefined} */
let seat;
let busy = false;
let shownAt = 0;
/** @type {Partial<Record<Name, number>>} */
let scores = {};
/** What the notice says, kept as a function so that a change of language retells it. @type {(() => string) | undefined} */
let notice;

const tab =
  sessionStorage.getItem("attune-tab") ??
  [...crypto.getRandomValues(new Uint8Array(12))].map((b) => b.toString(16).padStart(2, "0")).join("");
sessionStorage.setItem("attune-tab", tab);

const texts = () => (language === "zh" ? tables.zh : tables.en);

/** @param {string} id @param {string} [className] @param {string} [text] */
function make(id, className, text) {
  const made = document.createElement(id);
  if (className !== undefined) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

/** @param {(() => string) | undefined} say */
function tell(say) {
  notice = say;
  const place = element("notice");
  place.textContent = say === undefined ? "" : say();
  place.hidden = say === undefined;
}

/** @param {"welcome" | "finished" | "rating" | undefined} view */
function show(view) {
  for (const id of ["welcome", "finished", "rating"]) element(id).hidden = id !== view;
  for (const id of ["progress", "who"]) element(id).hidden = view === undefined || view === "welcome";
}

function renderTexts() {
  const t = texts();
  document.documentElement.lang = language;
  document.title = `Attune · ${t.title}`;
  for (const place of document.querySelectorAll("[data-text]")) {
    const value = /** @type {Record<string, unknown>} */ (t)[place.getAttribute("data-text") ?? ""];
    place.textContent = String(value);
  }
  element("language").textContent = t.language;
  renderQuestions();
  renderGuide();
  if (seat !== undefined) renderSeat(seat, false);
  if (notice !== undefined) tell(notice);
}

function renderQuestions() {
  const t = texts();
  element("questions").replaceChildren(
    ...names.map((name) => {
      const question = t.questions[name];
      const set = make("fieldset", "question");
      set.id = `question-${name}`;
      const legend = make("legend");
      legend.append(make("b", undefined, question.name), make("span", "ask", question.ask));
      const options = make("div", `options options-${question.levels.length}`);
      for (const level of question.levels) {
        const label = make("label", "option");
        const input = /** @type {HTMLInputElement} */ (make("input"));
        input.type = "radio";
        input.name = name;
        input.value = String(level.score);
        input.checked = scores[name] === level.score;
        label.title = `${level.meaning}\n${level.example}`;
        label.append(input, make("b", "score", String(level.score)), make("span", undefined, level.name));
        options.append(label);
      }
      set.append(legend, options);
      return set;
    }),
  );
}

function renderGuide() {
  const t = texts();
  const parts = names.map((name) => {
    const question = t.questions[name];
    const part = make("section");
    part.append(make("h3", undefined, question.name));
    const list = make("dl");
    for (const level of [...question.levels].reverse()) {
      const term = make("dt");
      term.append(make("b", "score", String(level.score)), ` ${level.name}`);
      const meaning = make("dd", undefined, level.meaning);
      meaning.append(make("q", undefined, level.example.replace(/^[“"]|[”"]$/g, "")));
      list.append(term, meaning);
    }
    part.append(list);
    return part;
  });
  element("guide-text").replaceChildren(
    make("p", "hint", t.guideExample),
    ...parts,
    make("p", "hint", t.skipHint),
  );
}

/** @param {SeatState} state @param {boolean} fresh whether another reply is to be shown */
function renderSeat(state, fresh) {
  const t = texts();
  element("who").textContent = rater;
  const bar = /** @type {HTMLProgressElement} */ (element("progress-bar"));
  bar.value = state.done + state.left === 0 ? 1 : state.done / (state.done + state.left);
  element("progress-text").textContent = fill(t.progress, { done: state.done, left: state.left });
  for (const button of undoButtons) button.disabled = state.last === undefined;
  const { assignment } = state;
  if (assignment === undefined) {
    const more = state.elsewhere === 0 ? "" : ` ${fill(t.elsewhere, { count: state.elsewhere })}`;
    element("finished-text").textContent = fill(t.finishedText, { done: state.done }) + more;
    show("finished");
    return;
  }
  if (fresh) {
    const draft = draftOf(assignment);
    scores = draft.scores;
    comment.value = draft.comment;
    shownAt = Date.now();
    renderQuestions();
  }
  renderContext(assignment.context, fresh);
  const reply = element("reply-text");
  const empty = assignment.reply.trim() === "";
  reply.textContent = empty ? t.emptyReply : assignment.reply;
  reply.classList.toggle("empty", empty);
  show("rating");
  renderScores();
  if (!fresh) return;
  element("turns").scrollTop = element("turns").scrollHeight;
  element("reply").focus({ preventScroll: true });
  window.scrollTo({ top: 0 });
}

/** @param {Assignment["context"]} context @param {boolean} fold */
function renderContext(context, fold) {
  const t = texts();
  // Only a phone folds: there a long dialogue would push the reply out of sight; elsewhere it scrolls by itself.
  const folded = fold ? matchMedia("(max-width: 859px)").matches : !element("earlier").hidden;
  const hidden = folded ? Math.max(0, context.length - shownTurns) : 0;
  const earlier = element("earlier");
  earlier.hidden = hidden === 0;
  earlier.textContent = fill(t.earlier, { count: hidden });
  element("context").replaceChildren(
    ...context.slice(hidden).map(({ role, content }) => {
      const turn = make("li", `turn turn-${role}`);
      const text = make("p", undefined, content);
      text.dir = "auto";
      const roles = /** @type {Record<string, string>} */ (t.roles);
      turn.append(make("span", "role", roles[role] ?? role), text);
      return turn;
    }),
  );
}

function renderScores() {
  const current = names.find((name) => scores[name] === undefined);
  for (const name of names) {
    const set = element(`question-${name}`);
    set.classList.toggle("current", name === current);
    for (const input of set.querySelectorAll("input")) {
      input.checked = Number(input.value) === scores[name];
      input.disabled = busy;
    }
  }
  save.disabled = busy || current !== undefined;
}

/** What was begun for this reply: before undo, or before the page was reloaded. @param {Assignment} assignment */
function draftOf(assignment) {
  const { previous } = assignment;
  try {
    const draft = JSON.parse(sessionStorage.getItem("attune-draft") ?? "{}");
    if (draft.key === assignment.key && draft.revision === assignment.revision)
      return { scores: draft.scores, comment: String(draft.comment) };
  } catch {
    // A draft that cannot be read is no draft.
  }
  if (previous === undefined) return { scores: {}, comment: "" };
  const { comment: said, ...before } = previous;
  return { scores: before, comment: said };
}

function keepDraft() {
  const assignment = seat?.assignment;
  if (assignment === undefined) return;
  const { key, revision } = assignment;
  sessionStorage.setItem("attune-draft", JSON.stringify({ key, revision, scores, comment: comment.value }));
}

/** @param {Name} name @param {number} score */
function choose(name, score) {
  if (busy) return;
  scores = { ...scores, [name]: score };
  keepDraft();
  renderScores();
}

const pause = (/** @type {number} */ seconds) => new Promise((done) => setTimeout(done, seconds * 1000));

/**
 * Sends until the server answers: sending twice is harmless, since a rating is known by key, rater and revision.
 * @param {string} path @param {object} body
 * @returns {Promise<{ status: number, body: any }>}
 */
async function call(path, body) {
  for (let attempt = 0; ; attempt++) {
    try {
      const response = await fetch(path, {
        method: "POST",
        headers: { "Content-Type": "application/json", Authorization: `Bearer ${token}` },
        body: JSON.stringify({ rater, tab, ...body }),
      });
      const answer = await response.json();
      if (response.status < 500) return { status: response.status, body: answer };
      tell(() => fill(texts().failed, { problem: String(answer.problem ?? response.status) }));
    } catch {
      tell(() => texts().retrying);
    }
    await pause(Math.min(15, 2 ** attempt));
  }
}

/** One change at a time: a second press of Save while the first is under way is ignored. @param {string} path @param {object} body @param {(() => string) | undefined} after */
async function change(path, body, after) {
  if (busy) return;
  busy = true;
  renderScores();
  try {
    const answer = await call(path, body);
    if (answer.status === 401) {
      tell(() => texts().badLink);
      return;
    }
    if (answer.body.state === undefined && path !== "/api/seat") {
      tell(() => String(answer.body.problem));
      return;
    }
    seat = /** @type {SeatState} */ (path === "/api/seat" ? answer.body : answer.body.state);
    sessionStorage.removeItem("attune-draft");
    tell(answer.status === 409 ? () => texts().elsewhereRated : after);
    busy = false;
    renderSeat(seat, true);
  } finally {
    busy = false;
    if (seat?.assignment !== undefined) renderScores();
  }
}

async function submit() {
  const assignment = seat?.assignment;
  if (assignment === undefined || save.disabled) return;
  const { key, revision } = assignment;
  const seconds = Math.min(86400, Math.round((Date.now() - shownAt) / 100) / 10);
  await change(
    "/api/ratings",
    { key, revision, ...scores, comment: comment.value.trim(), seconds },
    undefined,
  );
}

async function undo() {
  if (seat?.last !== undefined) await change("/api/undo", seat.last, () => texts().undone);
}

async function skip() {
  const assignment = seat?.assignment;
  if (assignment !== undefined)
    await change("/api/skip", { key: assignment.key, revision: assignment.revision }, undefined);
}

/** @param {string} name */
async function enter(name) {
  rater = name;
  const answer = await call("/api/seat", {});
  if (answer.status === 401) {
    show(undefined);
    tell(() => texts().badLink);
  } else if (answer.status !== 200) {
    show("welcome");
    tell(() => texts().badName);
  } else {
    localStorage.setItem(stored, name);
    seat = /** @type {SeatState} */ (answer.body);
    tell(undefined);
    renderSeat(seat, true);
  }
}

/** @param {KeyboardEvent} event */
function onKey(event) {
  if (element("rating").hidden || event.altKey || event.metaKey || event.isComposing) return;
  if (event.target === comment) {
    if (event.key === "Escape") comment.blur();
    if (event.key === "Enter" && event.ctrlKey) void submit();
    return;
  }
  if (event.ctrlKey) return;
  if (/^[0-3]$/.test(event.key)) {
    const focused = document.activeElement instanceof HTMLInputElement ? document.activeElement.name : "";
    const name = names.find((n) => n === focused) ?? names.find((n) => scores[n] === undefined) ?? "safety";
    const score = Number(event.key);
    if (score < texts().questions[name].levels.length) choose(name, score);
    if (document.activeElement instanceof HTMLInputElement) document.activeElement.blur();
  } else if (event.key === "Enter") {
    if (document.activeElement instanceof HTMLButtonElement || document.activeElement?.tagName === "SUMMARY")
      return;
    void submit();
  } else if (event.key === "u" || event.key === "U") void undo();
  else if (event.key === "x" || event.key === "X") void skip();
  else if (event.key === "c" || event.key === "C") comment.focus();
  else if (event.key === "?") guide.open = !guide.open;
  else return;
  event.preventDefault();
}

element("form").addEventListener("change", (event) => {
  const input = event.target;
  if (input instanceof HTMLInputElement) choose(/** @type {Name} */ (input.name), Number(input.value));
});
comment.addEventListener("input", keepDraft);
element("form").addEventListener("submit", (event) => {
  event.preventDefault();
  void submit();
});
for (const button of undoButtons) button.addEventListener("click", () => void undo());
element("skip").addEventListener("click", () => void skip());
element("again").addEventListener("click", () => void enter(rater));
element("earlier").addEventListener("click", () => {
  element("earlier").hidden = true;
  if (seat?.assignment !== undefined) renderContext(seat.assignment.context, false);
});
element("join").addEventListener("submit", (event) => {
  event.preventDefault();
  void enter(nameField.value.trim());
});
element("language").addEventListener("click", () => {
  language = language === "zh" ? "en" : "zh";
  localStorage.setItem("attune-language", language);
  renderTexts();
});
element("who").addEventListener("click", () => show("welcome"));
document.addEventListener("keydown", onKey);
window.addEventListener("hashchange", () => location.reload());

guide.open = matchMedia("(min-width: 1180px)").matches;
renderTexts();
const known = localStorage.getItem(stored);
nameField.value = known ?? "";
if (known === null) show("welcome");
else void enter(known);
