from __future__ import annotations

from gateway.receipts.document import Signer
from gateway.receipts.packing import packed, unpacked


def test_a_receipt_of_many_instances_is_kept_small_and_comes_back_as_it_was():
    jws = Signer(bytes(32)).sign(
        {"instances": [{"sop_instance_uid": f"1.2.3.{n}", "outcome": "stored"} for n in range(500)]}
    )
    assert len(packed(jws)) < len(jws) / 3
    assert unpacked(packed(jws)) == jws


def test_one_of_an_older_release_is_read_as_it_is():
    jws = Signer(bytes(32)).sign({"n": 1})
    assert unpacked(jws.encode()) == jws
