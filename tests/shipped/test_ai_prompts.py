"""The shipped plugin that reads prompts, on pictures that Pillow has written."""

from __future__ import annotations

import importlib
import json
import struct
import zlib

import pytest
from PIL import ExifTags, Image, PngImagePlugin

from hydrusd.clock import SystemClock
from hydrusd.daemon import load_plugins
from hydrusd.model import JobId, OutcomeKind
from hydrusd.plugin import Call, FileSource

A1111 = (
    "(masterpiece:1.2), 1girl, [red hair], hat \\(big\\), <lora:add_detail:0.8>, BREAK\nratio:16\n"
    "Negative prompt: lowres, (bad hands:1.3)\n"
    'Steps: 20, Sampler: DPM++ 2M Karras, CFG scale: 7, Seed: 123456, Model: "dream, v8", '
    "Version: v1.9\nTemplate: none"
)
GRAPH = {
    "3": {
        "class_type": "KSampler",
        "inputs": {
            "seed": 42,
            "steps": 25,
            "cfg": 8.0,
            "sampler_name": "euler",
            "positive": ["9", 0],
            "negative": ["7", 0],
            "model": ["10", 0],
        },
    },
    "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "xl\\base.safetensors"}},
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": ["8", 0], "clip": ["10", 1]}},
    "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "blurry", "clip": ["10", 1]}},
    "8": {"class_type": "PrimitiveString", "inputs": {"value": "a castle, night"}},
    "9": {"class_type": "ControlNet", "inputs": {"conditioning": ["6", 0], "strength": 1}},
    "10": {"class_type": "LoraLoader", "inputs": {"lora_name": "ink.pt", "model": ["4", 0]}},
    "11": {"class_type": "Cycle", "inputs": {"a": ["11", 0], "b": ["nowhere", 0]}},
}
NOVEL = {"prompt": "{cat}, 1.2::sleeping::", "uc": "dog", "seed": 7, "steps": 28, "sampler": "k"}


@pytest.fixture(scope="module")
def action():
    return load_plugins([]).actions["read_prompt"]


@pytest.fixture(scope="module")
def plugin(action):
    return importlib.import_module(action.__module__)


def read(action, path, **parameters):
    data = {"file": FileSource.of(path, path.parent, path.lstat()).to_data()}
    step = action.model_validate(parameters)
    outcome = step.run(Call(step, JobId(1), "made", data, None, SystemClock()))
    assert outcome.kind is OutcomeKind.DONE, outcome.detail
    return outcome.values


def png(path, texts, *, packed=False):
    info = PngImagePlugin.PngInfo()
    for name, text in texts.items():
        info.add_text(name, text, zip=packed)
    Image.new("RGB", (8, 6), "teal").save(path, pnginfo=info)
    return path


@pytest.mark.parametrize("packed", [False, True])
def test_a1111(action, tmp_path, packed):
    values = read(action, png(tmp_path / "a.png", {"parameters": A1111}, packed=packed))
    assert values["tags"] == [
        "masterpiece",
        "1girl",
        "red hair",
        "hat (big)",
        "ratio:16",
        "model:dream, v8",
        "lora:add_detail",
    ]
    assert values["negative"] == "lowres, (bad hands:1.3)"
    assert values["sampler"] == "DPM++ 2M Karras"
    assert (values["seed"], values["steps"], values["program"]) == ("123456", "20", "A1111")


def test_comfyui_by_its_graph(action, tmp_path):
    path = png(tmp_path / "a.png", {"prompt": json.dumps(GRAPH), "workflow": "{}"})
    values = read(action, path, namespace="prompt")
    assert values["tags"] == ["prompt:a castle", "prompt:night", "model:base", "lora:ink"]
    assert values["prompt"] == "a castle, night"
    assert (values["negative"], values["seed"], values["sampler"]) == ("blurry", "42", "euler")


