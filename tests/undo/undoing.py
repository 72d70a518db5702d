"""A project, its library and its disk, and the command that takes back."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

from invoking import invoke

MY_TAGS = b"local tags".hex()


class Undoing:
    """A project with what the tests of undoing ask of it."""

    def __init__(self, made):
        self.made = made
        self.folder = made.folder

    # --- what is there -------------------------------------------------------------------

    def library(self):
        """Give what the client has, and not in its trash: hash → what is known of it."""
        found = self.made.ask(
            "/get_files/search_files", tags='["system:everything"]', return_hashes="true"
        )
        if not found["hashes"]:
            return {}
        rows = self.made.ask(
            "/get_files/file_metadata", hashes=json.dumps(found["hashes"]), include_notes="true"
        )["metadata"]
        return {row["hash"]: _facts(row) for row in rows}

    def tags(self, name):
        """Give the tags that a file has now, by its name when it was dropped or seeded."""
        return self.library()[self.made.sha256(name)]["tags"]

    def remains(self):
        """Give all files of the user's, by their paths, with their contents."""
        return {
            path.relative_to(self.folder).as_posix(): path.read_bytes()
            for path in self.folder.rglob("*")
            if path.is_file() and path.parent.name != "state" and path.name != "rules.yaml"
        }

    def tag(self, *hashes, add=(), delete=()):
        """Change tags, as a person would."""
        actions = {"0": list(add), "1": list(delete)}
        self.made.tell(
            "/add_tags/add_tags",
            hashes=list(hashes),
            service_keys_to_actions_to_tags={MY_TAGS: actions},
        )

    # --- what is done --------------------------------------------------------------------

    def run(self, jobs):
        """Have the daemon work until there are so many jobs and all of them are over."""
        self.made.run(jobs=jobs)
        return self

    def hydrusd(self, *arguments, code=0, answers=(), rules=True, state=True):
        """Run a command on this project; give what it printed."""
        given = ["--rules-file", self.folder / "rules.yaml"] if rules else []
        given += ["--state-dir", self.made.state_dir] if state else []
        ended = invoke(*arguments, *given, answers=answers)
        assert ended.exit_code == code, ended.output
        return ended.output

    def undo(self, kind, number, *options, **how):
        """Take back a run or a job."""
        return self.hydrusd("undo", kind, number, "--yes", *options, **how)

    def plan(self, kind, number, **how):
        """Give what would be taken back: job → step → what is to become of it, and why."""
        told = self.hydrusd("undo", kind, number, "--plan", "--json", **how)
        jobs = json.loads(told[: told.rindex("}") + 1])["jobs"]
        return {job["job"]: {s["step"]: s for s in job["steps"]} for job in jobs}

    def newest_run(self):
        """Give the number of the newest run."""
        return self.query("SELECT max(id) FROM run")[0][0]

    def query(self, statement):
        """Ask the ledger in SQL."""
        ledger = self.made.state_dir / "ledger.sqlite"
        with closing(sqlite3.connect(f"{ledger.as_uri()}?mode=ro", uri=True)) as connection:
            return connection.execute(statement).fetchall()


def _facts(row):
    tags = row["tags"].get(MY_TAGS, {}).get("storage_tags", {}).get("0", [])
    return {
        "tags": sorted(tags),
        "urls": sorted(row["known_urls"]),
        "notes": row.get("notes", {}),
        "ratings": row.get("ratings", {}),
        "inbox": row["is_inbox"],
    }
