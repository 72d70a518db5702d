"""What an access key may not do, in the words that stand beside the box in Hydrus."""

from __future__ import annotations

from collections.abc import Iterable

from hydrusd.hydrus import ClientInfo, Permission


def missing_permissions(permissions: Iterable[Permission], info: ClientInfo) -> list[str]:
    """Give those of some permissions that an access key has not, in the words of Hydrus."""
    if info.permits_everything:
        return []
    return [
        permission.words(info.api_version)
        for permission in sorted(permissions)
        if permission not in info.permissions
    ]
