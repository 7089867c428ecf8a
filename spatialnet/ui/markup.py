"""Small pieces of HTML that Streamlit has no element for. Every text is escaped here and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import streamlit as st

_STYLE = """
<style>
.stMainBlockContainer{padding:2.6rem 2.6rem 2rem;max-width:1680px}
.sn-row{display:grid;grid-template-columns:minmax(84px,34%) 1fr 46px;gap:8px;align-items:center;font-size:.86rem;line-height:1.55}
.sn-row .n{overflow:hidden;text-overflow:ellipsis;white-space:nowrap}
.sn-row .b{height:9px;border-radius:5px;background:color-mix(in srgb,currentColor 12%,transparent);overflow:hidden}
.sn-row .b i{display:block;height:100%;border-radius:5px}
.sn-row .b:has(u){position:relative;overflow:visible}
.sn-row .b u{position:absolute;top:-3px;width:2px;height:15px;margin-left:-1px;background:currentColor}
.sn-row .v{text-align:right;font-variant-numeric:tabular-nums}
.sn-row.top .n,.sn-row.top .v{font-weight:650}
.sn-head{font-size:.86rem;margin:.35rem 0 .1rem;display:flex;justify-content:space-between;gap:8px;flex-wrap:wrap}
.sn-head b{font-weight:650}.sn-head span{opacity:.72;font-size:.8rem}
.sn-legend{display:flex;gap:6px 14px;flex-wrap:wrap;font-size:.84rem;align-items:center}
.sn-legend i{display:inline-block;width:13px;height:13px;border-radius:3px;margin-right:6px;vertical-align:-2px;
  box-shadow:inset 0 0 0 1px rgba(0,0,0,.25)}
.sn-ramp{height:11px;width:min(150px,34%);border-radius:3px;display:inline-block;vertical-align:-1px;
  box-shadow:inset 0 0 0 1px rgba(0,0,0,.25)}
