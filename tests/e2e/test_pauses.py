"""What stops the gateway as a whole, however little it is asked."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.lab import Lab, Pacs, running_lab, wait_until

#: When a file is there, writes down how many objects a search for circles goes through: each of them takes its time, in
#: which no request is answered.
COUNTS = """
import gc, os, threading, time
def watch():
    while not os.path.exists(os.environ["COUNT"]):
        time.sleep(0.01)
    gc.collect()
    with open(os.environ["COUNT"] + ".new", "w") as count:
        count.write(str(len(gc.get_objects())))
    os.rename(os.environ["COUNT"] + ".new", os.environ["COUNT"] + ".told")
threading.Thread(target=watch, daemon=True).start()
"""
#: Half a millisecond for a thousand: a gateway's modules and services alone would be ninety thousand.
MOST_OBJECTS = 10_000


def searched(lab: Lab) -> int:
    """Objects that are looked at when circles are searched for."""
    told = lab.folder / "count.told"
    (lab.folder / "count").touch()
    return int(wait_until("the count", lambda: told.exists() and told.read_text()))


def test_no_search_for_garbage_goes_through_all_that_the_gateway_is_made_of(tmp_path: Path) -> None:
    with running_lab(tmp_path / "gateway", Pacs("http://127.0.0.1:9/dicom-web"), serving=False) as lab:
        patch = lab.folder / "patch"
        patch.mkdir()
        (patch / "sitecustomize.py").write_text(COUNTS)
        path = f"{patch}:{lab.environ()['PYTHONPATH']}"
        lab.start(env={"PYTHONPATH": path, "COUNT": str(lab.folder / "count")})
        _, client = lab.open_upload(lab.login(), [1000] * 50)
        for number in range(50):
            client.create(1000, {"file_id": f"file-{number}"}, bytes(1000)).expect(201)
        assert searched(lab) < MOST_OBJECTS
