# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Where does a network fail?
#
# A mean PSNR hides what matters most: *where* a network loses, and *how*. The paper's Fig. 9 shows two places where
# PromptSR does worse than ATD-light and says why: it "tends to aggressively model and reconstruct the missing
# patterns", which causes artefacts. This notebook finds such places in any folder of photographs, for any models.
#
# You will
# 1. search photographs for the windows that one model loses to another,
# 2. look at them in the layout of Fig. 9,
# 3. tell **blur** (detail that is missing) from **artefacts** (detail that the true image does not have),
# 4. see how error grows with texture,
# 5. check the tool itself, by planting failures and finding them again.
#
# The same from a terminal: `python -m analysis failures FOLDER --model promptsr-x4 --out OUT`.

# %%
# %matplotlib inline
import promptsr.wait_policy  # noqa: F401
import os
import tempfile
from pathlib import Path

import pandas as pd
import torch
from IPython.display import display
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from analysis.common.samples import write_samples
from analysis.failures.figure import draw_case, draw_texture
from analysis.failures.report import write_report
from analysis.failures.search import find_failures
from promptsr import load_model
from promptsr.data.pairs import find_pairs
from promptsr.support.progress import finish
from promptsr.zoo.sr_model import SRModel

QUICK = "PROMPTSR_QUICK" in os.environ  # small photographs, for the tests
PEER = os.environ.get("PROMPTSR_PEER")  # path of another network's x4 checkpoint, such as HPINet-M-x4.pth
pd.set_option("display.precision", 2)

# %% [markdown]
# ## 1. Search
#
# The photographs are the true (HR) images. Each is shrunk four times, enlarged again by every model, and compared with
# the original, window by window. A window is **lost** by
#
# $$10 \log_{10} \frac{\mathrm{MSE}_{model} + 4}{\mathrm{MSE}_{other} + 4} \ \mathrm{dB}$$
#
# on the luma channel. The 4 (two grey levels, squared) excludes windows in which both are nearly perfect.
#
# Here our network is compared with bicubic interpolation, and with another network if `PROMPTSR_PEER` names its
# checkpoint.

# %%
folder = Path(tempfile.mkdtemp())
write_samples(folder, 128 if QUICK else 512)
pairs = find_pairs(folder, None)[: 2 if QUICK else None]
model = load_model("promptsr-x4")
opponents = [load_model("bicubic-x4")]
if PEER:
    opponents.insert(0, load_model(PEER))
window = 32 if QUICK else 64
study = finish(find_failures(model, opponents, pairs, window=window, count=6, per_image=2))
pd.DataFrame({"PSNR-Y (dB)": study.mean("psnr_y"), "SSIM-Y": study.mean("ssim_y")})

# %% [markdown]
# Who wins how often? The photographs are cut into windows without overlap; a difference below 0.1 dB is a draw.

# %%
study.balance

# %% [markdown]
# ## 2. The worst places
#
# As in Fig. 9: the surroundings with the window in a box, then the window in the original and in every result.

# %%
for number, case in enumerate(study.cases[:3], start=1):
    print(f"{number}. {case.image} at ({case.x}, {case.y}): {case.kind}, {case.loss_db:.2f} dB lost to {case.against}")
    display(draw_case(case))
if not study.cases:
    print(study.good_news)

# %% [markdown]
# ## 3. Blur or artefact?
#
# High frequencies carry the detail. Let $h$ be the detail of the original and $a$ that of a result. Around every pixel
# the result is explained as far as possible by a weaker copy of the original, $a \approx g h$ with $0 \le g \le 1$:
#
# - $(1-g)^2 |h|^2$ is detail that is **missing**: blur;
# - $|a - g h|^2$ is detail that was **invented**: artefacts.
#
# A case is named after the term that exceeds the better model's by more. Nearly every network has less high frequency
# than the original, so the sign of the energy alone would call everything blur.

# %%
cases = pd.DataFrame([case.to_dict() for case in study.cases])
columns = ["image", "x", "y", "kind", "loss_db", "missing", "invented", "high_frequency_db"]
cases[columns] if len(cases) else study.good_news

# %% [markdown]
# ## 4. Error against texture
#
# "Image SR becomes particularly challenging for all methods in cases with highly detailed and complex textures", the
# paper says. In numbers: windows sorted by the mean gradient of the original, in bins of equal count. The band is the
# middle half of the windows.

# %%
draw_texture(study.texture)

# %% [markdown]
# ## 5. Does the search find what it should?
#
# A tool that has never been tested on a known answer proves nothing. Here is a network with two planted faults: a
# checkerboard in one window, a blur in another. Both must come first, at their places, and with the right names.


# %%
class Faulty(nn.Module):
    """A network whose result has a checkerboard in one window and a blur in another."""

    def __init__(self, network: nn.Module, checkerboard: tuple[int, int], blurred: tuple[int, int], side: int) -> None:
        super().__init__()
        self.network, self.side = network, side
        self.checkerboard, self.blurred = checkerboard, blurred

    def forward(self, image: Tensor) -> Tensor:
        output = self.network(image).clone()
        rows, columns = torch.meshgrid(torch.arange(self.side), torch.arange(self.side), indexing="ij")
        (x, y), (u, v) = self.checkerboard, self.blurred
        output[..., y : y + self.side, x : x + self.side] += 0.15 * (1 - 2 * ((rows + columns) % 2))
        part = output[..., v : v + self.side, u : u + self.side]
        output[..., v : v + self.side, u : u + self.side] = avg_pool2d(part, 13, 1, 6, count_include_pad=False)
        return output


chelsea = [pair for pair in find_pairs(folder, None) if pair[0].stem == "chelsea"]
checkerboard, blurred = ((0, 0), (64, 40)) if QUICK else ((32, 32), (256, 64))
faulty = SRModel("faulty", 4, Faulty(model.network, checkerboard, blurred, window))
planted = finish(find_failures(faulty, [model], chelsea, window=window, stride=8, count=2))
pd.DataFrame([case.to_dict() for case in planted.cases])[columns]

# %%
found = {str(case.kind): (case.x, case.y) for case in planted.cases}
for kind, place in (("artefact", checkerboard), ("blur", blurred)):
    assert max(abs(found[kind][0] - place[0]), abs(found[kind][1] - place[1])) <= window // 4, (kind, found)
print("Both planted failures were found and named.")

# %% [markdown]
# ## Save the report
#
# One HTML page with all pictures inside (it loads nothing from the web), and the tables as CSV.

# %%
report = write_report(study, folder / "report")
tables = ", ".join(sorted(path.name for path in report.parent.glob("*.csv")))
print(f"{report.name} ({report.stat().st_size / 1e6:.1f} MB), {tables}")

# %% [markdown]
# ## What to conclude, and what not
#
# - The list holds the worst windows of the photographs that were searched, and of no others: search many.
# - A loss is always relative to another model. Where both fail alike, nothing is lost; section 4 shows such errors.
# - *Blur* and *artefact* name the larger of two terms. Look at the case before you trust the word.
#
# ## Exercises
#
# 1. Change `window` to 24 and to 128. Do the same places come first? Why do the losses grow in smaller windows?
# 2. Swap the roles: whose failures does bicubic interpolation have, and of which kind are they?
# 3. Plant noise instead of a checkerboard, weaker and weaker. When does the search stop calling it an artefact?
#
# Before: [04](04_attention_and_categories.ipynb). Next: [06, What does a network cost?](06_complexity.ipynb)
