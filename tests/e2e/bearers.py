"""Hooks of Schemathesis (SCHEMATHESIS_HOOKS): what a generated request is about, and whose token it bears.

Logins make tokens of accounts; an upload's own token is the one that its init told. Most requests are about uploads and
files that are there, with a token that is good for them; now and then one bears none or another: the description has to
know those answers, too. Addresses and accounts come by the environment.
"""

from __future__ import annotations

import os
import random
from collections.abc import MutableMapping
from typing import Any

import requests
import schemathesis
from requests.adapters import HTTPAdapter

#: Security scheme -> a good token.
_good: dict[str, str] = {}
#: upload_id -> the token that init told last, and its refresh token.
_uploads: dict[str, tuple[str, str]] = {}
#: Ids of files that were made by tus and the draft -> a token that was good for it.
_files: dict[str, str] = {}
#: Those of them that are parts of a concatenation.
_parts: list[str] = []
#: How far they are known to be there.
_offsets: dict[str, str] = {}
_dice = random.Random(int(os.environ.get("BEARERS_SEED", "1")))
_URL, _NAME, _PASSWORD = (os.environ.get(name, "") for name in ("BEARERS_URL", "BEARERS_NAME", "BEARERS_PASSWORD"))
_FURNISHED = 5
#: Out of so many requests one bears a token of another kind, or none; likewise, one is about nothing that is there.
_ODD_ONE_OF = 8


class _Elsewhere(HTTPAdapter):
    """From another address than the generated requests: their failed logins are held against theirs."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs, source_address=("127.0.0.2", 0))


def _login() -> dict[str, str]:
    with requests.Session() as session:
        session.mount("http://", _Elsewhere())
        answer = session.post(f"{_URL}/auth/login", json={"username": _NAME, "password": _PASSWORD}, timeout=30)
    answer.raise_for_status()
    told = answer.json()
    return dict.fromkeys(("access", "issuer", "admin"), told["access_token"]) | {"refresh": told["refresh_token"]}


def _furnish() -> None:
    """Uploads, each with a file, that requests can be about before Schemathesis has made any."""
    owner = {"Authorization": f"Bearer {_good['access']}"}
    for _ in range(_FURNISHED):
        wish = {"study_metadata": {}, "total_files": 9, "total_size_bytes": 9000}
        told = requests.post(f"{_URL}/upload/init", json=wish, headers=owner, timeout=30).json()
        _uploads[told["upload_id"]] = (told["upload_token"], told["refresh_token"])
        holder = {"Authorization": f"Bearer {told['upload_token']}", "Tus-Resumable": "1.0.0", "Upload-Length": "500"}
        made = requests.post(f"{_URL}/files/", headers=holder, timeout=30)
        _files[made.headers["Location"].rpartition("/")[2]] = told["upload_token"]


def _token(names: list[str], upload_id: object) -> str | None:
    name = _dice.choice(names if _dice.randrange(_ODD_ONE_OF) else [*_good, ""])
    own = _uploads.get(str(upload_id)) or (_dice.choice([*_uploads.values()]) if _uploads else None)
    if name == "upload":
        return own[0] if own else None
    if name == "refresh" and own is not None and upload_id is not None:
        return own[1]
    return _good.get(name)


def _point(named: MutableMapping[str, Any], path: str) -> None:
    """At something that is there, unless it is already."""
    if "upload_id" in named and _uploads and named["upload_id"] not in _uploads:
        named["upload_id"] = _dice.choice([*_uploads])
    if path.startswith("/files/{") and _files and named["file_id"] not in _files:
        named["file_id"] = _dice.choice([*_files])


def _go_on(case: Any, headers: MutableMapping[str, str]) -> None:
    """Where the file ends; parts are made, and put together with others of the same upload."""
    name = case.operation.definition.raw["operationId"]
    if name == "append":
        headers["Upload-Offset"] = _offsets.get(case.path_parameters["file_id"], "0")
    elif name in ("create_file", "create_file_bare") and "Tus-Resumable" in headers and not _dice.randrange(3):
        token = headers.get("Authorization", "").removeprefix("Bearer ")
        mine = [part for part in _parts if _files.get(part) == token]
        headers["Upload-Concat"] = "partial"
        if mine and _dice.randrange(2):
            headers["Upload-Concat"] = "final;" + " ".join(_dice.choices(mine, k=_dice.randint(1, 3)))
            for absent in ("Upload-Length", "Upload-Defer-Length", "Content-Type"):
                headers.pop(absent, None)


def _security(case: Any) -> list[str]:
    return [name for one in case.operation.definition.raw.get("security", []) for name in one]


@schemathesis.serializer("application/offset+octet-stream", "application/partial-upload")
def as_bytes(context: Any, value: Any) -> bytes:
    """Bytes of a file are whatever comes."""
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """Give it a bearer."""
    if "access" not in _good:
        _good.update(_login())
    if not _uploads:
        _furnish()
    names, named = _security(case), case.path_parameters or {}
    if _dice.randrange(_ODD_ONE_OF):
        _point(named, case.operation.path)
    if not names:
        return
    token = _token(names, named.get("upload_id"))
    if case.operation.path.startswith("/files/{") and named["file_id"] in _files and _dice.randrange(_ODD_ONE_OF):
        token = _files[named["file_id"]]
    headers: MutableMapping[str, str] = case.headers
    if token is None:
        headers.pop("Authorization", None)
    else:
        headers["Authorization"] = f"Bearer {token}"
    if _dice.randrange(_ODD_ONE_OF):
        _go_on(case, headers)


@schemathesis.hook
def after_call(context: Any, case: Any, response: Any) -> None:
    """Remember what it told; whoever ended our session gets another one."""
    name = case.operation.definition.raw["operationId"]
    if response.status_code in (200, 201) and "json" in str(response.headers.get("content-type")):
        told = response.json()
        if name in ("init_upload", "renew_tokens"):
            _uploads[told["upload_id"]] = (told["upload_token"], told["refresh_token"])
        elif name in ("create_qr", "reopen_by_qr"):
            _good["qr"] = told["upload_token"]
        elif name in ("login", "refresh"):
            _good["refresh"] = told["refresh_token"]
    if name in ("create_file", "create_file_bare") and response.status_code == 201:
        place = str(response.headers["location"][0])
        made = place.rpartition("/")[2]
        _files[made] = str(case.headers["Authorization"]).removeprefix("Bearer ")
        if case.headers.get("Upload-Concat") == "partial":
            _parts.append(made)
    if "upload-offset" in response.headers and (case.path_parameters or {}).get("file_id"):
        _offsets[case.path_parameters["file_id"]] = str(response.headers["upload-offset"][0])
    bearer = str(case.headers.get("Authorization", "")).removeprefix("Bearer ")
    if response.status_code == 401 and bearer == _good.get(
        "access"
    ):  # its session was ended: by a logout, or a reused token
        for kind in ("access", "issuer", "admin", "refresh"):
            _good.pop(kind, None)
