"""The network as rows of buttons, from the whole down to one block: what can be clicked is what can be looked at."""

from html import escape

from analysis.tour.boxes import Box, boxes
from promptsr.config import ModelConfig

ON_LOAD = """
element.addEventListener('click', event => {
  const button = event.target.closest('button[data-box]');
  if (button) trigger('click', {...button.dataset});
});
"""
"""Send what a button stands for: its box, group and block."""


def diagram(config: ModelConfig, group: int, block: int, key: str) -> str:
    """HTML with one button for each box; groups and blocks count from 1, and `key` is the chosen box."""
    found = boxes(config)
    inside = [box for box in found if box.level == "block"]
    chosen = next((box for box in found if box.key == key), found[0])

    def button(text: str, box: Box, group: int, block: int, pressed: bool) -> str:
        return (
            f'<button type="button" data-box="{box.key}" data-group="{group}" data-block="{block}" '
            f'aria-pressed="{str(pressed).lower()}">{escape(text)}</button>'
        )

    def boxed(box: Box) -> str:
        return button(box.short, box, group, block, box is chosen)

    first, *others = [box for box in found if box.level == "network"]
    of_group = [box for box in found if box.level == "group"]
    within = chosen if chosen.level != "network" else inside[0]
    of_block = chosen if chosen.level == "block" else inside[0]
    groups = [
        button(f"Group {g}", within, g, block, g == group and chosen.level != "network")
        for g in range(1, config.groups + 1)
    ]
    blocks = [
        button(f"Block {b}", of_block, group, b, b == block and chosen.level == "block")
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
    return f'<div class="diagram">{lines}</div>'
