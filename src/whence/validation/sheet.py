"""The style and the script of pages of statistics: every rule stands below ``.wl``, so that a notebook is not disturbed."""

from __future__ import annotations

import base64
import hashlib
from typing import Final

#: Okabe and Ito's colours: the darker ones on white, the lighter ones on black.
STYLE: Final = """
.wl{--ink:#1c2430;--quiet:#56616f;--line:#d5dbe3;--ground:#fff;--raised:#f4f6f9;--link:#0b5cad;--bad:#a32a00;--badground:#fdeee7;--warn:#7a5200;--warnground:#fff6dd;--good:#00634a;
--c0:#0072b2;--c1:#d55e00;--c2:#009e73;--c3:#cc79a7;--c4:#e69f00;--c5:#56b4e9;
color:var(--ink);background:var(--ground);font:15px/1.45 system-ui,sans-serif;color-scheme:light dark}
@media (prefers-color-scheme:dark){.wl{--ink:#e4e9f0;--quiet:#a3afbf;--line:#3a4452;--ground:#12161c;--raised:#1b222b;--link:#7db7f5;--bad:#ffb08a;--badground:#3a1d10;--warn:#ffd166;--warnground:#33290c;--good:#4fd6ae;
--c0:#56b4e9;--c1:#e69f00;--c2:#009e73;--c3:#cc79a7;--c4:#f0e442;--c5:#0072b2}}
@media print{.wl{--ink:#000;--quiet:#333;--line:#bbb;--ground:#fff;--raised:#f4f6f9;--link:#000;--bad:#a32a00;--badground:#fff;--warn:#5c3d00;--warnground:#fff;--c0:#0072b2;--c1:#d55e00;--c2:#009e73;--c3:#cc79a7;--c4:#e69f00;--c5:#56b4e9}
.wl .tools{display:none}.wl details::details-content{content-visibility:visible;block-size:auto}.wl .column,.wl figure{break-inside:avoid}}
.wl,.wl *{box-sizing:border-box;print-color-adjust:exact;-webkit-print-color-adjust:exact}
body.wl{margin:0 auto;padding:1.2rem 1rem 4rem;max-width:80rem}
.wl h1{font-size:1.6rem;line-height:1.2;margin:.2rem 0;overflow-wrap:anywhere}.wl h2{font-size:1.2rem;margin:2rem 0 .6rem;border-bottom:1px solid var(--line)}
.wl h3{font-size:1.05rem;margin:0;display:inline;overflow-wrap:anywhere}.wl h4{font-size:.95rem;margin:.9rem 0 .3rem}
.wl a{color:var(--link)}.wl p{margin:.4rem 0;overflow-wrap:anywhere}.wl .quiet{color:var(--quiet)}
.wl .wide{overflow-x:auto}
.wl table{border-collapse:collapse;border:0;min-width:0;font-size:.88rem;font-variant-numeric:tabular-nums;color:inherit;background:none;margin:0}
.wl caption{text-align:left;color:var(--quiet);padding:.2rem 0}
.wl th,.wl td{white-space:normal;padding:.18rem .55rem;border-bottom:1px solid var(--line);text-align:left;vertical-align:top;background:none;color:inherit}
.wl thead th{background:var(--raised);white-space:nowrap}.wl tbody th{font-weight:500;overflow-wrap:anywhere;min-width:9rem}
.wl td.n,.wl th.n{text-align:right;white-space:nowrap}
.wl td.part{background:linear-gradient(to right,var(--c4) var(--part),transparent 0) left bottom/100% 3px no-repeat}
.wl td.common{min-width:10rem}.wl .list{width:100%}.wl .list tbody th{min-width:10rem;max-width:22rem}.wl .list td.odd{min-width:11rem}.wl .list td.n{font-size:.84rem}
.wl .lines{max-height:70vh;overflow:auto;border:1px solid var(--line)}.wl .lines thead th{position:sticky;top:0;z-index:1}
.wl th button{all:unset;cursor:pointer;font-weight:600}.wl th button:hover{text-decoration:underline}.wl th button:focus-visible,.wl summary:focus-visible,.wl input:focus-visible,.wl a:focus-visible{outline:2px solid var(--c1);outline-offset:2px}
.wl th[aria-sort=ascending] button::after{content:" ↑"}.wl th[aria-sort=descending] button::after{content:" ↓"}
.wl .tag{display:inline-block;border:1px solid var(--line);border-radius:.6rem;padding:0 .45rem;font-size:.8rem;line-height:1.35;color:var(--quiet);white-space:nowrap;margin:0 .15rem .1rem 0}
.wl .tag.error{color:var(--bad);border-color:var(--bad);font-weight:600}.wl .tag.warning{color:var(--warn);border-color:var(--warn);font-weight:600}
.wl .verdict{font-weight:600}.wl .verdict.good{color:var(--good)}.wl .verdict.bad{color:var(--bad)}
.wl .anomaly{border-left:4px solid var(--warn);background:var(--warnground);padding:.4rem .8rem;margin:.5rem 0}.wl .anomaly.error{border-color:var(--bad);background:var(--badground)}
.wl .anomaly p{margin:.15rem 0}.wl .anomaly dl{display:grid;grid-template-columns:max-content 1fr;gap:.05rem .8rem;margin:.2rem 0;font-size:.88rem}.wl .anomaly dt{color:var(--quiet)}.wl .anomaly dd{margin:0;overflow-wrap:anywhere}
.wl code{font:.9em/1.4 ui-monospace,monospace;overflow-wrap:anywhere}
.wl .column{border:1px solid var(--line);border-radius:.3rem;margin:.5rem 0;content-visibility:auto;contain-intrinsic-size:auto 2.5rem}
.wl .column>summary{padding:.45rem .8rem;cursor:pointer;background:var(--raised)}.wl .column>div{padding:.5rem .8rem .8rem;scroll-margin-top:3rem}
.wl .sides{display:grid;grid-template-columns:minmax(0,1fr) minmax(0,1fr);gap:.5rem 1.6rem;align-items:start}
@media (max-width:48rem){.wl .sides{grid-template-columns:minmax(0,1fr)}}
.wl figure{margin:0}.wl figcaption{color:var(--quiet);font-size:.85rem;margin-top:.4rem}
.wl svg{max-width:100%;height:auto;display:block}.wl svg text{font:11px system-ui,sans-serif;fill:var(--quiet)}
.wl svg.spark{width:96px;height:22px;min-width:96px}
.wl .axis{stroke:var(--quiet);fill:none}
.wl .f0{fill:var(--c0)}.wl .f1{fill:var(--c1)}.wl .f2{fill:var(--c2)}.wl .f3{fill:var(--c3)}.wl .f4{fill:var(--c4)}.wl .f5{fill:var(--c5)}
.wl .s0{stroke:var(--c0)}.wl .s1{stroke:var(--c1)}.wl .s2{stroke:var(--c2)}.wl .s3{stroke:var(--c3)}.wl .s4{stroke:var(--c4)}.wl .s5{stroke:var(--c5)}
.wl path.s0,.wl path.s1,.wl path.s2,.wl path.s3,.wl path.s4,.wl path.s5{fill:none;stroke-width:2}.wl path.under{fill:var(--c0);fill-opacity:.18}
.wl .box rect{fill-opacity:.35}.wl .box .middle{stroke-width:3}
.wl .values{width:100%}.wl .values tbody th{max-width:14rem;min-width:7rem;overflow-wrap:break-word}.wl .values .bars{width:40%;min-width:4rem;vertical-align:middle}.wl td.long{max-width:16rem}
@media (max-width:34rem){.wl svg text{font-size:15px}.wl .values .bars{width:20%}.wl .column>div{padding:.4rem}}
.wl .bar{display:block;height:.5rem;margin:1px 0;min-width:1px}
.wl .b0{background:var(--c0)}.wl .b1{background:var(--c1)}.wl .b2{background:var(--c2)}.wl .b3{background:var(--c3)}.wl .b4{background:var(--c4)}.wl .b5{background:var(--c5)}
.wl .rest th,.wl .rest td{color:var(--quiet)}
.wl .legend{list-style:none;display:flex;flex-wrap:wrap;gap:.2rem 1.2rem;padding:0;margin:.5rem 0}.wl .legend svg{display:inline-block;width:28px;height:10px;vertical-align:middle;margin-right:.35rem}
.wl .tools{display:flex;flex-wrap:wrap;gap:.4rem 1rem;align-items:center;margin:.4rem 0}.wl input[type=search]{font:inherit;color:inherit;background:var(--ground);border:1px solid var(--quiet);border-radius:.25rem;padding:.2rem .5rem;min-width:14rem;max-width:100%}
.wl .tools button{font:inherit;color:inherit;background:var(--raised);border:1px solid var(--quiet);border-radius:.25rem;padding:.2rem .6rem;cursor:pointer}
.wl .sr{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap}
.wl [hidden]{display:none!important}
""".strip()