.sn-pictures{display:flex;gap:8px}.sn-pictures figure{margin:0;flex:1;min-width:0;max-width:calc(50% - 4px)}
.sn-stack{position:relative;aspect-ratio:1;border-radius:6px;overflow:hidden;background:#222}
.sn-stack img{position:absolute;inset:0;width:100%;height:100%;image-rendering:pixelated}
.sn-thumbs{display:flex;gap:6px;flex-wrap:wrap}
.sn-thumbs img{width:60px;height:60px;border-radius:4px;image-rendering:pixelated;background:rgba(128,128,128,.2)}
.sn-strip{height:74px;border-radius:6px;background-repeat:no-repeat;background-size:cover;image-rendering:pixelated;
  background-color:rgba(128,128,128,.15)}
.sn-tag{display:inline-block;padding:0 7px;margin:0 4px 3px 0;border-radius:9px;font-size:.76rem;line-height:1.55;
  border:1px solid color-mix(in srgb,currentColor 28%,transparent)}
.sn-tag.mark{background:#bf870022;border-color:#bf8700}
.sn-pictures figcaption{font-size:.78rem;opacity:.75;margin-top:2px}
.sn-badge{display:flex;gap:10px;align-items:flex-start;font-size:.86rem;line-height:1.4;padding:8px 10px;border-radius:8px;
  border:1px solid color-mix(in srgb,currentColor 18%,transparent)}
.sn-badge i{flex:none;width:12px;height:12px;border-radius:50%;margin-top:4px}
.sn-badge b{font-weight:650}
</style>
"""

_VERDICTS = {
    "faithful": ("#1a7f37", "Faithful"),
    "weak": ("#bf8700", "Weak"),
    "no better than chance": ("#c0392b", "No better than chance"),
}


def plain(text: str) -> str:
    """Text with Markdown made inert: names of runs and files may hold anything."""
    return "".join(f"\\{c}" if c in r"\`*_{}[]()#+!|~<>$:" else c for c in text)


def styles() -> None:
    """The style sheet of the frame and of the pieces below; once per page."""
    st.html(_STYLE)


def score_rows(names: Sequence[str], scores: Sequence[float], colours: Sequence[str], top: set[int]) -> str:
    """One bar per class.

    Args:
        names: class names.
        scores: 0..1 per class.
        colours: `#rrggbb` per class.
        top: classes in bold: the answer.
    """
    order = sorted(range(len(names)), key=lambda i: -scores[i])
    return "".join(
        f'<div class="sn-row{" top" if i in top else ""}"><span class="n">{escape(names[i])}</span>'
        f'<span class="b"><i style="width:{100 * scores[i]:.1f}%;background:{escape(colours[i])}"></i></span>'
        f'<span class="v">{100 * scores[i]:.0f} %</span></div>'
        for i in order
    )


def compared_rows(names: Sequence[str], before: Sequence[float], after: Sequence[float], colours: Sequence[str]) -> str:
    """One bar per class for what is said now, with a mark where it was before; in the order of what it was.

    Args:
        names: class names.
        before: 0..1 per class.
        after: 0..1 per class.
        colours: `#rrggbb` per class.
    """
    order = sorted(range(len(names)), key=lambda i: -before[i])
    return "".join(
        f'<div class="sn-row"><span class="n">{escape(names[i])}</span>'
        f'<span class="b"><i style="width:{100 * after[i]:.1f}%;background:{escape(colours[i])}"></i>'
        f'<u style="left:{100 * before[i]:.1f}%"></u></span>'
        f'<span class="v" title="before: {100 * before[i]:.0f} %">{100 * after[i]:.0f} %</span></div>'
        for i in order
    )


def head(left: str, right: str = "") -> str:
    """A line with something bold on the left and something quiet on the right."""
    return f'<div class="sn-head"><b>{escape(left)}</b><span>{escape(right)}</span></div>'


def swatches(entries: Sequence[tuple[str, str]]) -> str:
    """A legend of (colour, name)."""
    items = "".join(
        f'<span><i style="background:{escape(colour)}"></i>{escape(name)}</span>' for colour, name in entries
    )
    return f'<div class="sn-legend">{items}</div>'


def ramp(colours: Sequence[str], low: str, high: str) -> str:
    """A legend of a colour ramp between two numbers."""
    gradient = ",".join(escape(colour) for colour in colours)
    return (
        f'<div class="sn-legend"><span>{escape(low)}</span>'
        f'<span class="sn-ramp" style="background:linear-gradient(90deg,{gradient})"></span><span>{escape(high)}</span></div>'
    )


def pictures(figures: Sequence[tuple[Sequence[str], str, str]]) -> str:
    """Pictures side by side.

    Args:
        figures: (addresses from bottom to top, caption, alternative text).
    """
    parts = []
    for addresses, caption, alternative in figures:
        layers = "".join(
            f'<img src="{escape(address)}" alt="{escape(alternative) if index == 0 else ""}">'
            for index, address in enumerate(addresses)
        )
        parts.append(f'<figure><div class="sn-stack">{layers}</div><figcaption>{escape(caption)}</figcaption></figure>')
    return f'<div class="sn-pictures">{"".join(parts)}</div>'


def picture(address: str, text: str) -> str:
    """One picture as wide as there is room, its pixels sharp squares."""
    return f'<div class="sn-stack"><img src="{escape(address)}" alt="{escape(text)}"></div>'


def thumbnails(figures: Sequence[tuple[str, str]]) -> str:
    """Small pictures in a row: (address, alternative text)."""
    images = "".join(
        f'<img src="{escape(address)}" alt="{escape(text)}" title="{escape(text)}">' for address, text in figures
    )
    return f'<div class="sn-thumbs">{images}</div>'


def strip(address: str, text: str) -> str:
    """A contact sheet as one band across."""
    return f'<div class="sn-strip" role="img" aria-label="{escape(text)}" style="background-image:url({escape(address)})"></div>'


def tags(texts: Sequence[str], marked: Sequence[str] = ()) -> str:
    """Short words in rounded boxes; `marked` ones stand first and stand out."""
    first = "".join(f'<span class="sn-tag mark">{escape(text)}</span>' for text in marked)
    return f"<div>{first}{''.join(f'<span class=sn-tag>{escape(text)}</span>' for text in texts)}</div>"


def badge(verdict: str, sentence: str) -> str:
    """The faithfulness badge: a colour, a word and one sentence."""
    colour, word = _VERDICTS[verdict]
    return f'<div class="sn-badge" role="note"><i style="background:{colour}"></i><span><b>{word}.</b> {escape(sentence)}</span></div>'
