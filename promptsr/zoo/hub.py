"""Weights on the Hugging Face Hub: `hf://owner/name` is a model like any other, and `push_to_hub` publishes one.

Downloads stay in the cache of `huggingface_hub`, which needs no network for them any more, and whose settings apply:
`HF_TOKEN`, `HF_ENDPOINT`, `HF_HUB_CACHE`, `HF_HUB_OFFLINE`.
"""

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from promptsr.model.network import PromptSR
from promptsr.support.errors import CheckpointError, UserError, first_few, first_line, missing_package
from promptsr.zoo.checkpoints import load_checkpoint, read_info, save_checkpoint
from promptsr.zoo.fingerprint import fingerprint
from promptsr.zoo.formats import TENSOR_SUFFIXES
from promptsr.zoo.listing import WEIGHTS, ModelInfo, find_checkpoint, list_models
from promptsr.zoo.sr_model import SRModel

if TYPE_CHECKING:
    from huggingface_hub import HfApi

PREFIX = "hf://"
"""Start of the names that `download` takes."""
WEIGHTS_FILE = "model.safetensors"
"""Name of published weights in their repository; of several files the one that is meant, if no other is named."""
_FORM = f"{PREFIX}owner/name, {PREFIX}owner/name/file.safetensors, or either with @revision"
_BUNDLED_LICENSE = "apache-2.0"


@dataclass(frozen=True)
class _Address:
    """Place of weights on the Hub."""

    repository: str
    revision: str | None
    file: str | None


def download(name: str) -> tuple[str, Path]:
    """Fetch the weights of a repository, unless the cache has them; only files of tensors.

    Args:
        name: `hf://owner/name`, `hf://owner/name/file.safetensors`, or either with `@revision` (a branch, a tag or a
            commit) after the repository or at the end.

    Returns:
        A short name for the model, and the path of the file.

    Raises:
        CheckpointError: the name is malformed; repository, revision or file are missing or private; the repository
            holds no tensors, or several files of them; the Hub cannot be reached and the file is not in the cache; or
            `huggingface_hub` is not installed.
    """
    api, address = _api(), _parse(name)
    try:
        path = api.hf_hub_download(address.repository, _choose(api, address), revision=address.revision)
    except UserError:
        raise
    except Exception as error:  # those of huggingface_hub and of its transport have no base in common
        raise CheckpointError(_explain(error, name, address)) from error
    return PurePosixPath(address.file).stem if address.file else address.repository.partition("/")[2], Path(path)


def push_to_hub(
    model: str | Path | SRModel | PromptSR, repository: str, *, private: bool = False, license: str | None = None
) -> str:
    """Publish a PromptSR network with a model card, in one commit; log in by `hf auth login` before.

    A card that the repository has already stays as it is.

    Args:
        model: a name from `list_models` or a checkpoint of `promptsr train`, whose file is published as it is; or a
            network in memory.
        repository: `owner/name`; it is made if it does not exist.
        private: whether a new repository is visible to its owner alone.
        license: identifier such as "cc-by-4.0", for the card; that of bundled weights is known.

    Returns:
        The address of the commit.

    Raises:
        CheckpointError: there is no such checkpoint, it is damaged, or holds another network than PromptSR.
        UserError: the name is malformed, the Hub cannot be reached, or does not let you write there.
    """
    api, address = _api(), _parse(f"{PREFIX}{repository}")
    if address.revision or address.file:
        raise CheckpointError(f"{repository} is not the name of a repository: write owner/name.")
    from huggingface_hub import CommitOperationAdd

    with TemporaryDirectory() as folder:
        if isinstance(model, str | Path):
            path = find_checkpoint(str(model)) or Path(model)
            network, info = load_checkpoint(path), read_info(path)
        else:
            found = model.network if isinstance(model, SRModel) else model
            if not isinstance(found, PromptSR):
                raise CheckpointError(
                    f"This is a {type(found).__name__}, and only PromptSR networks are published from here: upload the "
                    "file of its authors by `hf upload`."
                )
            network, info, path = found, {}, Path(folder) / WEIGHTS_FILE
            save_checkpoint(path, network.config, network.state_dict(), info)
        card = model_card(network, repository, info, license)
        files: dict[str, Path | bytes] = {WEIGHTS_FILE: path, "README.md": card.encode()}
        try:
            api.create_repo(repository, private=private, exist_ok=True)
            if api.file_exists(repository, "README.md"):
                del files["README.md"]
            commit = api.create_commit(
                repository,
                [CommitOperationAdd(name, content) for name, content in files.items()],
                commit_message="Add weights of PromptSR",
            )
        except Exception as error:  # as in `download`
            raise UserError(_explain(error, repository, address, writing=True)) from error
    return str(commit.commit_url)