def test_novelai(action, tmp_path):
    texts = {"Software": "NovelAI", "Source": "NovelAI Diffusion V4", "Description": "cat"}
    path = png(tmp_path / "a.png", {**texts, "Comment": json.dumps(NOVEL)})
    values = read(action, path)
    assert values["tags"] == ["cat", "sleeping", "model:NovelAI Diffusion V4"]
    assert (values["negative"], values["steps"]) == ("dog", "28")
    assert read(action, png(tmp_path / "b.png", texts))["prompt"] == "cat"


def test_invokeai(action, tmp_path):
    told = {"positive_prompt": "a fox", "negative_prompt": "", "model": {"name": "m"}, "seed": 5}
    values = read(action, png(tmp_path / "a.png", {"invokeai_metadata": json.dumps(told)}))
    assert (values["tags"], values["seed"]) == (["a fox", "model:m"], "5")


@pytest.mark.parametrize("encoding", ["utf-16-be", "utf-16-le"])
@pytest.mark.parametrize("suffix", ["jpg", "webp"])
def test_a1111_in_exif(action, tmp_path, suffix, encoding):
    exif = Image.Exif()
    comment = b"UNICODE\x00" + A1111.encode(encoding)
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment] = comment
    path = tmp_path / f"a.{suffix}"
    Image.new("RGB", (8, 6)).save(path, exif=exif)
    assert read(action, path)["seed"] == "123456"


def test_comfyui_in_exif_and_a_camera_s_comment(action, tmp_path):
    exif = Image.Exif()
    exif[ExifTags.Base.Model] = f"prompt:{json.dumps(GRAPH)}"
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment] = b"ASCII\x00\x00\x00my holidays"
    path = tmp_path / "a.webp"
    Image.new("RGB", (8, 6)).save(path, exif=exif)
    assert read(action, path)["seed"] == "42"


def chunk(kind, content):
    return struct.pack(">I4s", len(content), kind) + content + b"\x00" * 4


def test_a_chunk_behind_the_picture_and_one_in_utf8_are_read(action, tmp_path):
    path = png(tmp_path / "a.png", {})
    raw = path.read_bytes()
    text = "hôtel\nSteps: 1, Seed: 2".encode()
    path.write_bytes(raw[:-12] + chunk(b"tEXt", b"parameters\x00" + text) + raw[-12:])
    assert read(action, path)["tags"] == ["hôtel"]


def test_bombs_cut_files_and_nonsense_give_nothing(action, tmp_path, plugin):
    bomb = zlib.compress(b"a," * plugin.MOST_TEXT_BYTES, 9)
    start = b"\x89PNG\r\n\x1a\n"
    nested = b'{"a":' * 200_000
    contents = [
        start + chunk(b"zTXt", b"parameters\x00\x00" + bomb),
        start + chunk(b"iTXt", b"parameters\x00\x01\x00\x00\x00" + bomb),
        start + chunk(b"tEXt", b"prompt\x00" + nested),
        start + chunk(b"tEXt", b"prompt\x00[1, 2]"),
        start + struct.pack(">I4s", 2**31, b"tEXt") + b"parameters\x00cat",
        start + struct.pack(">I4s", 100, b"iTXt"),
        start + chunk(b"iTXt", b"x") + chunk(b"zTXt", b""),
        b"",
        b"\xff\xd8\xff\xe1\xff\xff",
    ]
    for number, content in enumerate(contents):
        path = tmp_path / f"{number}.png"
        path.write_bytes(content)
        values = read(action, path)
        assert (values["tags"], values["program"], values["prompt"]) == ([], "", ""), number


@pytest.mark.parametrize(
    ("prompt", "parts"),
    [
        ("a, a ,A", ["a", "A"]),
        ("((very good)), [[bad:0.5]]", ["very good", "bad"]),
        ("(a, b:1.3), c", ["a", "b", "c"]),
        ("miku \\(vocaloid\\)", ["miku (vocaloid)"]),
        ("(hat \\(red\\):1.1)", ["hat (red)"]),
        ("x" * 201, []),
        ("16:9, :3", ["16:9", ":3"]),
        (" , ,()", []),
    ],
)
def test_parts_of_prompts(plugin, prompt, parts):
    assert plugin.parts(prompt) == parts
