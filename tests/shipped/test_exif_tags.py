"""The shipped plugin that reads EXIF and XMP, on pictures that Pillow has written."""

from __future__ import annotations

import io
import subprocess
import sys

import pytest
from PIL import ExifTags, Image
from pydantic import ValidationError

from hydrusd.clock import SystemClock
from hydrusd.daemon import load_plugins
from hydrusd.model import JobId, OutcomeKind
from hydrusd.plugin import Call, FileSource

XMP = """<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?>
<!-- by hand -->
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF
  xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
 <rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/"
   xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:lr="http://ns.adobe.com/lightroom/1.0/"
   xmp:Rating="4" xmp:CreateDate="2023-02-03T04:05:06+01:00">
  <dc:subject><rdf:Bag><rdf:li>lake</rdf:li><rdf:li>Evening  sun</rdf:li></rdf:Bag></dc:subject>
  <dc:creator><rdf:Seq><rdf:li>Ann</rdf:li></rdf:Seq></dc:creator>
  <dc:title><rdf:Alt><rdf:li xml:lang="x-default">Quiet</rdf:li></rdf:Alt></dc:title>
  <lr:hierarchicalSubject><rdf:Bag><rdf:li>Nature|lake</rdf:li></rdf:Bag></lr:hierarchicalSubject>
 </rdf:Description></rdf:RDF></x:xmpmeta>
<?xpacket end="w"?>"""
OF_XMP = ["lake", "Evening sun", "Nature", "creator:Ann", "year:2023", "rating:4"]
EMPTY = {
    **dict.fromkeys(("title", "description", "creator", "camera", "lens", "taken"), ""),
    **dict.fromkeys(("latitude", "longitude")),
    "tags": [],
}


@pytest.fixture(scope="module")
def action():
    return load_plugins([]).actions["read_exif"]


def call(action, path, **parameters):
    data = {"file": FileSource.of(path, path.parent, path.lstat()).to_data()}
    step = action.model_validate(parameters)
    return Call(step, JobId(1), "photos", data, None, SystemClock())


def read(action, path, **parameters):
    made = call(action, path, **parameters)
    outcome = made.action.run(made)
    assert outcome.kind is OutcomeKind.DONE, outcome.detail
    return outcome.values


def picture(path, exif=None, **more):
    Image.new("RGB", (8, 6), "teal").save(path, exif=exif or Image.Exif(), **more)
    return path


def camera():
    exif = Image.Exif()
    exif[ExifTags.Base.Make], exif[ExifTags.Base.Model] = "NIKON CORPORATION", "NIKON D70"
    exif[ExifTags.Base.Artist] = "Bob \x00"
    details = exif.get_ifd(ExifTags.IFD.Exif)
    details[ExifTags.Base.DateTimeOriginal] = "2024:05:01 12:30:00"
    details[ExifTags.Base.LensModel] = "50mm f/1.8"
    gps = exif.get_ifd(ExifTags.IFD.GPSInfo)
    gps[ExifTags.GPS.GPSLatitude], gps[ExifTags.GPS.GPSLatitudeRef] = (33, 30, 36), "S"
    gps[ExifTags.GPS.GPSLongitude], gps[ExifTags.GPS.GPSLongitudeRef] = (70, 0, 0), "E"
    return exif


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_exif_of_every_format(action, tmp_path, suffix):
    values = read(action, picture(tmp_path / f"a.{suffix}", camera()))
    assert values["tags"] == ["creator:Bob", "camera:NIKON D70", "lens:50mm f/1.8", "year:2024"]
    assert values["taken"] == "2024-05-01T12:30:00"
    assert (values["latitude"], values["longitude"]) == (-33.51, 70.0)


def test_xmp_in_the_file(action, tmp_path):
    path = picture(tmp_path / "a.jpg", xmp=XMP.encode())
    values = read(action, path)
    assert values["tags"] == OF_XMP
    assert (values["title"], values["taken"]) == ("Quiet", "2023-02-03T04:05:06")


