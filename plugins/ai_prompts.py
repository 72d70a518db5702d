"""Reads the prompt out of a picture that a machine has made.

    rules:
      - name: import generated pictures
        on:
          watch_folder: {path: ~/Pictures/generated}
        do:
          - add_file:
          - read_prompt:
          - add_tags: {my tags: "{{ steps.read_prompt.tags }}"}

Four programs write it in four ways: A1111 (and its children Forge and SD.Next) as one text,
ComfyUI as the graph of its nodes, NovelAI as a text with a JSON beside it, InvokeAI as JSON. In
PNG these are chunks of text, in JPEG and WebP fields of EXIF. Of a graph only that is told which
can be told for sure: the texts that lead into a sampler.

Chunks are read here and not by Pillow, which would have to decode the picture to reach those
that stand behind it.
"""

from __future__ import annotations

import json
import re
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PureWindowsPath
from typing import Any, BinaryIO, ClassVar

from pydantic import Field

from hydrusd.plugin import AnyAction, Call, Data, Outcome, ReadingAction, hookimpl

MOST_TEXT_BYTES = 4 * 1024 * 1024
"""Of one chunk, unpacked. The graphs of ComfyUI take some hundred kilobytes."""
MOST_CHUNKS = 10_000
MOST_TAGS = 500
MOST_PROMPT = 50_000
MOST_NODES = 5_000
LONGEST_TAG = 200

_PNG = b"\x89PNG\r\n\x1a\n"
_SETTING = re.compile(r'\s*([A-Za-z][\w +/()-]*):\s*("(?:\\.|[^"\\])*"|[^,]*)(?:,|$)')
_LORA = re.compile(r"<(lora|lyco|hypernet):([^:<>]+)(?::[^<>]*)?>")
_WEIGHT = re.compile(r":\s*-?\d*\.?\d+\s*$")
_NOVEL_WEIGHT = re.compile(r"-?\d*\.?\d+::")


class ReadPrompt(ReadingAction):
    """Read the prompt of a picture made by A1111, ComfyUI, NovelAI or InvokeAI.

    Later steps see `steps.read_prompt.tags`: each part of the prompt between commas, without
    its weights, as a tag of its own, and `model:…` and `lora:…`. And `.prompt`, `.negative`,
    `.model`, `.sampler`, `.seed`, `.steps` (texts, empty where nothing is told) and `.program`.

    A picture without a prompt gives empty ones.
    """

    action: ClassVar[str] = "read_prompt"

    namespace: str = Field(
        default="", description="What stands before the colon of each part of the prompt."
    )

    def read(self, file: BinaryIO, call: Call[Any]) -> Outcome:
        """Read it."""
        del call
        made = _made(_texts(file))
        tags = list(dict.fromkeys(self._tags(made)))[:MOST_TAGS]
        detail = f"{made.program}: {len(tags)} tags" if made.program else "there is no prompt in it"
        return Outcome.done(detail, values=made.values(tags))

    def _tags(self, made: Made) -> Iterator[str]:
        before = f"{self.namespace}:" if self.namespace else ""
        yield from (f"{before}{part}" for part in parts(made.prompt))
        yield from ([f"model:{made.model}"] if made.model else [])
        yield from (f"lora:{lora}" for lora in made.loras)


@dataclass(frozen=True, slots=True)
class Made:
    """How a picture was made, as far as it tells."""

    program: str = ""
    prompt: str = ""
    negative: str = ""
    model: str = ""
    sampler: str = ""
    seed: str = ""
    steps: str = ""
    loras: Sequence[str] = field(default=())

    def values(self, tags: list[str]) -> Data:
        """Give what later steps see; each name is always there."""
        names = ("program", "model", "sampler", "seed", "steps")
        short = {name: getattr(self, name)[:LONGEST_TAG] for name in names}
        long = {"prompt": self.prompt[:MOST_PROMPT], "negative": self.negative[:MOST_PROMPT]}
        return {"tags": tags, **short, **long}


def parts(prompt: str) -> list[str]:
    """Give the parts of a prompt between commas, without weights, brackets and networks."""
    found = []
    text = _NOVEL_WEIGHT.sub("", _LORA.sub(",", prompt[:MOST_PROMPT])).replace("::", "")
    for piece in re.split(r"[,\n|]|\bBREAK\b|\bAND\b", text):
        kept = piece.replace(r"\(", "\x01").replace(r"\)", "\x02").strip()
        bare = kept.strip("()[]{} ")
        if bare != kept:  # a weight stands in brackets only; "ratio:16" is a tag
            bare = _WEIGHT.sub("", bare).strip("()[]{} ")
        bare = bare.replace("\x01", "(").replace("\x02", ")")
        if bare and len(bare) <= LONGEST_TAG:
            found.append(" ".join(bare.split()))
    return list(dict.fromkeys(found))