#: Sorts and filters the list, opens what a link points at. The page is whole without it.
SCRIPT: Final = """
"use strict";(()=>{const d=document,t=d.querySelector("table.list"),box=d.querySelector("#find"),said=d.querySelector("#found");
const open=()=>{const e=d.getElementById(decodeURIComponent(location.hash.slice(1)));const c=e&&e.closest("details");if(c){c.open=true;e.scrollIntoView()}};
addEventListener("hashchange",open);open();
d.querySelectorAll("[data-open]").forEach(b=>b.addEventListener("click",()=>d.querySelectorAll("details.column").forEach(c=>{c.open=b.dataset.open==="1"})));
if(!t)return;d.querySelectorAll(".tools[hidden]").forEach(e=>{e.hidden=false});
const rows=[...t.tBodies[0].rows];
t.querySelectorAll("thead th").forEach((h,i)=>{if(h.dataset.fixed)return;const b=d.createElement("button");b.type="button";b.append(...h.childNodes);h.append(b);
b.addEventListener("click",()=>{const up=h.getAttribute("aria-sort")==="ascending"||(!h.hasAttribute("aria-sort")&&h.classList.contains("n"))?-1:1;
t.querySelectorAll("thead th").forEach(o=>o.removeAttribute("aria-sort"));h.setAttribute("aria-sort",up>0?"ascending":"descending");
const key=r=>{const c=r.cells[i],v=c.dataset.v;return v===undefined?c.textContent.trim():v===""?null:Number(v)};
const order=rows.map(r=>[key(r),r]);
order.sort(([a],[b])=>a===null||b===null?(a===null)-(b===null):up*(typeof a==="number"&&typeof b==="number"?a-b:String(a).localeCompare(String(b))));
t.tBodies[0].append(...order.map(o=>o[1]))})});
if(box)box.addEventListener("input",()=>{const words=box.value.toLowerCase().split(/\\s+/).filter(Boolean);let n=0;const show=r=>{const s=r.textContent.toLowerCase();return words.every(w=>s.includes(w))};
rows.forEach(r=>{r.hidden=!show(r);n+=!r.hidden});d.querySelectorAll("details.column").forEach(c=>{c.hidden=!show(c.querySelector("summary"))});
said.textContent=words.length?n+" of "+rows.length+" columns":""})})();
""".strip()

SCRIPT_DIGEST: Final = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode("ascii")
#: The page asks nobody for anything and runs no script but its own.
POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; "
    f"script-src 'sha256-{SCRIPT_DIGEST}'"
)
