"""docs/states.md shows the table that the gateway goes by. `python -m tests.docs.test_states` writes it anew."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway.errors import GatewayError
from gateway.states import DEAD_STATES, TRANSITIONS, FileState, UploadEvent, UploadState, after, refusal
from gateway.web.errors import status_of

PAGE = Path(__file__).parents[2] / "docs" / "states.md"

#: Asked again, it is answered as before; nothing changes (CONTRACT 2.2: `complete` and DELETE are idempotent).
REPEATED = {(state, UploadEvent.COMPLETE): "200, 202" for state in UploadState if state not in DEAD_STATES} | {
    (state, UploadEvent.CANCEL): "204" for state in {UploadState.CANCELLED, UploadState.EXPIRED}
}
#: Events that nobody asks for: where they don't fit, they don't happen.
OWN = frozenset(
    {
        UploadEvent.HOLD,
        UploadEvent.DELIVERED,
        UploadEvent.DELIVERED_PARTLY,
        UploadEvent.NOT_DELIVERED,
        UploadEvent.EXPIRE,
    }
)


def cell(state: UploadState, event: UploadEvent) -> str:
    if (state, event) in TRANSITIONS:
        return f"**{after(state, event)}**"
    if (state, event) in REPEATED:
        return f"{REPEATED[state, event]}, stays"
    if event in OWN:
        return ""
    error = refusal(state, event)
    return f"{status_of(error)} `{error.code}`"


def table() -> str:
    asked = [event for event in UploadEvent if event not in OWN]
    return _grid(asked) + "\n\n" + _grid([event for event in UploadEvent if event in OWN])


def _grid(events: list[UploadEvent]) -> str:
    lines = ["| | " + " | ".join(f"`{event}`" for event in events) + " |", "|---" * (len(events) + 1) + "|"]
    lines += [
        f"| `{state}` | " + " | ".join(cell(state, event) for event in events) + " |"
        for state in UploadState
        if any(cell(state, event) for event in events)
    ]
    return "\n".join(lines)


def drawing() -> str:
    arrows = [f"    {state} --> {then} : {event}" for (state, event), then in TRANSITIONS.items() if state is not then]
    return "\n".join(["```mermaid", "stateDiagram-v2", "    [*] --> open", *arrows, "```"])


def section(name: str) -> str:
    found = re.search(rf"<!-- {name} -->\n(.*?)\n<!-- end -->", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found, f"docs/states.md has no place for the {name}"
    return found[1]


@pytest.mark.parametrize(("name", "made"), [("table", table), ("drawing", drawing)])
def test_the_page_shows_what_the_gateway_goes_by(name, made):
    assert section(name) == made(), "run: python -m tests.docs.test_states"


@pytest.mark.parametrize("state", UploadState)
@pytest.mark.parametrize("event", UploadEvent)
def test_what_the_table_has_no_arrow_for_is_refused(state, event):
    if (state, event) in TRANSITIONS:
        return
    with pytest.raises(GatewayError) as refused:
        after(state, event)
    assert status_of(refused.value) == (410 if state in DEAD_STATES else 409)


@pytest.mark.parametrize("state", FileState)
def test_every_state_of_a_file_is_explained(state):
    assert re.search(rf"^\| `{state}` \| \w", PAGE.read_text(encoding="utf-8"), re.MULTILINE)


def write() -> None:
    """Put table and drawing into the page."""
    text = PAGE.read_text(encoding="utf-8")
    for name, made in (("table", table()), ("drawing", drawing())):
        text = re.sub(rf"(<!-- {name} -->\n).*?\n?(<!-- end -->)", rf"\g<1>{made}\n\g<2>", text, flags=re.DOTALL)
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write()