def _loras(prompt: str) -> tuple[str, ...]:
    found = (name.strip() for _, name in _LORA.findall(prompt[:MOST_PROMPT]))
    return tuple(dict.fromkeys(found))


# --- what programs write ---------------------------------------------------------------------


def _made(texts: Mapping[str, str]) -> Made:
    """Find out which program wrote these."""
    if "parameters" in texts:
        return _a1111(texts["parameters"])
    if texts.get("Software") == "NovelAI" or "NovelAI" in texts.get("Source", ""):
        return _novelai(texts)
    if isinstance(graph := _json(texts.get("prompt", "")), dict):
        return _comfyui(graph)
    if isinstance(told := _json(texts.get("invokeai_metadata", "")), dict):
        return _invokeai(told)
    return Made()


def _a1111(text: str) -> Made:
    """Take apart: the prompt; lines from "Negative prompt:"; a last line of settings."""
    lines = text.strip().splitlines()
    settings: dict[str, str] = {}
    for number in range(len(lines) - 1, -1, -1):
        if lines[number].startswith("Steps: "):
            # Some extensions write lines of their own below.
            found = _SETTING.findall(" ".join(lines[number:]))
            settings = {name: _unquoted(value.strip()) for name, value in found}
            lines = lines[:number]
            break
    text = "\n".join(lines)
    prompt, _, negative = text.partition("Negative prompt:")
    return Made(
        program="A1111",
        prompt=prompt.strip(),
        negative=negative.strip(),
        model=settings.get("Model", ""),
        sampler=settings.get("Sampler", ""),
        seed=settings.get("Seed", ""),
        steps=settings.get("Steps", ""),
        loras=_loras(prompt),
    )


def _unquoted(value: str) -> str:
    """Give what stands in quotes, as is what holds a comma."""
    told = _json(value) if value.startswith('"') else value
    return told if isinstance(told, str) else value


def _novelai(texts: Mapping[str, str]) -> Made:
    told = _json(texts.get("Comment", ""))
    told = told if isinstance(told, dict) else {}
    return Made(
        program="NovelAI",
        prompt=_plain(told.get("prompt")) or texts.get("Description", ""),
        negative=_plain(told.get("uc")),
        model=texts.get("Source", ""),
        sampler=_plain(told.get("sampler")),
        seed=_plain(told.get("seed")),
        steps=_plain(told.get("steps")),
    )


def _invokeai(told: Mapping[str, Any]) -> Made:
    model = told.get("model")
    name = model.get("name") or model.get("model_name") if isinstance(model, dict) else model
    return Made(
        program="InvokeAI",
        prompt=_plain(told.get("positive_prompt")),
        negative=_plain(told.get("negative_prompt")),
        model=_plain(name),
        sampler=_plain(told.get("scheduler")),
        seed=_plain(told.get("seed")),
        steps=_plain(told.get("steps")),
    )


def _comfyui(graph: Mapping[str, Any]) -> Made:
    """Follow the links of each sampler to the texts that lead into it."""
    nodes = {
        key: node["inputs"]
        for key, node in list(graph.items())[:MOST_NODES]
        if isinstance(node, dict) and isinstance(node.get("inputs"), dict)
    }
    samplers = [n for n in nodes.values() if {"positive", "negative"} <= n.keys()]
    # Of several, the one that begins: the others work on what it made.
    samplers.sort(key=lambda n: not ({"seed", "noise_seed"} & n.keys()))
    sampler = samplers[0] if samplers else {}
    named = [value for node in nodes.values() for value in node.items()]
    prompt = _text_behind(nodes, sampler.get("positive"))
    return Made(
        program="ComfyUI",
        prompt=prompt,
        negative=_text_behind(nodes, sampler.get("negative")),
        model=next((_name(v) for k, v in named if k in {"ckpt_name", "unet_name"}), ""),
        sampler=_plain(sampler.get("sampler_name")),
        seed=_plain(sampler.get("seed", sampler.get("noise_seed"))),
        steps=_plain(sampler.get("steps")),
        loras=tuple(dict.fromkeys(_name(v) for k, v in named if k == "lora_name" and _name(v))),
    )


_TEXTS = ("text", "text_g", "text_l", "clip_l", "t5xxl", "value", "string", "prompt")


