"""The network as rows of buttons, from the whole down to one block: what can be clicked is what can be looked at.

Above them are the steps of a tour: to the box before, to the next one, and to the full screen.
"""

from html import escape
from pathlib import Path

from analysis.tour.boxes import Box, boxes
from promptsr.config import ModelConfig

ON_LOAD = (Path(__file__).parents[1] / "static" / "tour.js").read_text(encoding="utf-8")
"""Send what a button stands for: its box, group and block. The full screen is that of the column `tour-stage`."""


def diagram(config: ModelConfig, group: int, block: int, key: str) -> str:
    """HTML with one button for each box; groups and blocks count from 1, and `key` is the chosen box."""
    found = boxes(config)
    inside = [box for box in found if box.level == "block"]
    chosen = next((box for box in found if box.key == key), found[0])

    def button(text: str, box: Box, group: int, block: int, more: str) -> str:
        return (
            f'<button type="button" data-box="{box.key}" data-group="{group}" data-block="{block}" {more}>'
            f"{escape(text)}</button>"
        )

    def choice(text: str, box: Box, group: int, block: int, pressed: bool) -> str:
        return button(text, box, group, block, f'aria-pressed="{str(pressed).lower()}"')

    def boxed(box: Box) -> str:
        return choice(box.short, box, group, block, box is chosen)

    def step(text: str, way: str, at: int) -> str:
        there = 0 <= at < len(found)
        more = f'data-step="{way}" {"" if there else "disabled"}'
        return button(text, found[at] if there else chosen, group, block, more)

    first, *others = [box for box in found if box.level == "network"]
    of_group = [box for box in found if box.level == "group"]
    within = chosen if chosen.level != "network" else inside[0]
    of_block = chosen if chosen.level == "block" else inside[0]
    groups = [
        choice(f"Group {g}", within, g, block, g == group and chosen.level != "network")
        for g in range(1, config.groups + 1)
    ]
    blocks = [
        choice(f"Block {b}", of_block, group, b, b == block and chosen.level == "block")
        for b in range(1, config.blocks_per_group + 1)
    ]
    rows = [
        ("Network", ["<b>LR</b>", boxed(first), *groups, *map(boxed, others), "<b>SR</b>"]),
        (f"Group {group}", [*blocks, *map(boxed, of_group)]),
        (f"Block {block}", [boxed(box) for box in inside]),
    ]
    lines = "".join(
        f'<div><span>{title}</span><nav aria-label="{title}">{"<i></i>".join(parts)}</nav></div>'
        for title, parts in rows
    )
    words = {
        "LR: small image. SR: result.": True,
        "Anchors A to Prompted X: global anchor prompting layer (GAPL).": any(box.part_of for box in found),
        "LPL: local prompting layer.": any("LPL" in box.short for box in found),
    }
    at = found.index(chosen)
    tour = (
        f'<nav class="tour" aria-label="Tour">{step("← Previous", "previous", at - 1)}{step("Next →", "next", at + 1)}'
        f'<output>Box {at + 1} of {len(found)}</output><button type="button" class="hall"><span>Full screen</span>'
        "<span>Leave full screen</span></button></nav>"
    )
    legend = " ".join(word for word, needed in words.items() if needed)
    return f'<div class="diagram">{tour}{lines}<p>{legend}</p></div>'
