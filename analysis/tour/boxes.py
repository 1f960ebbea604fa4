"""Boxes of the paper's Fig. 2, in the order of the forward pass: names, equations, and a sentence for students."""

from dataclasses import dataclass, replace

from promptsr.config import ModelConfig

NOTEBOOK = "notebooks/01_architecture_tour.ipynb"
"""Path in the repository of the notebook that shows every box, and writes it out by hand."""


@dataclass(frozen=True)
class Box:
    """One step of the network."""

    key: str
    """Short name, unique among the boxes of a network."""
    title: str
    short: str
    """A word or two, for a diagram."""
    equation: str
    """LaTeX, without delimiters."""
    sentence: str
    module: str
    """Path of its module, with `{group}` and `{block}` counted from 0."""
    numbers: str = ""
    """Numbers of the equation in the paper; empty for steps that are not in it."""
    part_of: str = ""
    """Name of the layer of `module`, if this box is only a step of it."""

    @property
    def level(self) -> str:
        """Return its place: "network", "group" (one for each residual group) or "block" (one for each CPB)."""
        return next((level for level in ("block", "group") if f"{{{level}}}" in self.module), "network")

    @property
    def section(self) -> str:
        """Return the heading in `NOTEBOOK` below which it is."""
        if self.key == "encoder" or self.part_of:
            return "2. Encoder and global anchor prompting"
        return "3. Local prompting" if self.level == "block" else "4. Back to an image"


def boxes(config: ModelConfig) -> tuple[Box, ...]:
    """Return the boxes of a network of this configuration, in forward order."""
    gapl = _GAPL if config.anchor_prompting else (_PLAIN,)
    coarse = _COARSE if config.coarse_prompting else _windows_only(_COARSE)
    fine = {"fine": _FINE, "coarse": _FINE_BY_COARSE, "off": _windows_only(_FINE)}[config.fine_prompting]
    decoder = _DECODER_WITH_SKIP if config.bicubic_skip else _DECODER
    return (_ENCODER, *gapl, coarse, fine, _CONVOLUTION, _FUSION, decoder)


def _aligned(*lines: str) -> str:
    """Write equations below each other, aligned at their first equals sign."""
    rows = r" \\ ".join(line.replace("=", "&=", 1) for line in lines)
    return rf"\begin{{aligned}} {rows} \end{{aligned}}"


_BLOCK = "groups.{group}.blocks.{block}."

_ENCODER = Box(
    "encoder",
    "Shallow feature encoder",
    "Encoder",
    r"X_0 = f_{\text{encoder}}(I_{LR}) = \operatorname{Conv}_{3\times3}(I_{LR})",
    "A single convolution turns the three colours of every pixel into C numbers, its first features.",
    "encoder",
    "1",
)


def _gapl(key: str, title: str, short: str, equation: str, sentence: str, numbers: str) -> Box:
    return Box(key, title, short, equation, sentence, _BLOCK + "global_prompting", numbers, "GAPL")


_GAPL = (
    _gapl(
        "anchors",
        "Anchors",
        "Anchors A",
        r"Q = XW^Q,\; K = XW^K,\; V = XW^V,\; A = X_d W^A",
        "The features are shrunk d times: what is left are anchors, one summary for every d × d pixels.",
        "6",
    ),
    _gapl(
        "coarse_map",
        "Coarse similarity map",
        "M coarse",
        r"M_{coarse} = A K^T / \sqrt{C}",
        "Every anchor looks at the whole image and weighs each pixel by how similar it is.",
        "7a",
    ),
    _gapl(
        "anchor_prompts",
        "Anchor prompts",
        "Prompts P",
        _aligned(r"P = \operatorname{SoftMax}(M_{coarse})\,V", r"P^i = \alpha P^{i-1} + (1-\alpha) P^i"),
        "What an anchor has read becomes its prompt; a little of the previous block's prompts is mixed in.",
        "7b, 8",
    ),
    _gapl(
        "fine_map",
        "Fine similarity map",
        "M fine",
        _aligned(r"K_p = PW^{K_p}, \quad V_p = PW^{V_p}", r"M_{fine} = Q (K_p + A)^T / \sqrt{C}"),
        "Now every pixel asks which anchor prompts suit it: a cheap detour through which it sees the whole image.",
        "9, 10a",
    ),
    _gapl(
        "prompted",
        "Prompted features",
        "Prompted X",
        _aligned(
            r"X_p = \operatorname{Proj}\big(\operatorname{SoftMax}(M_{fine})\,V_p\big) + X",
            r"X_p = \operatorname{FFN}(\operatorname{LN}(X_p)) + X_p",
        ),
        "Each pixel takes the prompts it asked for on top of what it knew, and digests them in a small network.",
        "10b, 11, 12",
    ),
)

