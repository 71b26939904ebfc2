"""The look of a report: light and dark, phone and desk, printable."""

STYLE = """
:root {
  color-scheme: light dark;
  --page: #fdfcfa; --ink: #1d2126; --soft: #5d6570; --line: #d9d6cf; --band: #f3f1ec;
  --s0: #1f6fb2; --s1: #c8551b; --s2: #2a8a57; --s3: #8a4fb0;
  --s4: #a8324e; --s5: #7a6a1f; --s6: #1f8a94; --s7: #555f6b;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #15181c; --ink: #e6e4df; --soft: #9aa3ad; --line: #343a42; --band: #1e2329;
    --s0: #6db3ee; --s1: #f0985f; --s2: #69c797; --s3: #c493e6;
    --s4: #ee8098; --s5: #cdb95a; --s6: #62c8d1; --s7: #a9b3bf;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif;
}
main { max-width: 80rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { font-size: 1.6rem; line-height: 1.2; margin: 0.5rem 0 1rem; }
h2 { font-size: 1.2rem; margin: 2.5rem 0 0.5rem; }
h3 { font-size: 1rem; margin: 1.5rem 0 0.5rem; }
p, dd { max-width: 46rem; }
small { display: block; font-size: 0.75rem; font-weight: normal; color: var(--soft); }
.fine { font-size: 0.85rem; color: var(--soft); }
.wide { overflow-x: auto; border: 1px solid var(--line); border-radius: 6px; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
.wide table { width: 100%; font-size: 0.8rem; white-space: nowrap; }
.wide th, .wide td { padding: 0.35rem 0.4rem; text-align: right; vertical-align: bottom; }
.wide thead th { border-bottom: 1px solid var(--line); }
.wide thead [colspan] { text-align: left; color: var(--soft); font-weight: normal; border: 0; }
.wide th:first-child, .wide thead td:first-child {
  position: sticky; left: 0; background: var(--page); text-align: left;
}
.wide .first { border-left: 1px solid var(--line); }
.wide tbody tr:nth-child(even) > * { background: var(--band); }
.wide tr.model + tr.control > * { border-top: 1px solid var(--line); }
.wide tr.control > * { color: var(--soft); font-style: italic; }
.wide .words { white-space: normal; min-width: 6.5rem; }
.wide .reason { text-align: left; white-space: normal; color: var(--s4); }
.remarks { max-width: 46rem; padding-left: 1.2rem; }
.grids {
  display: grid; gap: 1.25rem;
  grid-template-columns: repeat(auto-fill, minmax(13rem, 1fr));
}
figure { margin: 0; }
figcaption { font-weight: 600; margin: 0.3rem 0; }
.grids img { width: 100%; image-rendering: pixelated; display: block; }
.shelf { display: flex; flex-wrap: wrap; gap: 1.25rem; align-items: flex-start; }
.learned { max-width: 100%; }
.learned img { max-width: 100%; height: auto; display: block; }
.learned figcaption { contain: inline-size; }
.cloud { width: 100%; border: 1px solid var(--line); border-radius: 6px; }
.cloud .real { fill: var(--soft); opacity: 0.45; }
.cloud .own { fill: var(--s0); opacity: 0.8; }
.chart { max-width: 46rem; margin: 1rem 0; }
.chart svg { width: 100%; height: auto; display: block; }
.chart svg text { fill: var(--soft); font-size: 12px; }
.chart svg line { stroke: var(--line); }
.chart polyline { fill: none; stroke-width: 2; stroke-linejoin: round; }
.chart polyline.thin { stroke-width: 1; stroke-opacity: 0.55; }
.legend { margin: 0.2rem 0; font-size: 0.85rem; }
.key { margin-right: 1rem; white-space: nowrap; }
.key i {
  display: inline-block; width: 0.8em; height: 0.8em;
  border-radius: 50%; margin-right: 0.35em;
}
polyline.s0 { stroke: var(--s0); } circle.s0 { fill: var(--s0); } i.s0 { background: var(--s0); }
polyline.s1 { stroke: var(--s1); } circle.s1 { fill: var(--s1); } i.s1 { background: var(--s1); }
polyline.s2 { stroke: var(--s2); } circle.s2 { fill: var(--s2); } i.s2 { background: var(--s2); }
polyline.s3 { stroke: var(--s3); } circle.s3 { fill: var(--s3); } i.s3 { background: var(--s3); }
polyline.s4 { stroke: var(--s4); } circle.s4 { fill: var(--s4); } i.s4 { background: var(--s4); }
polyline.s5 { stroke: var(--s5); } circle.s5 { fill: var(--s5); } i.s5 { background: var(--s5); }
polyline.s6 { stroke: var(--s6); } circle.s6 { fill: var(--s6); } i.s6 { background: var(--s6); }
polyline.s7 { stroke: var(--s7); } circle.s7 { fill: var(--s7); } i.s7 { background: var(--s7); }
dt { font-weight: 600; margin-top: 0.9rem; }
dd { margin: 0.1rem 0 0; }
.facts th {
  text-align: left; vertical-align: top; padding: 0.15rem 1rem 0.15rem 0; font-weight: 600;
}
.facts td { overflow-wrap: anywhere; }
"""