def _text_behind(nodes: Mapping[str, Mapping[str, Any]], link: object) -> str:
    """Give the texts that are reached from a link, the nearest first."""
    found: list[str] = []
    todo, seen = [link], set[str]()
    while todo:
        here = todo.pop(0)
        if not (isinstance(here, list) and here and str(here[0]) in nodes):
            continue
        key = str(here[0])
        if key in seen:
            continue
        seen.add(key)
        inputs = nodes[key]
        texts = [v for name in _TEXTS if isinstance(v := inputs.get(name), str) and v.strip()]
        found += [text.strip() for text in texts if text.strip() not in found]
        # Behind a sampler or a model there are other prompts; behind these there are not.
        if not {"positive", "negative"} <= inputs.keys():
            todo += [v for name, v in inputs.items() if name not in {"clip", "model", "vae"}]
    return "\n".join(found)


def _name(value: object) -> str:
    """Give the name of a model from the path of its file."""
    return PureWindowsPath(value).stem if isinstance(value, str) else ""


def _plain(value: object) -> str:
    if isinstance(value, str):
        return value.strip()
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else ""


def _json(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


# --- where they write it ---------------------------------------------------------------------


def _texts(file: BinaryIO) -> dict[str, str]:
    if file.read(len(_PNG)) == _PNG:
        return _of_png(file)
    file.seek(0)
    return _of_exif(file)


def _of_png(file: BinaryIO) -> dict[str, str]:
    """Read the chunks of text, stepping over all others. What is cut or broken ends it."""
    found: dict[str, str] = {}
    for _ in range(MOST_CHUNKS):
        head = file.read(8)
        if len(head) < 8:
            break
        length, kind = struct.unpack(">I4s", head)
        if kind == b"IEND":
            break
        if kind not in {b"tEXt", b"zTXt", b"iTXt"} or length > MOST_TEXT_BYTES:
            file.seek(length + 4, 1)
            continue
        content = file.read(length)
        file.seek(4, 1)
        name, text = _chunk(kind, content)
        if text:
            found.setdefault(name, text)
    return found


def _chunk(kind: bytes, content: bytes) -> tuple[str, str]:
    raw_name, _, rest = content.partition(b"\x00")
    packed, encoding = kind == b"zTXt", "latin-1"
    if packed:
        rest = rest[1:]
    if kind == b"iTXt" and len(rest) >= 2:
        packed, encoding = rest[0] == 1, "utf-8"
        rest = rest[2:].partition(b"\x00")[2].partition(b"\x00")[2]
    if packed:
        rest = _unpacked(rest)
    elif kind == b"tEXt" and not rest.isascii():
        # Written as UTF-8 by many, against the book.
        encoding = "utf-8" if _is_utf8(rest) else "latin-1"
    return raw_name.decode("latin-1"), rest.decode(encoding, "replace")


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _unpacked(raw: bytes) -> bytes:
    unpacker = zlib.decompressobj()
    try:
        text = unpacker.decompress(raw, MOST_TEXT_BYTES)
    except zlib.error:
        return b""
    return text if unpacker.eof else b""


def _of_exif(file: BinaryIO) -> dict[str, str]:
    """Read EXIF: the comment is A1111's, "prompt:{…}" in other fields is ComfyUI's."""
    from PIL import ExifTags, Image, UnidentifiedImageError

    try:
        with Image.open(file) as picture:
            exif = picture.getexif()
            comment = exif.get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.UserComment)
    except (UnidentifiedImageError, Image.DecompressionBombError, Image.DecompressionBombWarning):
        return {}
    except OSError as error:
        if error.errno is not None:
            raise
        return {}
    except (ValueError, SyntaxError, KeyError, TypeError, IndexError, AttributeError):
        return {}  # what Pillow raises about broken EXIF has no class of its own
    found = {}
    if text := _comment(comment):
        found["parameters"] = text
    for field_ in (ExifTags.Base.Make, ExifTags.Base.Model, ExifTags.Base.ImageDescription):
        value = exif.get(field_)
        name, colon, rest = value.partition(":") if isinstance(value, str) else ("", "", "")
        if colon and name.lower() == "prompt":
            found["prompt"] = rest.rstrip("\x00")
    return found


def _comment(raw: object) -> str:
    """Give a comment if it is A1111's; that of a camera is no prompt."""
    text = raw if isinstance(raw, str) else ""
    if isinstance(raw, bytes):
        code, rest = raw[:8], raw[8:]
        if code == b"UNICODE\x00":
            # Which end comes first nobody says; letters show it.
            text = rest.decode("utf-16-be" if rest[:1] == b"\x00" else "utf-16-le", "replace")
        else:
            text = (rest if code == b"ASCII\x00\x00\x00" else raw).decode("utf-8", "replace")
    text = text.strip("\x00 ")
    return text if re.search(r"^Steps: \d+, ", text, re.MULTILINE) else ""


@hookimpl
def hydrusd_register_actions(register: Callable[[type[AnyAction]], None]) -> None:
    """Register the action."""
    register(ReadPrompt)