def model_card(network: PromptSR, repository: str, info: dict[str, Any], license: str | None = None) -> str:
    """Return the text of a model card: use, data and scores as far as they are known.

    Args:
        network: of the weights.
        repository: `owner/name`.
        info: as `read_info` returns it; may be empty.
        license: as in `push_to_hub`.
    """
    from huggingface_hub import EvalResult, ModelCardData

    bundled, config = _bundled(network), network.config
    scores = bundled.scores if bundled else {}
    results = [
        EvalResult("image-to-image", name.lower(), name, metric, value, task_name="super-resolution", metric_name=label)
        for name, measured in scores.items()
        for metric, label, value in (
            ("psnr", "PSNR-Y (dB)", measured["psnr_y"]),
            ("ssim", "SSIM-Y", measured["ssim_y"]),
        )
    ]
    header = ModelCardData(
        license=license or (_BUNDLED_LICENSE if bundled else None),
        library_name="promptsr",
        pipeline_tag="image-to-image",
        tags=["super-resolution", "promptsr", f"x{config.scale}"],
        model_name=repository.partition("/")[2] if results else None,
        eval_results=results or None,
    )
    parameters = sum(parameter.numel() for parameter in network.parameters())
    table = ["| set | PSNR-Y (dB) | SSIM-Y |", "| --- | --- | --- |"]
    table += [f"| {name} | {each['psnr_y']:.2f} | {each['ssim_y']:.4f} |" for name, each in scores.items()]
    return "\n".join(
        [
            f"---\n{header.to_yaml()}\n---\n",
            f"# {repository.partition('/')[2]}\n",
            "A PromptSR network (*Cascade Prompting for Lightweight Image Super-Resolution*, Liu et al.) that enlarges "
            f"photographs x{config.scale}: {parameters:,} parameters, trained with the PromptSR Workbench.\n",
            "## Use\n",
            "```python",
            "from pathlib import Path",
            "from promptsr import Upscaler, load_model",
            "from promptsr.imaging import decode, encode\n",
            f'result = Upscaler(load_model("{PREFIX}{repository}"))(decode(Path("photo.jpg")))',
            'encode(result.picture, Path("big.png"))',
            "```\n",
            f"Or `promptsr upscale photo.jpg --output big.png --model {PREFIX}{repository}`. The file holds tensors "
            "and the settings of the network, no code.\n",
            "## Data\n",
            f"{_training(info)}\n",
            *(["The workbench lists the photographs' licences in `promptsr/weights/README.md`.\n"] if bundled else []),
            "## Scores\n",
            *(table if scores else ["Not measured yet: `promptsr evaluate` measures PSNR and SSIM on benchmark sets."]),
            "",
        ]
    )


def _training(info: dict[str, Any]) -> str:
    """Describe the training in a sentence or two; `info` may come from any file."""
    runs, train = info.get("mean_of"), info.get("train")
    if isinstance(runs, list) and all(isinstance(each, dict) for each in runs):
        return " ".join([f"The mean of {len(runs)} runs.", *map(_training, runs)])
    if not isinstance(train, dict) or not isinstance(train.get("data"), list):
        return "The weights do not say on which photographs they were trained."
    start = " from earlier weights" if train.get("init") else ""
    text = f"Trained{start} for {info.get('step')} steps on the folders {', '.join(map(str, train['data']))}"
    text += " with LR images of their own." if train.get("data_lr") else ", shrunk by bicubic interpolation."
    if isinstance(psnr := info.get("validation_psnr_y"), float) and (images := train.get("validation")):
        text += f" {psnr:.2f} dB PSNR-Y on {train.get('validation_images') or 'the'} images of {images}."
    return text


def _bundled(network: PromptSR) -> ModelInfo | None:
    """Return the bundled model that computes the same, whose scores were measured."""
    paths = {WEIGHTS / f"{info.name}.safetensors": info for info in list_models() if info.scores}
    alike = (path for path, info in paths.items() if info.scale == network.config.scale and path.is_file())
    mine = fingerprint(network)
    return next((paths[path] for path in alike if fingerprint(load_checkpoint(path)) == mine), None)