_PLAIN = Box(
    "plain",
    "Window self-attention layer",
    "Windows",
    _aligned(r"X' = \operatorname{WSA}(X) + X", r"X' = \operatorname{FFN}(\operatorname{LN}(X')) + X'"),
    "This ablation has no anchors: pixels only attend to the others in their own window.",
    _BLOCK + "global_prompting",
)
_COARSE = Box(
    "coarse",
    "Coarse local prompting layer",
    "Coarse LPL",
    _aligned(
        r"X_{coarse} = \operatorname{WSA}(X_p) + \operatorname{CSA}(X_p, M_{coarse}) + X_p",
        r"X_{coarse} = \operatorname{FFN}(\operatorname{LN}(X_{coarse})) + X_{coarse}",
    ),
    "Pixels attend to their window, and to others that the same anchor looks at most, however far away.",
    _BLOCK + "coarse_prompting",
    "13, 14",
)
_FINE = Box(
    "fine",
    "Fine local prompting layer",
    "Fine LPL",
    _aligned(
        r"X_{fine} = \operatorname{WSA}(X_{coarse}) + \operatorname{CSA}(X_{coarse}, M_{fine}) + X_{coarse}",
        r"X_{fine} = \operatorname{FFN}(\operatorname{LN}(X_{fine})) + X_{fine}",
    ),
    "The same once more with windows moved by half their size, and with the categories the pixels themselves chose.",
    _BLOCK + "fine_prompting",
    "15, 16",
)
_CONVOLUTION = Box(
    "convolution",
    "End of the residual group",
    "Convolution",
    r"X_i = f_{\text{RG}_i}(X_{i-1}) = \operatorname{Conv}_{3\times3}\big(\text{CPBs}(X_{i-1})\big) + X_{i-1}",
    "A convolution smooths what the blocks found and adds it to the features that entered the group.",
    "groups.{group}.convolution",
    "2",
)
_FUSION = Box(
    "fusion",
    "Fusion",
    "Fusion",
    r"X_{df} = \operatorname{Conv}_{3\times3}(X_K)",
    "After the last group a convolution gathers the deep features; the first ones are added to them again.",
    "fusion",
    "3",
)
_DECODER = Box(
    "decoder",
    "Pixel-shuffle decoder",
    "Decoder",
    r"I_{SR} = f_{\text{decoder}}(X_{df} + X_0)",
    "Every pixel predicts the s × s pixels that take its place: the enlarged image.",
    "decoder",
    "4",
)


_DECODER_WITH_SKIP = replace(
    _DECODER,
    equation=_DECODER.equation + r" + \operatorname{Bicubic}_s(I_{LR})",
    sentence="Every pixel predicts s × s corrections, which are added to the bicubic enlargement of the image.",
)
_FINE_BY_COARSE = replace(
    _FINE,
    equation=_FINE.equation.replace("M_{fine}", "M_{coarse}"),
    sentence="The same once more with windows moved by half their size; this ablation keeps the coarse categories.",
)


def _windows_only(box: Box) -> Box:
    return replace(
        box,
        title=box.title.replace("local prompting", "window"),
        short="Windows",
        equation=_PLAIN.equation,
        sentence="In this ablation pixels only attend to the others in their own window.",
        numbers="",
    )
