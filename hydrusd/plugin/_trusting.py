"""Whether the code in a folder can only have been put there by somebody who may.

A plugin is run as the user of the daemon. If everyone on the machine may write to its folder,
everyone can run code as that user, who mostly has the keys to a whole collection.

Windows keeps this in access control lists, which ``stat`` does not show: there nothing is
refused, and a folder in the user's own profile is what nobody else can write to.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path


def reason_to_distrust(folder: Path, file: Path) -> str:
    """Say why a plugin is not to be trusted; nothing where there is no reason."""
    if os.name != "posix":
        return ""
    try:
        real = file.resolve()
        for path in dict.fromkeys((file, real, folder, real.parent)):
            if path.stat().st_mode & stat.S_IWOTH:
                return (
                    f"everyone on this machine may write to {path}, and so run code as you; "
                    f"say: chmod o-w '{path}'"
                )
        # Where names may be replaced, so may the folder; a sticky one (/tmp) protects them.
        for path in real.parent.parents:
            mode = path.stat().st_mode
            if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
                return (
                    f"everyone on this machine may replace what is in {path}, and so run code "
                    f"as you; say: chmod o-w '{path}'"
                )
    except OSError as error:
        return f"cannot be looked at: {error.strerror or error}"
    return ""