def _api() -> "HfApi":
    try:
        from huggingface_hub import HfApi
    except ModuleNotFoundError as error:
        raise CheckpointError(missing_package(error)) from error
    return HfApi(library_name="promptsr")


def _parse(name: str) -> _Address:
    from huggingface_hub import parse_hf_uri
    from huggingface_hub.errors import HfUriError

    # Their grammar has the revision after the repository alone.
    moved = re.fullmatch(r"(hf://[^/@]+/[^/@]+)(/[^@]+)@(.+)", name)
    try:
        uri = parse_hf_uri(f"{moved[1]}@{moved[3].replace('/', '%2F')}{moved[2]}" if moved else name)
    except HfUriError as error:
        raise CheckpointError(f"{name} is not the name of weights on the Hub: write {_FORM}.") from error
    file = uri.path_in_repo or None
    if uri.type != "model" or (file and not file.lower().endswith(TENSOR_SUFFIXES)):
        raise CheckpointError(
            f"{name} does not name a file of tensors ({', '.join(TENSOR_SUFFIXES)}) in a model repository: write "
            f"{_FORM}."
        )
    return _Address(uri.id, uri.revision, file)


def _choose(api: "HfApi", address: _Address) -> str:
    """Return the file that is meant.

    The Hub is asked for its list first, since that fails at once without a network. The cache answers in its place.
    """
    repository = address.repository
    try:
        siblings = api.model_info(repository, revision=address.revision).siblings
        names = [sibling.rfilename for sibling in siblings or []]
    except Exception as error:
        try:
            kept = Path(api.snapshot_download(repository, revision=address.revision, local_files_only=True))
        except Exception:
            raise error from None
        names = [path.relative_to(kept).as_posix() for path in kept.rglob("*")]
    found = sorted(name for name in names if name.lower().endswith(TENSOR_SUFFIXES))
    if not found:
        raise CheckpointError(
            f"{repository} holds no file of tensors ({', '.join(TENSOR_SUFFIXES)}): choose another repository."
        )
    file = address.file or (WEIGHTS_FILE if WEIGHTS_FILE in found else found[0])
    if file not in found:
        raise CheckpointError(f"{repository} has no file {file}: choose one of {first_few(found)}.")
    if not address.file and file != WEIGHTS_FILE and len(found) > 1:
        raise CheckpointError(f"{repository} holds {first_few(found)}: name one, as in {PREFIX}{repository}/{file}.")
    return file


def _explain(error: Exception, name: str, address: _Address, writing: bool = False) -> str:
    """Say in a sentence why the Hub gave or took nothing, and what to do."""
    from huggingface_hub import constants, errors

    host, repository = constants.ENDPOINT, address.repository
    answer = error if isinstance(error, errors.HfHubHTTPError) else error.__cause__
    status = answer.response.status_code if isinstance(answer, errors.HfHubHTTPError) else None
    if writing and status in (401, 403, 404):
        return f"{host} does not let you write to {repository}: log in by `hf auth login`, with a token that may write."
    if isinstance(error, errors.GatedRepoError):
        return f"{repository} is gated: accept its terms at {host}/{repository}, then log in by `hf auth login`."
    if isinstance(error, errors.RepositoryNotFoundError):
        return f"{host} shows no model {repository}, so it is missing or private: check the name, or `hf auth login`."
    if isinstance(error, errors.RevisionNotFoundError):
        return f"{repository} has no revision {address.revision}: choose a branch, a tag or a commit of it."
    if status is not None:
        what = "your token may not do this, so log in by `hf auth login`" if status in (401, 403) else "try again later"
        return f"{host} answers {status} to the request for {name}: {what}."
    if constants.is_offline_mode():
        return f"HF_HUB_OFFLINE is set, and {name} is not in the cache: unset it, and run this once with a network."
    if isinstance(error, errors.LocalEntryNotFoundError) or not isinstance(error, OSError):
        cause = first_line(str(error.__cause__ or error)) or type(error).__name__
        return f"{host} cannot be reached for {name} ({cause}): check the connection."
    why = error.strerror or error
    return f"{name} cannot be kept in {constants.HF_HUB_CACHE} ({why}): make room, or set HF_HUB_CACHE."
