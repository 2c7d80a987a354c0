import { box, explorable, line, number, shape, span, text } from "../kit/kit.js";
import { compute, SHOWN } from "./math.js";

const MODELS = { A: "u", B: "v" };
const METRICS = { recall: "hits / min(k, n)", plain: "hits / n", ndcg: "nDCG" };

const free = (ranks, index) => span(1, SHOWN, SHOWN).filter((r) => r === ranks[index] || !ranks.includes(r));

/** The free rank nearest to where the hit is dragged. */
const nearest = (ranks, index, wanted) =>
  free(ranks, index).reduce((best, r) => (Math.abs(r - wanted) < Math.abs(best - wanted) ? r : best));

/** The next free rank to the left or right. */
function next(ranks, index, step) {
  const list = free(ranks, index);
  return list[Math.max(0, Math.min(list.length - 1, list.indexOf(ranks[index]) + step))];
}

function moved(state, model, user, index, choose, wanted) {
  const hits = structuredClone(state.hits);
  hits[model][user][index] = choose(hits[model][user], index, wanted);
  return { hits };
}

function paint(s, v, width) {
  const cell = Math.min(30, (width - 8) / SHOWN);
  const X = (rank) => 2 + (rank - 0.5) * cell;
  const rows = [];
  let svg = "";
  let y = 16;
  for (const [model, colour] of Object.entries(MODELS)) {
    svg += text(`big ${colour}`, 2, y, `Model ${model}`);
    for (const [user, who] of [`user with ${s.light} items held out`, `user with ${s.heavy} items held out`].entries()) {
      y += 22;
      svg += text("name", 2, y, who) + text("strong", 2 + SHOWN * cell, y, `hits: ${s.hits[model][user].filter((r) => r <= s.k).length}`, "end");
      y += 8;
      for (let r = 1; r <= SHOWN; r++) svg += shape("rect", `s ${r <= s.k ? "soft" : "rule"}`, { x: X(r) - cell / 2 + 1, y, width: cell - 2, height: 22, rx: 3 });
      svg += line("ink thick", X(s.k) + cell / 2, y - 4, X(s.k) + cell / 2, y + 26);
      rows.push({ model, user, y: y + 11 });
      y += 26;
    }
    y += 26;
  }
  svg += text("tick", X(1), y - 12, "rank 1", "start") + text("tick", X(SHOWN), y - 12, "20", "end");
  if (s.k > 3 && s.k < 18) svg += text("strong", X(s.k) + cell / 2, y - 12, `k = ${s.k}`, "middle");
  y += 16;
  const from = 124;
  const long = width - from - 54;
  for (const [name, words] of Object.entries(METRICS)) {
    const [a, b] = [v[`${name}A`], v[`${name}B`]];
    svg += text("strong", from - 10, y + 14, words, "end");
    svg += box("u", from, y, long * a, 14) + box("v", from, y + 16, long * b, 14);
    svg += text(a > b + 1e-12 ? "u" : "soft", from + long * a + 6, y + 12, number(a, 3)) + text(b > a + 1e-12 ? "v" : "soft", from + long * b + 6, y + 28, number(b, 3));
    y += 46;
  }
  return { height: y, svg, view: { X, rows, cell } };
}

const start = { k: 10, heavy: 8, light: 2, hits: { A: [[3], [1, 2, 4, 5, 6, 7, 9]], B: [[4, 8], [3]] } };

const handles = [];
for (const [model, colour] of Object.entries(MODELS)) {
  start.hits[model].forEach((ranks, user) =>
    ranks.forEach((_, index) =>
      handles.push({
        name: `hit of model ${model}, ${user ? "heavy" : "light"} user`,
        colour,
        small: true,
        at: (s, p) => [p.X(s.hits[model][user][index]), p.rows.find((r) => r.model === model && r.user === user).y],
        move: (s, [x], p) => moved(s, model, user, index, nearest, (x - 2) / p.cell + 0.5),
        key: (s, dx) => moved(s, model, user, index, next, dx),
        words: (s) => `rank ${s.hits[model][user][index]}`,
      }),
    ),
  );
}

const winner = (v, name) => (v[`${name}A`] > v[`${name}B`] + 1e-12 ? "A" : v[`${name}B`] > v[`${name}A`] + 1e-12 ? "B" : "");

explorable({
  start,
  compute,
  controls: [
    { key: "k", label: "length of the list, k", min: 1, max: 20, step: 1, text: String },
    { key: "heavy", label: "held-out items of the heavy user, n", min: 7, max: 40, step: 1, text: String },
  ],
  handles,
  paint,
  numbers: ["recall", "plain", "ndcg"].flatMap((name) =>
    ["A", "B"].map((model) => ({
      key: name + model,
      label: `${model}: ${{ recall: "recall, hits / min(k, n)", plain: "recall, hits / n", ndcg: "nDCG" }[name]}`,
      text: (v) => number(v[name + model], 3),
    })),
  ),
  reading: (s, v) => {
    const [first, second] = [winner(v, "recall"), winner(v, "plain")];
    const say = (w) => (w ? `model ${w} wins` : "the models are equal");
    if (first && second && first !== second) return `By hits / min(k, n) ${say(first)}, by hits / n ${say(second)}. <b class="bad">The same lists, the same name “recall@${s.k}”.</b>`;
    return `By hits / min(k, n) ${say(first)}, by hits / n ${say(second)}, by nDCG ${say(winner(v, "ndcg"))}.`;
  },
});