@pytest.mark.parametrize("name", ["a.jpg.xmp", "a.xmp"])
def test_a_sidecar_is_believed_first_and_only_if_wanted(action, tmp_path, name):
    path = picture(tmp_path / "a.jpg", camera())
    (tmp_path / name).write_text(XMP, encoding="utf-8")
    values = read(action, path)
    assert {"creator:Ann", "camera:NIKON D70", "year:2023"} <= set(values["tags"])
    assert "creator:Bob" not in values["tags"]
    assert "creator:Bob" in read(action, path, sidecar=False)["tags"]
    assert read(action, path, take=["rating"])["tags"] == ["rating:4"]


@pytest.mark.parametrize(
    "content",
    [
        b"no picture at all",
        b"",
        b"\xff\xd8\xff\xe1\xff\xffExif\x00\x00MM",
        b"\x89PNG\r\n\x1a\n" + b"\x00" * 40,
    ],
)
def test_what_is_no_picture_has_nothing(action, tmp_path, content):
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    assert read(action, path) == EMPTY


def test_a_broken_picture_whose_exif_is_cut_gives_no_error(action, tmp_path):
    whole = picture(tmp_path / "whole.jpg", camera()).read_bytes()
    for length in range(20, 420, 7):
        path = tmp_path / f"{length}.jpg"
        path.write_bytes(whole[:length])
        assert set(read(action, path)) == set(EMPTY)


def test_xmp_that_declares_entities_is_not_read(action, tmp_path):
    bomb = XMP.replace("<!-- by hand -->", '<!DOCTYPE x [<!ENTITY a "aaaa">]>')
    for number, text in enumerate((bomb, bomb.replace("Ann", "&a;"))):
        for encoding in ("utf-8", "utf-16"):
            path = picture(tmp_path / f"{number}.jpg")
            (tmp_path / f"{number}.xmp").write_text(text, encoding=encoding)
            assert read(action, path) == EMPTY


def test_a_camera_without_a_clock_names_no_year(action, tmp_path):
    exif = Image.Exif()
    exif[ExifTags.Base.DateTime] = "0000:00:00 00:00:00"
    assert read(action, picture(tmp_path / "a.jpg", exif)) == EMPTY


def test_a_huge_picture_is_looked_at_without_being_decoded(action, tmp_path):
    written = io.BytesIO()
    Image.new("1", (8, 6)).save(written, "PNG")
    raw = bytearray(written.getvalue())
    raw[16:24] = (2**31 - 1).to_bytes(4, "big") * 2  # says that it is so wide and so high
    path = tmp_path / "a.png"
    path.write_bytes(raw)
    assert read(action, path) == EMPTY


def test_a_file_that_has_changed_or_gone_is_left_to_its_own_job(action, tmp_path):
    path = picture(tmp_path / "a.jpg", camera())
    made = call(action, path)
    path.write_bytes(b"another")
    assert made.action.run(made).kind is OutcomeKind.SKIPPED
    path.unlink()
    assert made.action.run(made).frees_event
    nowhere = Call(action(), JobId(1), "photos", {}, None, SystemClock())
    assert "for rules on files" in action().run(nowhere).detail


@pytest.mark.anyio
async def test_planning_reads_and_foresees_what_later_steps_see(action, tmp_path):
    path = picture(tmp_path / "a.jpg", camera())
    [seen] = await action.plan([call(action, path)])
    assert not seen.changes
    assert seen.values == read(action, path)
    assert seen.detail.startswith("creator:Bob, camera:")


def test_wrong_parameters(action):
    with pytest.raises(ValidationError):
        action.model_validate({"take": ["gps"]})


def test_pillow_is_not_loaded_before_there_is_something_to_read():
    program = (
        "import sys; from hydrusd.daemon import load_plugins; "
        "assert {'read_exif', 'read_prompt'} <= load_plugins([]).actions.keys(); "
        "assert 'PIL' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
