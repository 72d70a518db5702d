"""The examples of docs/shipped-plugins.md."""

from __future__ import annotations

import hashlib
import io
import zipfile

from exampling import Example
from PIL import ExifTags, Image, PngImagePlugin

from hydrusd.testing import paint

PAGE = "shipped-plugins.md"
CURRENT = 0


def photo():
    picture = Image.new("RGB", (8, 6), "teal")
    exif = Image.Exif()
    exif[ExifTags.Base.Make], exif[ExifTags.Base.Model] = "Canon", "Canon EOS 6D"
    exif[ExifTags.Base.ImageDescription] = "A lake"
    written = io.BytesIO()
    picture.save(written, "JPEG", exif=exif)
    return written.getvalue()


def a_photo(project):
    project.drop("Pictures/photos/lake.jpg", photo())


def its_camera_is_told(project):
    file_hash = project.sha256("Pictures/photos/lake.jpg")
    assert project.simulator.tags(file_hash)[CURRENT] == {"camera:canon eos 6d"}
    [row] = project.ask("/get_files/file_metadata", hash=file_hash, include_notes="true")[
        "metadata"
    ]
    assert row["notes"] == {"description": "A lake"}


def a_generated_picture(project):
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", "a castle, (night:1.2)\nSteps: 20, Seed: 7, Model: dream")
    written = io.BytesIO()
    Image.new("RGB", (8, 6)).save(written, "PNG", pnginfo=info)
    project.drop("Pictures/generated/a.png", written.getvalue())


def its_prompt_is_told(project):
    tags = project.simulator.tags(project.sha256("Pictures/generated/a.png"))
    assert tags[CURRENT] == {"prompt:a castle", "prompt:night", "model:dream"}


def an_archive(project):
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        archive.writestr("1.png", paint("1.png"))
    project.drop("Pictures/archives/My Comic.cbz", written.getvalue())


def its_picture_was_imported(project):
    tags = project.simulator.tags(hashlib.sha256(paint("1.png")).hexdigest())
    assert tags[CURRENT] == {"title:my comic"}


EXAMPLES = {
    "unpack_archive": Example(PAGE, its_picture_was_imported, an_archive, run={"jobs": 2}),
    "read_prompt": Example(PAGE, its_prompt_is_told, a_generated_picture),
    "read_exif": Example(PAGE, its_camera_is_told, a_photo),
}
