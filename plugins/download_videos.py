"""Has yt-dlp download videos, for another rule to import with what they say of themselves.

    allow: [yt_dlp]
    rules:
      - name: download
        on:
          url_list: {path: ~/videos.txt}
        do:
          - yt_dlp: {to: ~/Videos/downloads}
      - name: import
        on:
          watch_folder: {path: ~/Videos/downloads, sidecars: [yt_dlp]}
        do:
          - add_file:
          - apply_sidecar:

yt-dlp works on a video for long: pictures and sound come one by one, are put together by ffmpeg,
get their thumbnail and their chapters, and each of these files has a name that ends like that of
a video. So all of it happens elsewhere, and only the last one comes to where complete files are.
The rest, that a half of a video is never imported and nothing twice, is
`hydrusd.plugin.DownloadAction`'s work.

Subtitles and thumbnails go into the video, or beside it if you say so: beside it, they would be
imported as files of their own by a rule that takes all that there is.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import Field

from hydrusd.plugin import (
    AnyAction,
    DownloadAction,
    MalformedSidecar,
    Outcome,
    ProgramEnd,
    SidecarData,
    SidecarFormat,
    Texts,
    hookimpl,
)

Where = Literal["none", "embed", "beside"]

_USAGE = 2
_ENOUGH = 101
"""It was told to stop somewhere (--max-downloads, --break-on-existing), and has come there."""


class YtDlp(DownloadAction):
    """Have yt-dlp download videos, with what is known of each as a sidecar (`.info.json`).

    What came appears in `to`, as one folder, when all of it is whole and put together; another
    rule imports it from there. What was downloaded once is not downloaded again. Stopped in the
    middle, it goes on later, in the middle of a video if need be.

    Where some of a list cannot be had, the others are there, and the rest is tried again, and
    then is a dead letter; `ok: [1]` overlooks it. Needs yt-dlp: `pip install yt-dlp`; and ffmpeg
    to put a video together.

    Later steps see `steps.yt_dlp.folder` (empty where there was nothing new), `.files` (how
    many, sidecars included) and `.paths` (the first 1000).
    """

    action: ClassVar[str] = "yt_dlp"
    program: ClassVar[str] = "yt-dlp"
    package: ClassVar[str] = "yt_dlp"
    install: ClassVar[str] = "pip install yt-dlp, or name it as `executable`"
    archive_name: ClassVar[str] = "archive.txt"

    format: str | None = Field(
        default=None, description="Which format, as yt-dlp writes it: `bv*[height<=1080]+ba/b`."
    )
    subtitles: Where = Field(
        default="none", description="Whether to have them, in the video or as files beside it."
    )
    languages: Texts = Field(default=("all", "-live_chat"), description="Those of the subtitles.")
    thumbnail: Where = Field(
        default="none", description="Whether to have it, in the video or as a file beside it."
    )

    def command(self) -> Sequence[str]:
        """Say where to, and what to note. Paths are those seen from where complete files are."""
        own = ["--ignore-config", "--config-locations", str(self.config)] if self.config else []
        if self.cookies is not None:
            own += ["--cookies", self.cookies_name]
        if self.format is not None:
            own.append(f"--format={self.format}")
        if self.subtitles != "none":
            own += ["--write-subs", f"--sub-langs={','.join(self.languages)}"]
            own += ["--embed-subs"] if self.subtitles == "embed" else []
        if self.thumbnail != "none":
            own.append("--embed-thumbnail" if self.thumbnail == "embed" else "--write-thumbnail")
        return [
            *own,
            "--no-progress",
            *("--paths", f"home:{self.files_name}"),
            *("--paths", f"temp:../{self.parts_name}"),
            "--part",
            "--no-overwrites",
            "--abort-on-unavailable-fragments",
            "--write-info-json",
            # They would make it larger than a sidecar may be, and are old in an hour.
            *("--parse-metadata", "video::(?P<formats>)"),
            *("--parse-metadata", "video::(?P<automatic_captions>)"),
            "--no-write-playlist-metafiles",
            *("--download-archive", self.archive_name),
            *("--print-to-file", "after_move:filepath", f"../{self.list_name}"),
        ]

    def judge(self, end: ProgramEnd) -> Outcome | None:
        """Read its few codes."""
        if end.exit_code in {0, _ENOUGH}:
            return None
        if end.exit_code == _USAGE:
            return Outcome.dead(f"yt-dlp: its options are wrong ({end.story})")
        return Outcome.retry(f"yt-dlp: not all could be downloaded ({end.story})")

    @classmethod
    def copy_archive(cls, archive: Path, copy: Path) -> None:
        """Copy it. It only ever grows, by lines; half of one is no video's."""
        shutil.copyfile(archive, copy)

    @classmethod
    def merge_archive(cls, copy: Path, archive: Path) -> None:
        """Append the lines that are new."""
        there = archive.read_bytes() if archive.exists() else b""
        known = set(there.split(b"\n"))
        new = [line for line in copy.read_bytes().split(b"\n") if line and line not in known]
        if not new:
            return
        # A line that was cut by a power failure must not swallow the next one.
        text = b"" if there.endswith(b"\n") or not there else b"\n"
        with archive.open("ab") as file:
            file.write(text + b"\n".join(new) + b"\n")
            file.flush()
            os.fsync(file.fileno())


# --- its sidecars ----------------------------------------------------------------------------


def read_info(content: bytes) -> SidecarData:
    """Read a `.info.json`: title, who made it, its tags, its page, what is said about it."""
    try:
        info = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise MalformedSidecar(f"it is no JSON: {error}") from None
    if not isinstance(info, dict):
        raise MalformedSidecar("it is no JSON object")
    named = {
        "title": _text(info.get("title")),
        "creator": _text(info.get("uploader")) or _text(info.get("channel")),
        "series": _text(info.get("series")),
    }
    tags = [f"{namespace}:{text}" for namespace, text in named.items() if text]
    listed = info.get("tags")
    tags += [_text(tag) for tag in listed if _text(tag)] if isinstance(listed, list) else []
    page, about = _text(info.get("webpage_url")), _text(info.get("description"))
    page = page if page.startswith(("http://", "https://")) else ""
    return SidecarData(
        tags=list(dict.fromkeys(tags)),
        urls=[page] if page else [],
        notes={"description": about} if about else {},
        times=_times(info, page),
        raw=info,
    )


def _text(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""


def _times(info: Mapping[str, Any], page: str) -> Mapping[str, object]:
    """Give when it was posted. The day alone (`upload_date`) would be a guess at the hour."""
    stamp = info.get("timestamp")
    try:
        host = urlsplit(page).hostname
    except ValueError:
        host = None
    if host is None or isinstance(stamp, bool) or not isinstance(stamp, int | float):
        return {}
    try:
        posted = datetime.fromtimestamp(stamp, UTC)
    except (OverflowError, ValueError, OSError):
        return {}
    return {"modified": {host: posted.isoformat()}}


@hookimpl
def hydrusd_register_actions(register: Callable[[type[AnyAction]], None]) -> None:
    """Register the action."""
    register(YtDlp)


@hookimpl
def hydrusd_register_sidecar_formats(register: Callable[[SidecarFormat], None]) -> None:
    """Register the format of its sidecars."""
    register(SidecarFormat("yt_dlp", (".info.json",), read_info))
